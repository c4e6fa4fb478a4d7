"""Files of keypoints beyond COCO's seventeen: extensions in COCO's format, CrowdPose's, CVAT's; sound and broken."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from anypose.data import coco, crowdpose, cvat
from anypose.data.sample import DataError, DataWarning
from anypose.data.xml_elements import parse
from anypose.skeleton import COCO17, CROWDPOSE14, HOCKEY15, Skeleton
from conftest import ROOT

WIDTH, HEIGHT = 96, 64


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg", "frame_000000.png", "frame_000002.png"):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / name)
    return tmp_path


def annotation(names: list[str], number: int = 1, **changes: Any) -> dict[str, Any]:
    """A person whose keypoints lie at (10 + i, 5 + i), the last two hidden."""
    flags = [2] * (len(names) - 2) + [1, 1]
    keypoints = [value for i, flag in enumerate(flags) for value in (10 + i, 5 + i, flag)]
    record = {"id": number, "image_id": 1, "category_id": 3, "bbox": [10, 5, 20, 30], "keypoints": keypoints}
    return record | changes


def coco_file(folder: Path, names: Any, *annotations: dict[str, Any], category: str = "player", **image: Any) -> Path:
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT} | image],
        "annotations": list(annotations),
        "categories": [{"id": 3, "name": category, "keypoints": names}, {"id": 4, "name": "puck"}],
    }
    path = folder / "labels.json"
    path.write_text(json.dumps(content))
    return path


# COCO with extensions


def test_keypoints_are_found_by_name(folder: Path) -> None:
    """A file of COCO's seventeen and a stick, the stick first, gives Hockey15."""
    names = [*HOCKEY15.extensions, *COCO17.keypoints]
    path = coco_file(folder, names, annotation(names), annotation(names, 2, category_id=4, keypoints=[1]))
    (sample,) = coco.read(path, folder, HOCKEY15)
    people = sample.people
    assert people.skeleton == HOCKEY15
    assert people.ids is not None
    assert people.ids.tolist() == [1]
    expected = [[10 + names.index(name), 5 + names.index(name)] for name in HOCKEY15.keypoints]
    assert people.keypoints[0].tolist() == expected
    assert people.state[0, [0, 10, 11]].tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert people.confidence[0].tolist() == [1] * 15


def test_a_files_own_keypoints(folder: Path) -> None:
    names = ["left_hip", "right_hip", "ski_tip"]
    path = coco_file(folder, names, annotation(names))
    (sample,) = coco.read(path, folder, None)
    assert sample.people.skeleton == Skeleton.from_names("player3", names)
    assert sample.people.keypoints[0, 2].tolist() == [12, 7]
    path = coco_file(folder, list(COCO17.keypoints), annotation(list(COCO17.keypoints)), category="person")
    assert coco.read(path, folder, None)[0].people.skeleton == COCO17


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["stick_heal" if n == "stick_heel" else n for n in HOCKEY15.keypoints], "mean its 'stick_heal'"),
        (list(CROWDPOSE14.keypoints), "there is no 'stick_butt_end'"),
        (["a", "a"], "names a twice"),
        ("left_wrist", "no list of the names"),
    ],
)
def test_names_that_a_file_lacks(folder: Path, names: Any, words: str) -> None:
    with pytest.raises(DataError) as caught:
        coco.read(coco_file(folder, names), folder, HOCKEY15)
    assert words in str(caught.value)
    assert "labels.json" in str(caught.value)


def test_categories_without_a_person(folder: Path) -> None:
    path = coco_file(folder, [], annotation(list(COCO17.keypoints)))
    with pytest.raises(DataError, match='none is named "person" or has keypoints'):
        coco.read(path, folder)
    with pytest.warns(DataWarning, match="none is named"):
        assert [len(sample.people) for sample in coco.read(path, folder, strict=False)] == [0]
    content = json.loads(path.read_text())
    content["categories"] = [{"id": 3, "name": n, "keypoints": list(COCO17.keypoints)} for n in ("red", "blue")]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="'red', 'blue' are 2"):
        coco.read(path, folder)
    with pytest.raises(DataError, match="none names its keypoints"):
        coco.read(coco_file(folder, [], category="person"), folder, None)


# CrowdPose


