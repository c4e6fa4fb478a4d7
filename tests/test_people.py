import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from anypose import affine as affines
from anypose import files
from anypose.masks import Masks
from anypose.people import People
from anypose.skeleton import COCO17, CROWDPOSE14, LSP14, SKELETONS
from conftest import ROOT, shared

SIZE = (40, 60)
few = settings(max_examples=30, deadline=None)
# Fractions of a pixel that a float32 holds; COCO's widths cannot hold a corner such as 1e-22 beside -1.
places = st.integers(-10_000_000, 10_000_000).map(lambda part: part / 1024)
chances = st.floats(0, 1, width=32)


@st.composite
def peoples(draw: Any, labels: Any = False) -> Any:
    """People of every shape; with `labels`, only what an annotator writes."""
    number = draw(st.integers(0, 3))
    skeleton = draw(st.sampled_from(sorted(SKELETONS.values(), key=lambda one: one.name)))
    joints = len(skeleton)

    def numbers(elements: Any, *shape: Any) -> Any:
        return draw(arrays.arrays(np.float32, (number, *shape), elements=elements))

    corners = np.sort(numbers(places, 2, 2), axis=1).reshape(number, 4)
    keypoints = numbers(places, joints, 2)
    if labels:
        flags = draw(arrays.arrays(np.int64, (number, joints), elements=st.integers(0, 2)))
        state = np.stack([flags == 2, flags == 1, flags < 0], axis=-1).astype(np.float32)
        scores, confidence = np.ones(number, np.float32), (flags > 0).astype(np.float32)
        keypoints[flags == 0] = 0
    else:
        scores, confidence = numbers(places), numbers(chances, joints)
        state = numbers(chances, joints, 3)
    bitmaps = draw(arrays.arrays(bool, (number, *SIZE), fill=st.just(False)))
    ids = arrays.arrays(np.int64, number, elements=st.integers(0, 2**53))
    return People(
        size=SIZE,
        boxes=corners,
        scores=scores,
        keypoints=keypoints,
        confidence=confidence,
        state=state,
        masks=Masks.from_bitmaps(bitmaps) if number and draw(st.booleans()) else None,
        skeleton=skeleton,
        names=draw(st.none() | st.tuples(*[st.none() | st.text(max_size=5)] * number)),
        ids=draw(st.none() | ids),
        reason=draw(st.none() | st.text(max_size=8)),
        stated_areas=draw(st.none() | st.just(np.linspace(1, 9, number))),
        presence=draw(st.none() | st.just(np.linspace(0, 1, number))),
    )


def two_people(**changes: Any) -> Any:
    rng = np.random.default_rng(0)
    bitmaps = np.zeros((2, *SIZE), bool)
    bitmaps[0, 5:20, 10:25] = True
    fields = {
        "size": SIZE,
        "boxes": [(10, 5, 25, 20), (30, 8, 50, 39.5)],
        "scores": [0.9, 0.4],
        "keypoints": rng.uniform(0, 40, (2, 17, 2)),
        "confidence": rng.uniform(0, 1, (2, 17)),
        "state": rng.dirichlet((1, 1, 1), (2, 17)),
        "masks": Masks.concatenate([Masks.from_bitmaps(bitmaps[:1]), Masks.unknown(1, SIZE)]),
        "names": ("goalie", None),
        "ids": [7, 9],
        "reason": "two look alike",
    }
    return People(**{**fields, **changes})


@few
@given(peoples())
def test_json_is_lossless(people: Any) -> None:
    again = People.from_json(people.to_json())
    assert again.equals(people)
    assert again.skeleton == people.skeleton


def test_every_float32_survives_json() -> None:
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 2**32, 40_000, dtype=np.uint32).view(np.float32)
    numbers = bits[np.isfinite(bits)][: 17 * 2 * 800].reshape(-1, 17, 2)
    number = len(numbers)
    people = People(
        size=SIZE,
        boxes=np.zeros((number, 4)),
        scores=numbers[:, 0, 0],
        keypoints=numbers,
        confidence=np.ones((number, 17)),
        state=np.zeros((number, 17, 3)),
    )
    again = People.from_json(people.to_json())
    assert again.keypoints.tobytes() == people.keypoints.tobytes()


@few
@given(peoples(labels=True))
def test_labels_survive_coco(people: Any) -> None:
    records = json.loads(json.dumps(people.to_coco(image_id=3)))
    again = People.from_coco(records, people.size, people.skeleton)
    if not len(people):
        assert records == []
        return
    expected = dataclasses.replace(people, names=None, reason=None, stated_areas=people.areas, presence=None)
    assert again.equals(expected)
    assert again.to_coco(image_id=3) == records