def test_a_file_of_crowdpose(folder: Path) -> None:
    names = list(CROWDPOSE14.keypoints)
    path = coco_file(folder, names, annotation(names), category="person", crowdIndex=0.35)
    (sample,) = crowdpose.read(path, folder)
    assert sample.crowd_index == 0.35
    assert sample.people.skeleton == CROWDPOSE14
    assert sample.people.areas.tolist() == [pytest.approx(0.53 * 600)]
    path = coco_file(folder, names, annotation(names, area=7.0), category="person", crowdIndex=0)
    (sample,) = crowdpose.read(path, folder)
    assert (sample.crowd_index, sample.people.areas.tolist()) == (0, [7])
    # The published files have COCO's bones, which go beyond 14 keypoints; and other people say head otherwise.
    content = json.loads(path.read_text())
    content["categories"][0] |= {"skeleton": [[16, 14]], "keypoints": [*names[:12], "top_head", "neck"]}
    path.write_text(json.dumps(content))
    assert crowdpose.read(path, folder)[0].people.equals(sample.people)


@pytest.mark.parametrize(
    ("image", "changes", "words"),
    [
        ({}, {}, "no image has a crowdIndex"),
        ({"crowdIndex": "high"}, {}, "image 1: crowdIndex is 'high', expected a number of at least 0"),
        ({"crowdIndex": -0.1}, {}, "crowdIndex is -0.1"),
        ({"crowdIndex": 0.5}, {"keypoints": [0] * 51}, "keypoints has 51 entries, expected 42"),
        ({"crowdIndex": 0.5}, {"bbox": [1, 2]}, "annotation 1: bbox is [1, 2]"),
    ],
)
def test_broken_files_of_crowdpose(folder: Path, image: Any, changes: Any, words: str) -> None:
    names = list(CROWDPOSE14.keypoints)
    with pytest.raises(DataError) as caught:
        crowdpose.read(coco_file(folder, names, annotation(names, **changes), category="person", **image), folder)
    assert words in str(caught.value)
    assert "labels.json" in str(caught.value)


# CVAT

TINY = Skeleton.from_names("tiny", ["left_wrist", "right_wrist", "stick_tip"], extensions=["stick_tip"])


VIDEO = f"<task><original_size><width>{WIDTH}</width><height>{HEIGHT}</height></original_size></task>"


def xml_file(folder: Path, inside: str, meta: str = "") -> Path:
    path = folder / "annotations.xml"
    path.write_text(
        f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><meta>{meta}</meta>\n{inside}\n</annotations>'
    )
    return path


def image(inside: str, name: str = "a.jpg") -> str:
    return f'<image id="0" name="{name}" width="{WIDTH}" height="{HEIGHT}">\n{inside}\n</image>'


SKELETON = """<skeleton label="Person" source="manual" z_order="0">
<points label="Left Wrist" outside="0" occluded="0" points="10.5,20.0"/>
<points label="right-wrist" outside="0" occluded="1" points="30,40"/>
<points label="stick_tip" outside="1" occluded="0" points="90,60"/>
</skeleton>"""


def test_skeletons_of_cvat(folder: Path) -> None:
    other = '<box label="puck" xtl="1" ytl="1" xbr="3" ybr="3"/><points label="puck" points="1,1"/><tag label="good"/>'
    path = xml_file(folder, image(SKELETON + other) + image("", "b.jpg"))
    first, second = cvat.read(path, folder, TINY)
    people = first.people
    assert (first.name, second.name, len(second.people)) == ("a.jpg", "b.jpg", 0)
    assert people.keypoints[0].tolist() == [[10.5, 20], [30, 40], [90, 60]]
    assert people.state[0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert people.confidence[0].tolist() == [1, 1, 0]
    assert people.boxes.tolist() == [[10.5, 20, 30, 40]]
    assert people.ids is not None
    assert people.ids.tolist() == [1]
    assert first.image().shape == (HEIGHT, WIDTH, 3)


def test_the_tight_box_leaves_extensions_out(folder: Path) -> None:
    seen = SKELETON.replace('outside="1"', 'outside="0"')
    (sample,) = cvat.read(xml_file(folder, image(seen)), folder, TINY)
    assert sample.people.confidence[0].tolist() == [1, 1, 1]
    assert sample.people.boxes.tolist() == [[10.5, 20, 30, 40]]


def test_points_and_boxes_of_cvat(folder: Path) -> None:
    """All places in one element; single keypoints in a group with a box; a box alone."""
    path = xml_file(
        folder,
        image(
            '<points label="person" occluded="0" points="1,2;3,4;5,6"/>'
            '<points label="left_wrist" group_id="7" points="11,12"/>'
            '<box label="person" group_id="7" occluded="0" xtl="8" ytl="9" xbr="40" ybr="50"/>'
            '<points label="stick_tip" group_id="7" occluded="1" points="80,60"/>'
            '<box label="person" xtl="60" ytl="1" xbr="70" ybr="20"/>'
        ),
    )
    (sample,) = cvat.read(path, folder, TINY)
    people = sample.people
    assert people.boxes.tolist() == [[1, 2, 3, 4], [8, 9, 40, 50], [60, 1, 70, 20]]
    assert people.confidence.tolist() == [[1, 1, 1], [1, 0, 1], [0, 0, 0]]
    assert people.keypoints[1, 2].tolist() == [80, 60]
    assert people.state[1, 2].tolist() == [0, 1, 0]


def test_tracks_of_cvat(folder: Path) -> None:
    def shape(frame: int, outside: int, x: int) -> str:
        return (
            f'<skeleton frame="{frame}" outside="{outside}" keyframe="1">'
            f'<points label="left_wrist" outside="0" occluded="0" points="{x},5"/>'
            f'<points label="stick_tip" outside="0" occluded="0" points="{x + 40},25"/></skeleton>'
        )

    tracks = (
        f'<track id="4" label="person" group_id="2">{shape(0, 0, 10)}{shape(1, 1, 11)}{shape(2, 0, 12)}</track>'
        '<track id="5" label="person" group_id="2"><box frame="2" xtl="1" ytl="2" xbr="9" ybr="30"/></track>'
        '<track id="6" label="puck"><points frame="2" outside="0" points="1,1"/></track>'
    )
    first, second = cvat.read(xml_file(folder, tracks, VIDEO), folder, TINY)
    assert (first.name, second.name) == ("frame_000000.png", "frame_000002.png")
    assert first.people.keypoints[0, [0, 2]].tolist() == [[10, 5], [50, 25]]
    assert second.people.boxes.tolist() == [[1, 2, 9, 30]]
    for sample in (first, second):
        assert sample.people.ids is not None
        assert sample.people.ids.tolist() == [4]
        assert sample.people.size == (HEIGHT, WIDTH)


def test_a_cvat_files_own_keypoints(folder: Path) -> None:
    (sample,) = cvat.read(xml_file(folder, image(SKELETON)), folder)
    assert sample.people.skeleton == Skeleton.from_names("person3", ["left_wrist", "right_wrist", "stick_tip"])
    labels = "".join(
        f"<label><name>{name}</name><type>points</type><parent>person</parent></label>"
        for name in ("stick tip", "left wrist", "right wrist")
    )
    labels += "<label><name>person</name><type>skeleton</type></label>"
    path = xml_file(folder, image(SKELETON), f"<job><labels>{labels}</labels></job>")
    assert cvat.read(path, folder)[0].people.skeleton.keypoints == ("stick_tip", "left_wrist", "right_wrist")
    tracks = (
        '<track id="1" label="puck"><points frame="0" points="1,1"/></track>'
        '<track id="2" label="Left Hand" group_id="1"><points frame="0" points="10,10"/></track>'
        '<track id="3" label="person" group_id="1"><box frame="0" xtl="5" ytl="5" xbr="30" ybr="30"/></track>'
    )
    (sample,) = cvat.read(xml_file(folder, tracks, VIDEO), folder)
    assert sample.people.skeleton.keypoints == ("left_hand",)
    assert sample.people.keypoints.tolist() == [[[10, 10]]]
    with pytest.raises(DataError, match=r"annotations\.xml names no keypoints"):
        cvat.read(xml_file(folder, image("")), folder)


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        (
            SKELETON.replace("Left Wrist", "Left Wirst"),
            "line 4, <skeleton> in a.jpg: <points> of line 5: label 'Left Wirst'",
        ),
        (SKELETON.replace("Left Wrist", "Left Wirst"), "did it mean 'left_wrist'?"),
        (SKELETON.replace("10.5,20.0", "10.5"), "points is '10.5', expected 1 x,y pair"),
        (SKELETON.replace("10.5,20.0", "10.5,nan"), "points is 'nan', expected a number"),
        (SKELETON.replace("right-wrist", "left wrist"), "the skeleton has 'left_wrist' twice"),
        (SKELETON.replace('label="Left Wrist"', ""), "has no label"),
        (
            '<points label="person" points="1,2;3,4"/>',
            "line 4, <points> in a.jpg: points is '1,2;3,4', expected 3 x,y pairs",
        ),
        ('<box label="person" xtl="5" ytl="1" xbr="3" ybr="9"/>', "xtl, ytl, xbr, ybr are 5, 1, 3, 9; expected a box"),
        ('<box label="person" xtl="5" ytl="1" xbr="wide" ybr="9"/>', "xbr is 'wide', expected a number"),
        ('<box label="person" xtl="5" ytl="1" ybr="9"/>', "has no xbr"),
        ('<points label="left_wrist" points="1,2"/>', "'left_wrist' has no group_id that says whose it is"),
        ('<points label="wrist" group_id="1" points="1,2"/>', "label 'wrist' is no keypoint of tiny"),
        ('<points label="left_wrist" group_id="1" points="1,2"/>', "without a box and without two keypoints"),
        (
            2 * '<points label="left_wrist" group_id="1" points="1,2"/>',
            "its group has 'left_wrist' twice",
        ),
    ],
)
def test_broken_shapes_are_named(folder: Path, inside: str, words: str) -> None:
    path = xml_file(folder, image(inside))
    with pytest.raises(DataError) as caught:
        cvat.read(path, folder, TINY)
    assert words in str(caught.value)
    assert "annotations.xml" in str(caught.value)
    with pytest.warns(DataWarning, match="skipped"):
        (sample,) = cvat.read(path, folder, TINY, strict=False)
    assert not sample.fully_labelled
    assert len(sample.people) == 0


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ("", "has neither <image> nor <track>"),
        (f'<image name="a.jpg" width="0" height="{HEIGHT}"/>', "line 3, <image>: width is '0'"),
        ('<image width="3" height="3"/>', "line 3, <image>: has no name"),
        (image("", "gone.jpg"), "picture gone.jpg is not in"),
        (image("") + image(""), "picture a.jpg is listed twice"),
        (image(2 * '<box label="person" group_id="1" xtl="1" ytl="1" xbr="9" ybr="9"/>'), "its group has a box twice"),
        ('<track id="1" label="person"><box frame="0"/></track>', "has no <original_size>"),
        ("<image", "is not valid XML"),
        ("</image>", "mismatched tag at line 3"),
    ],
)
def test_broken_files_of_cvat(folder: Path, inside: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        cvat.read(xml_file(folder, inside), folder, TINY)
    assert words in str(caught.value)
    assert "annotations.xml" in str(caught.value)


def test_files_that_are_not_cvats(folder: Path) -> None:
    path = folder / "other.xml"
    with pytest.raises(DataError, match=r"cannot read .*other\.xml"):
        cvat.read(path, folder)
    path.write_text("<html><body/></html>")
    with pytest.raises(DataError, match="holds <html>; expected <annotations>"):
        cvat.read(path, folder)
    path.write_bytes(b"\xff\xfe\x00broken")
    with pytest.raises(DataError, match="not valid XML"):
        cvat.read(path, folder)


@pytest.mark.parametrize(
    "declared",
    [
        '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">',
    ],
)
def test_nothing_is_expanded(folder: Path, declared: str) -> None:
    path = folder / "trap.xml"
    path.write_text(f'<?xml version="1.0"?>\n{declared}\n<annotations>&b;</annotations>')
    with pytest.raises(DataError, match=r"trap\.xml declares a document type \(line 2\)"):
        cvat.read(path, folder)


def test_elements_know_their_line(folder: Path) -> None:
    root = parse(xml_file(folder, image(SKELETON), "<task><name>a &amp; b</name></task>"))
    name = root.find("meta", "task", "name")
    assert name is not None
    assert name.text == "a & b"
    assert root.find("meta", "job", "name") is None
    (found,) = root.all("image")
    assert [point.line for point in found.children[0].all("points")] == [5, 6, 7]


# docs/keypoint_files.md


def test_the_page_about_keypoint_files_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lines of Python run after each other, and its file is the skeleton that they make."""
    text = (ROOT / "docs" / "keypoint_files.md").read_text()
    frames = tmp_path / "frames"
    frames.mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(frames / "a.jpg")
    for name, skeleton in (("hockey", HOCKEY15), ("crowdpose", CROWDPOSE14)):
        names = list(skeleton.keypoints)
        path = coco_file(tmp_path, names, annotation(names), category="person", crowdIndex=0.05)
        path.rename(tmp_path / f"{name}.json")
    xml_file(tmp_path, image(SKELETON.replace("stick_tip", "stick_toe")))
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(block, space)
    assert space["result"].mean == 1
    assert space["as_they_are"][0].people.skeleton == HOCKEY15
    (record,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    (tmp_path / "tennis.json").write_text(record)
    assert Skeleton.load(tmp_path / "tennis.json") == space["TENNIS19"]
    with pytest.raises(ValueError, match="did") as caught:
        COCO17.extended("tennis19", ["racket_grip"], [("left_wirst", "racket_grip")])
    assert str(caught.value) in " ".join(text.split())