@few
@given(peoples())
def test_results_survive_coco(people: Any) -> None:
    records = json.loads(json.dumps(people.to_coco(image_id="a", labels=False)))
    assert all(record["image_id"] == "a" for record in records)
    again = People.from_coco(records, people.size, people.skeleton)
    for name in ("boxes", "scores", "keypoints", "confidence"):
        np.testing.assert_array_equal(getattr(again, name), getattr(people, name))
    assert again.masks == people.masks
    if len(people):
        assert (again.ids is None) == (people.ids is None)


def test_cocos_own_annotations_survive() -> None:
    records = json.loads(shared("data/coco_people/dev.json").read_text())
    for image in records["images"]:
        mine = [
            record for record in records["annotations"] if record["image_id"] == image["id"] and not record["iscrowd"]
        ]
        size = (image["height"], image["width"])
        people = People.from_coco(mine, size)
        for record, again in zip(mine, people.to_coco(image["id"]), strict=True):
            for key in ("id", "image_id", "category_id", "iscrowd", "bbox", "area", "num_keypoints"):
                assert again[key] == record[key], key
            assert again["keypoints"] == record["keypoints"]
            segmentation = Masks.from_coco([record["segmentation"]], size)
            assert Masks.from_coco([again["segmentation"]], size) == segmentation


def test_results_without_boxes_get_them_from_the_mask_or_the_keypoints() -> None:
    keypoints = [0.0] * 51
    keypoints[:6] = [3, 4, 0.5, 10, 20, 0.25]
    result = {"image_id": 1, "category_id": 1, "keypoints": keypoints, "score": 0.5}
    assert People.from_coco([result], SIZE).boxes.tolist() == [[3, 4, 10, 20]]
    mask = two_people().masks.rle()[0]
    assert People.from_coco([{**result, "segmentation": mask}], SIZE).boxes.tolist() == [[10, 5, 25, 20]]
    with pytest.raises(ValueError, match="annotation number 0 has neither a bbox"):
        People.from_coco([{"score": 1}], SIZE)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"id": 5, "bbox": [1, 2, 3, 4], "iscrowd": 1}, "annotation 5 is a crowd region"),
        ({"id": 5, "bbox": [1, 2, 3]}, "annotation 5 has a bbox of 3 numbers"),
        ({"id": 5, "bbox": [1, 2, 3, 4], "keypoints": [1, 2, 2]}, "5 has 3 keypoint numbers; coco17 has 17"),
        ({"id": 5, "bbox": [1, 2, 3, 4], "keypoints": [1, 2, 3] * 17}, "5 has a keypoint flag that is not"),
        ({"id": 5, "bbox": [1, 2, 3, 4], "segmentation": [[1, 2]]}, "annotation 5: mask 0 has a polygon"),
        ({"id": 5, "bbox": [1, 2, -3, 4]}, "annotation 5 has a bbox of negative width"),
        ({"bbox": [1, 2, "3", None]}, "annotation number 0 has bbox values that are not all finite"),
        ({"bbox": [1, 2, 3, 4], "keypoints": [float("nan")] * 51}, "has keypoints that are not all finite"),
    ],
)
def test_what_is_wrong_in_an_annotation_is_named(record: Any, message: Any) -> None:
    with pytest.raises(ValueError, match=message):
        People.from_coco([record], SIZE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": [0.5]}, "^scores has 1 row for 2 people$"),
        ({"boxes": [(1, 2, 3, 4)]}, "^scores has 2 rows for 1 person$"),
        ({"boxes": [(1, 2, 3), (1, 2, 3)]}, "boxes has the shape \\(2, 3\\); expected \\(N, 4\\) with N = 2"),
        ({"keypoints": np.zeros((2, 14, 2))}, "expected \\(N, 17, 2\\) of 17 keypoints \\(coco17\\)"),
        ({"skeleton": LSP14}, "keypoints has the shape .* of 14 keypoints \\(lsp14\\)"),
        ({"scores": [np.nan, 1]}, "scores of person 0 holds a value that is not finite"),
        ({"keypoints": np.full((2, 17, 2), 1e39)}, "keypoints of person 0 .* not finite"),
        ({"scores": ["a", 1]}, "scores must be numbers"),
        ({"scores": 0.5}, "scores has the shape \\(\\); expected \\(N,\\) with N = 2"),
        ({"boxes": None}, "boxes must be numbers of the shape \\(N, 4\\), not None"),
        ({"boxes": [(1, 2), (1, 2, 3, 4)]}, "boxes must be numbers of the shape \\(N, 4\\)"),
        ({"confidence": np.full((2, 17), 1.5)}, "confidence holds 1.5; it holds probabilities"),
        ({"state": np.full((2, 17, 3), -0.5)}, "state holds -0.5"),
        ({"boxes": [(1, 2, 3, 4), (5, 2, 3, 4)]}, "box 1 is turned round"),
        ({"masks": Masks.unknown(3, SIZE)}, "masks has 3 rows for 2 people"),
        ({"masks": Masks.unknown(2, (4, 4))}, "masks are of a picture of \\(4, 4\\)"),
        ({"names": ("a",)}, "names has 1 row for 2 people"),
        ({"ids": [1]}, "ids has 1 row for 2 people"),
        ({"ids": [1.5, 2]}, "ids must be whole numbers"),
        ({"stated_areas": [1, 2, 3]}, "stated_areas has 3 rows for 2 people"),
        ({"presence": [1, 0.5, 0]}, "presence has 3 rows for 2 people"),
        ({"presence": [0.5, 1.5]}, "presence holds 1.5"),
        ({"size": (0, 3)}, "a size is"),
    ],
)
def test_what_does_not_fit_is_named(changes: Any, message: Any) -> None:
    with pytest.raises(ValueError, match=message):
        two_people(**changes)


def test_people_do_not_change() -> None:
    boxes = np.array([(10, 5, 25, 20), (30, 8, 50, 39)], np.float32)
    people = two_people(boxes=boxes)
    boxes[:] = 0
    assert people.boxes[0].tolist() == [10, 5, 25, 20]
    for name in ("boxes", "scores", "keypoints", "confidence", "state", "ids"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(people, name)[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        people.reason = None


@pytest.mark.parametrize("which", [1, -1, slice(None, None, -1), [1, 0, 1], [], [False, True], np.array([1])])
def test_an_index_keeps_all_fields_together(which: Any) -> None:
    people = two_people(stated_areas=[3, 4])
    chosen = people[which]
    wanted: Any = np.atleast_1d(np.arange(2)[which]) if not isinstance(which, list) or which else []
    assert chosen.ids.tolist() == [[7, 9][place] for place in wanted]
    assert chosen.names == tuple(["goalie", None][place] for place in wanted)
    assert chosen.masks == people.masks[which]
    for name in ("boxes", "scores", "keypoints", "confidence", "state", "stated_areas"):
        np.testing.assert_array_equal(getattr(chosen, name), getattr(people, name)[list(wanted)])
    assert chosen.reason == people.reason


def test_an_index_that_is_not_there_is_named() -> None:
    with pytest.raises(IndexError, match="there is no person 2: there are 2"):
        two_people()[2]
    with pytest.raises(IndexError, match="one for each person"):
        two_people()[[True]]


def test_taking_apart_and_concatenating_gives_the_same() -> None:
    people = two_people(stated_areas=[3, 4])
    assert People.concatenate(list(people)).equals(people)
    assert People.concatenate([People.empty(SIZE), people]).equals(people)
    assert People.concatenate([People.empty(SIZE, reason="nobody")]).equals(People.empty(SIZE, reason="nobody"))


def test_concatenating_what_only_some_have() -> None:
    bare = two_people(masks=None, names=None, ids=None, reason="dark")
    both = People.concatenate([bare, two_people()])
    assert both.masks is not None
    assert both.masks.known.tolist() == [False, False, True, False]
    assert both.names == (None, None, "goalie", None)
    assert both.ids is None
    assert both.reason == "dark; two look alike"


def test_what_does_not_concatenate_is_named() -> None:
    with pytest.raises(ValueError, match="nothing to concatenate"):
        People.concatenate([])
    with pytest.raises(ValueError, match="do not mix"):
        People.concatenate([People.empty((1, 2)), People.empty((2, 1))])
    with pytest.raises(ValueError, match="skeletons coco17 and lsp14 differ; use to_skeleton"):
        People.concatenate([People.empty(SIZE), People.empty(SIZE, LSP14)])


@few
@given(st.floats(0.2, 5), st.floats(0.2, 5), st.floats(-90, 90), st.floats(-90, 90))
def test_warp_and_back(scale_x: Any, scale_y: Any, shift_x: Any, shift_y: Any) -> None:
    affine = np.array([[scale_x, 0, shift_x], [0, scale_y, shift_y]])
    people = two_people(masks=None, stated_areas=[3, 4])
    there = people.warp(affine, (99, 98))
    assert there.size == (99, 98)
    np.testing.assert_allclose(there.areas, [3 * scale_x * scale_y, 4 * scale_x * scale_y], rtol=1e-5)
    back = there.warp(affines.invert(affine), SIZE)
    np.testing.assert_allclose(back.boxes, people.boxes, atol=1e-3)
    np.testing.assert_allclose(back.keypoints, people.keypoints, atol=1e-3)
    np.testing.assert_array_equal(back.state, people.state)


def test_warp_moves_the_masks_with_the_boxes() -> None:
    moved = two_people().warp([[2, 0, 3], [0, 2, 1]], (90, 130))
    assert moved.boxes[0].tolist() == [23, 11, 53, 41]
    assert moved.masks.boxes()[0].tolist() == [23, 11, 53, 41]
    assert moved.masks.known.tolist() == [True, False]


@few
@given(peoples())
def test_mirror_twice_is_the_same(people: Any) -> None:
    again = people.mirror().mirror()
    for name in ("boxes", "keypoints"):
        np.testing.assert_allclose(getattr(again, name), getattr(people, name), atol=2e-3)
    for name in ("scores", "confidence", "state"):
        np.testing.assert_array_equal(getattr(again, name), getattr(people, name))
    assert again.masks == people.masks


def test_a_mirror_exchanges_left_and_right() -> None:
    people = two_people()
    mirrored = people.mirror()
    left, right = COCO17.index("left_wrist"), COCO17.index("right_wrist")
    np.testing.assert_allclose(mirrored.keypoints[:, left, 0], 60 - people.keypoints[:, right, 0])
    np.testing.assert_array_equal(mirrored.keypoints[:, left, 1], people.keypoints[:, right, 1])
    np.testing.assert_array_equal(mirrored.confidence[:, left], people.confidence[:, right])
    assert mirrored.boxes[0].tolist() == [35, 5, 50, 20]
    assert mirrored.masks.boxes()[0].tolist() == [35, 5, 50, 20]


def test_another_skeleton() -> None:
    people = two_people()
    other = people.to_skeleton(CROWDPOSE14)
    assert other.skeleton is CROWDPOSE14
    np.testing.assert_array_equal(
        other.keypoints[:, CROWDPOSE14.index("left_wrist")], people.keypoints[:, COCO17.index("left_wrist")]
    )
    assert not other.confidence[:, CROWDPOSE14.index("neck")].any()
    assert other.masks == people.masks
    back = other.to_skeleton(COCO17)
    np.testing.assert_array_equal(back.state[:, 5:], people.state[:, 5:])
    assert not back.confidence[:, :5].any()


def test_areas_prefer_what_is_stated_then_the_mask_then_the_box() -> None:
    assert two_people().areas.tolist() == [15 * 15, 20 * 31.5]
    assert two_people(masks=None).areas.tolist() == [225, 630]
    assert two_people(stated_areas=[3, 4]).areas.tolist() == [3, 4]


def test_nobody() -> None:
    nobody = People.empty(SIZE, CROWDPOSE14, reason="no such person")
    assert len(nobody) == 0
    assert nobody.keypoints.shape == (0, 14, 2)
    assert nobody.areas.shape == (0,)
    assert People.from_json(nobody.to_json()).equals(nobody)
    assert nobody.mirror().warp(affines.IDENTITY, SIZE).equals(nobody)
    assert nobody.to_coco(1) == []
    assert "0 people in 60 x 40" in repr(nobody)
    assert not two_people().equals(nobody)


def test_save_and_load(tmp_path: Any) -> None:
    people = two_people()
    people.save(tmp_path / "people.json")
    assert People.load(tmp_path / "people.json").equals(people)
    assert [path.name for path in tmp_path.iterdir()] == ["people.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "people.json: Expecting"),
        ("[]", "people.json: not people of this library.*found 'list'"),
        ('{"format": "coco"}', "found 'coco'"),
        ('{"format": "anypose people 1", "size": [1, 2]}', "lacks skeleton, boxes"),
    ],
)
def test_a_file_that_holds_no_people_is_named(tmp_path: Any, text: Any, message: Any) -> None:
    (tmp_path / "people.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        People.load(tmp_path / "people.json")


def test_a_file_is_whole_or_not_there(tmp_path: Any, monkeypatch: Any) -> None:
    path = tmp_path / "answer.txt"
    files.write_atomically(path, "old")
    path.chmod(0o640)
    files.write_atomically(path, b"new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o640)

    def broken(self: Path, data: Any) -> Any:
        Path.open(self, "wb").write(data[:1])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", broken)
    with pytest.raises(OSError, match="disk full"):
        files.write_atomically(path, b"newer")
    assert [found.name for found in tmp_path.iterdir()] == ["answer.txt"]
    assert path.read_text() == "new"


def test_where_a_file_cannot_go_is_named(tmp_path: Any) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist; create it first"):
        files.write_atomically(tmp_path / "nowhere" / "a.txt", b"")
    with pytest.raises(IsADirectoryError, match="is a folder; give a file name"):
        files.write_atomically(tmp_path, b"")


def test_a_protected_file_is_not_replaced(tmp_path: Any) -> None:
    path = tmp_path / "labels.json"
    path.write_text("years of work")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match="write-protected"):
        files.write_atomically(path, "figures")
    assert path.read_text() == "years of work"
    assert [found.name for found in tmp_path.iterdir()] == ["labels.json"]


def test_links_are_followed_and_devices_written_to(tmp_path: Any) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    files.write_atomically(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"
    files.write_atomically("/dev/null", "x")
    assert Path("/dev/null").is_char_device()


def test_supervision_takes_people() -> None:
    supervision = pytest.importorskip("supervision")
    people = two_people()
    keypoints, detections = people.to_supervision()
    assert isinstance(keypoints, supervision.KeyPoints)
    assert isinstance(detections, supervision.Detections)
    confidence = getattr(keypoints, "keypoint_confidence", None)
    confidence = keypoints.confidence if confidence is None else confidence
    np.testing.assert_array_equal(confidence, people.confidence)
    np.testing.assert_array_equal(keypoints.xy, people.keypoints)
    np.testing.assert_array_equal(detections.xyxy, people.boxes)
    assert detections.tracker_id.tolist() == [7, 9]
    assert detections.mask is None
    _, whole = people[0].to_supervision()
    np.testing.assert_array_equal(whole.mask, people[0].masks.bitmaps())
    assert whole.data["names"].tolist() == ["goalie"]
    nobody, nothing = People.empty(SIZE).to_supervision()
    assert len(nobody) == len(nothing) == 0


def test_without_supervision_the_error_says_what_to_install(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match="pip install supervision"):
        two_people().to_supervision()


def table_of(text: Any, title: Any) -> Any:
    """The rows of the table under the heading `title`, without its head."""
    section = re.split(r"^#+ ", text, flags=re.MULTILINE)
    body = next(part for part in section if part.startswith(title + "\n"))
    lines = [line for line in body.splitlines() if line.startswith("|")]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_documented_fields_are_the_fields() -> None:
    rows = table_of((ROOT / "docs" / "people.md").read_text(), "Fields")
    people = two_people(stated_areas=[3, 4])
    assert [row[0] for row in rows] == [field.name for field in dataclasses.fields(People)]
    for name, shape, kind, *_ in rows:
        value = getattr(people, name)
        if isinstance(value, np.ndarray):
            letters = {"N": 2, "K": 17, "3": 3, "2": 2, "4": 4}
            sides = tuple(letters[side.strip()] for side in shape.strip("()").split(",") if side.strip())
            assert (value.shape, str(value.dtype)) == (sides, kind), name


def test_the_documented_keypoints_are_the_keypoints() -> None:
    rows = table_of((ROOT / "docs" / "people.md").read_text(), "Keypoints")
    columns = [COCO17, CROWDPOSE14, LSP14]
    assert list(SKELETONS.values())[:3] == columns  # those of bodies in space are in lifting.md
    expected = []
    for index in range(17):
        row = [str(index)]
        for skeleton in columns:
            known = index < len(skeleton)
            row += [skeleton.keypoints[index], f"{skeleton.sigmas[index]:.3f}"] if known else ["", ""]
        expected.append(row)
    written = "\n".join("| " + " | ".join(row) + " |" for row in expected)
    assert rows == expected, f"docs/people.md should hold:\n{written}"


def test_the_answer_of_the_command_line_is_no_people_and_says_where_they_are() -> None:
    with pytest.raises(ValueError, match=r'from_dict\(answer\["pictures"\]\[0\]\["people"\]\)'):
        People.from_dict({"model": "promptable/pointer", "pictures": []})
