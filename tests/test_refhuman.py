"""RefHuman's reader, its scribbles and the views that training has of its pictures."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from anypose import affine as affines
from anypose.data import refhuman
from anypose.data.refhuman import read
from anypose.data.refhuman_entries import usual
from anypose.data.refhuman_views import Augmentation, View, cropped, evaluation_view, mirrored, resized
from anypose.data.sample import DataError, DataWarning
from anypose.data.scribbles import draw_scribbles
from anypose.masks import Masks
from anypose.pictures import PictureError
from test_evaluation import SIZE, person_at


def entry(ident: int, x: float = 60.0) -> tuple[dict[str, Any], dict[str, Any]]:
    """An image and its annotation, as RefHuman writes them; whole keypoints and a mask of run lengths."""
    person = person_at(x, 60, ident)
    (record,) = person.to_coco(ident, labels=True)
    assert person.masks is not None
    strokes = draw_scribbles(person.masks.bitmap(0), np.random.default_rng(ident))
    record |= {"scribble": strokes.ravel().tolist()}
    image = {"id": ident, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1], "caption": f"number {ident}"}
    return image, record


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file of three entries, changed by a function, beside its picture."""
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "a.png")

    def write(change: Callable[[dict[str, Any]], Any] = lambda content: None) -> Path:
        entries = [entry(ident) for ident in (1, 2, 3)]
        content = {
            "info": {},
            "images": [image for image, _ in entries],
            "annotations": [record for _, record in entries],
            "categories": [{"id": 1, "name": "person"}],
        }
        change(content)
        path = tmp_path / "refhuman.json"
        path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        return path

    return write


def test_entries_come_as_they_stand_in_the_file(write: Callable[..., Path]) -> None:
    def umlaut(content: dict[str, Any]) -> None:
        content["images"][1]["caption"] = "die größere Frau"

    path = write(umlaut)
    data = read(path, path.parent)
    assert [one.entry for one in data] == [1, 2, 3]
    assert data[1].text == "die größere Frau"
    assert data[-1].sample.name == "a.png#3"
    expected = person_at(60, 60, 3)
    np.testing.assert_allclose(data[2].sample.people.keypoints, expected.keypoints, rtol=1e-6)
    assert data[2].sample.people.masks == expected.masks
    assert data[0].sample.image().shape == (*SIZE, 3)
    assert [one.entry for one in data[1:]] == [2, 3]
    assert pickle.loads(pickle.dumps(data))[1].text == data[1].text


def test_prompts_are_scribble_0_and_its_place_5(write: Callable[..., Path]) -> None:
    one = read(write(), write().parent)[0]
    assert one.scribbles is not None
    authors = one.prompt("scribble", centred=False)
    assert authors is not None
    np.testing.assert_array_equal(authors.scribble, one.scribbles[0])
    point = one.prompt("point")
    assert point is not None
    np.testing.assert_array_equal(point.points, one.scribbles[0][5:6] + 0.5)
    with pytest.raises(ValueError, match="no prompt kind 'box'"):
        one.prompt("box")


def test_annotations_may_come_before_images(write: Callable[..., Path]) -> None:
    path = write()
    content = json.loads(path.read_text())
    turned = {key: content[key] for key in ("categories", "annotations", "images")}
    path.write_text(json.dumps(turned))
    assert [one.entry for one in read(path, path.parent)] == [1, 2, 3]


def test_all_faults_are_told_at_once(write: Callable[..., Path]) -> None:
    def spoil(content: dict[str, Any]) -> None:
        content["images"].append({**content["images"][0], "id": 4, "file_name": "gone.png"})
        content["images"].append({**content["images"][0], "id": 5})
        content["annotations"][0]["scribble"] = content["annotations"][0]["scribble"][:-2]
        content["annotations"][1]["keypoints"] = [1.0] * 50
        content["annotations"].append({**content["annotations"][2], "id": 9, "image_id": 77})
        content["annotations"][2]["category_id"] = 3

    path = write(spoil)
    with pytest.raises(DataError) as caught:
        read(path, path.parent)
    told = "\n".join(caught.value.faults)
    for expected in (
        "image 4: picture gone.png is not in",
        "annotation 1 of image 1: scribble has 118 values, expected 120",
        "annotation 2 of image 2: keypoints has 50 entries",
        "annotation 9: is of image 77",
        "image 5: has no annotation",
        "annotation of image 3: is of category 3",
    ):
        assert expected in told
    assert len(caught.value.faults) == 6


def test_faulty_entries_are_skipped_and_counted(write: Callable[..., Path]) -> None:
    path = write(lambda content: content["annotations"][1].update(scribble=[0] * 120))
    with pytest.warns(DataWarning, match="1 fault"):
        data = read(path, path.parent, strict=False)
    assert [one.entry for one in data] == [1, 3]
    assert "60 of 60 scribble places lie outside the mask, the first at (0, 0)" in data.faults[0]
    assert len(read(path, path.parent, thorough=False)) == 3


def test_a_picture_of_another_size_is_told(write: Callable[..., Path]) -> None:
    path = write(lambda content: content["images"][0].update(width=SIZE[1] + 40))
    with pytest.raises(DataError, match=r"mask is of size|the entry says"):
        read(path, path.parent)


def test_who_is_not_asked_for_is_left_out(write: Callable[..., Path]) -> None:
    def change(content: dict[str, Any]) -> None:
        content["annotations"][0]["keypoints"] = [0] * 51
        content["annotations"][1]["review"] = {"state": "rejected"}

    path = write(change)
    data = read(path, path.parent)
    assert ([one.entry for one in data], data.left_out) == ([3], 2)


def test_of_another_category_are_only_its_own_entries(write: Callable[..., Path]) -> None:
    path = write(lambda content: content["annotations"][1].update(category_id=2))
    with pytest.warns(DataWarning, match="image 2: is of category 2"):
        data = read(path, path.parent, strict=False)
    assert ([one.entry for one in data], data.left_out) == ([1, 3], 0)


def outcome(path: Path) -> Any:
    """What opening a file comes to, for comparison."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            data = read(path, path.parent, strict=False, thorough=False)
        return [data.records(place) for place in range(len(data))], sorted(data.faults), data.left_out
    except DataError as error:
        return str(error)


def parsed(path: Path) -> Any:
    """The same without the glance at annotations in the usual form."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refhuman, "usual", lambda text, place: None)
        return outcome(path)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"indent": 1},
        {"indent": "\t"},
        {"separators": (",", ":")},
        {"sort_keys": True},
        {"separators": (" , ", " : ")},
    ],
)
def test_the_usual_form_in_any_dress(write: Callable[..., Path], options: dict[str, Any]) -> None:
    path = write()
    content = json.loads(path.read_text())
    for record in content["annotations"]:
        record["segmentation"] = [[x + 0.25 for x in (1, 2, 30, 40, 5, 6.5)], [9, 9, 1, 1, 30, 30]]
        record["review"] = {"state": "accepted", "by": 'a "friend"', "at": None}
        record["caption_by"] = {"describer": "offline", "synthetic": True, "kind": "size"}
        record["tags"] = ["a", 1.5, None]
    path.write_text(json.dumps(content, **options))
    text = path.read_text()
    start = text.index("{", text.index('"annotations"'))
    assert usual(text, start) is not None or options.get("separators") == (" , ", " : ")
    found = outcome(path)
    assert len(found[0]) == 3
    assert found == parsed(path)


def test_a_key_that_stands_twice_counts_as_it_stands_last(write: Callable[..., Path]) -> None:
    path = write()
    text = path.read_text()
    for twice in (
        '"keypoints": [' + ", ".join(["0"] * 51) + '], "id": 1',
        '"iscrowd": 1, "id": 1',
        '"bbox": [0, 0, 0, 0], "id": 1',
        '"\\u0069scrowd": 1, "id": 1',
    ):
        for before in (True, False):
            start = (
                text.index("{", text.index('"annotations"')) + 1
                if before
                else text.index("}", text.index('"scribble"'))
            )
            joined = f"{twice}, " if before else f", {twice}"
            path.write_text(text[:start] + joined + text[start:])
            assert outcome(path) == parsed(path), (twice, before)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.integers(0, 10**6),
    cut=st.integers(0, 2),
    sign=st.sampled_from([*',.:-+eE019 "[]{}\\\n', "", "null", "1e999"]),
)
def test_a_slip_of_the_pen_comes_to_the_same_either_way(
    write: Callable[..., Path], place: int, cut: int, sign: str
) -> None:
    path = write()
    content = json.loads(path.read_text())
    for record in content["annotations"]:
        record["segmentation"] = [[1, 2, 30, 40, 5, 6.5, 0, 10]]
        record["keypoints"] = record["keypoints"][:6] + [0] * 45
        record["scribble"] = [10] * 120
    text = json.dumps(content)
    # Where most of the grammar is: in the annotations.
    start = text.index('"annotations"') + place % (len(text) - text.index('"annotations"'))
    path.write_text(text[:start] + sign + text[start + cut :])
    assert outcome(path) == parsed(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"images": [\n  {"id": 1,}\n]}', "line 2, column"),
        ('{"images": [], "annotations": []} x', "Extra data"),
        ("[1]", "holds a list"),
        ('{"images": []}', 'has no list "annotations"'),
        ('{"images": [] "annotations": []}', "line 1, column 15"),
        ("{1: 2}", "property name"),
    ],
)
def test_broken_json_says_where(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "broken.json").write_text(text)
    with pytest.raises(DataError, match=said):
        read(tmp_path / "broken.json", tmp_path)


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_bytes(b'{"images": ["\xff"]}')
    with pytest.raises(DataError, match="UTF-8"):
        read(tmp_path / "broken.json", tmp_path)


def test_a_file_that_changed_is_told(write: Callable[..., Path]) -> None:
    path = write()
    data = read(path, path.parent)
    path.write_text("{}")
    with pytest.raises(DataError, match="has changed"):
        data[2]


def test_the_authors_samples(vectors: Callable[[str], Path]) -> None:
    folder = vectors("uniphd") / "evaluation"
    safetensors = pytest.importorskip("safetensors")
    with safetensors.safe_open(folder / "val_samples.safetensors", "np") as stored:
        data = read(folder / "RefHuman_val.json", folder / "images")
        assert len(data) == 6
        for one in data:
            people = one.sample.people
            assert one.scribbles is not None
            assert people.masks is not None
            np.testing.assert_array_equal(one.scribbles[0], stored.get_tensor(f"{one.entry}.origin_scribble")[0])
            np.testing.assert_array_equal(people.masks.bitmap(0), stored.get_tensor(f"{one.entry}.origin_mask")[0])
            np.testing.assert_allclose(people.areas, stored.get_tensor(f"{one.entry}.origin_area"))
            shown = evaluation_view(View.of(one, authors=True), authors=True)
            assert shown.size == tuple(stored.get_tensor(f"{one.entry}.size"))
            assert shown.scribble is not None
            np.testing.assert_array_equal(shown.scribble, stored.get_tensor(f"{one.entry}.scribble"))


def test_scribbles_stay_inside_the_thinnest_mask() -> None:
    ring = np.zeros((80, 90), bool)
    ring[10:70, 10], ring[10:70, 80], ring[10, 10:81], ring[69, 10:81] = True, True, True, True
    dot = np.zeros((5, 5), bool)
    dot[2, 3] = True
    for mask in (ring, dot, np.ones((3, 4), bool)):
        strokes = draw_scribbles(mask, np.random.default_rng(0))
        assert strokes.shape == (5, 12, 2)
        assert mask[strokes[..., 1], strokes[..., 0]].all()
    with pytest.raises(ValueError, match="marks no pixel"):
        draw_scribbles(np.zeros((4, 4), bool), np.random.default_rng(0))


def view(x: float = 60.0, text: str | None = "the bright man on the left") -> View:
    person = person_at(x, 60, 7)
    assert person.masks is not None
    stroke = draw_scribbles(person.masks.bitmap(0), np.random.default_rng(1))[0].astype(float)
    image = np.random.default_rng(2).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    return View(image, person, stroke, text, np.array(affines.IDENTITY))


def test_mirrored_twice_is_the_same() -> None:
    for authors in (False, True):
        before = view(text="the man on the left")
        after = mirrored(mirrored(before, authors=authors), authors=authors)
        np.testing.assert_array_equal(after.image, before.image)
        np.testing.assert_allclose(after.person.keypoints, before.person.keypoints, atol=1e-4)
        assert after.person.masks == before.person.masks
        assert after.scribble is not None
        assert before.scribble is not None
        np.testing.assert_allclose(after.scribble, before.scribble)
        assert after.text == before.text
        np.testing.assert_allclose(after.affine, affines.IDENTITY)


def test_how_the_authors_mirror() -> None:
    ours, theirs = mirrored(view()), mirrored(view(), authors=True)
    assert (ours.text, theirs.text) == ("the bright man on the right", "the bleft man on the right")
    np.testing.assert_allclose(ours.person.keypoints - theirs.person.keypoints, [[[1, 0]] * 17], atol=1e-4)
    np.testing.assert_array_equal(ours.person.boxes, theirs.person.boxes)


def test_what_a_crop_leaves_out_is_not_labelled() -> None:
    before = view()
    window = (0, 30, 60, 75)
    cut, theirs = (cropped(before, window, np.random.default_rng(0), authors=authors) for authors in (False, True))
    assert cut is not None
    assert theirs is not None
    inside = ((before.person.keypoints - (0, 30) >= 0) & (before.person.keypoints - (0, 30) < (60, 45))).all(-1)
    assert 0 < inside.sum() < 17
    np.testing.assert_array_equal(cut.person.confidence > 0, inside)
    np.testing.assert_array_equal(cut.person.state[..., 2] == 1, ~inside)
    assert (theirs.person.confidence > 0).all()
    assert (theirs.person.keypoints <= (60, 45)).all()
    assert cut.person.masks is not None
    mask = cut.person.masks.bitmap(0)
    assert cut.scribble is not None
    places = cut.scribble.astype(int)
    assert mask[places[:, 1], places[:, 0]].all()
    assert cut.person.areas[0] < theirs.person.areas[0]
    assert cropped(before, (120, 0, 160, 40), np.random.default_rng(0)) is None


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), authors=st.booleans(), x=st.floats(20, 140))
def test_a_training_view_can_be_undone(seed: int, authors: bool, x: float) -> None:
    before = view(x)
    after = Augmentation(authors=authors)(before, np.random.default_rng(seed))
    assert max(after.size) <= 640
    assert after.image.shape == (*after.size, 3)
    back = affines.apply(affines.invert(after.affine), after.person.keypoints)
    flipped = after.affine[0, 0] < 0
    truth = before.person.keypoints[:, before.person.skeleton.mirror] if flipped else before.person.keypoints
    if not authors:
        known = after.person.confidence > 0
        assert known.any()
        np.testing.assert_allclose(back[known], truth[known], atol=1e-3)
        assert after.scribble is not None
        assert after.person.masks is not None
        assert Masks.from_bitmaps(after.person.masks.bitmaps()) == after.person.masks
        places = after.scribble
        assert (places >= 0).all()
        assert (places <= after.size[::-1]).all()
    assert after.text is not None
    assert ("right" in after.text.split()) == flipped


def test_a_view_is_resized_with_all_that_is_on_it() -> None:
    small = resized(view(), 60)
    assert small.size == (60, 80)
    assert small.person.masks is not None
    assert small.person.masks.areas()[0] == pytest.approx(view().person.areas[0] / 4, rel=0.05)


def test_a_picture_that_went_is_told_when_it_is_opened(write: Callable[..., Path]) -> None:
    path = write()
    one = read(path, path.parent)[0]
    (path.parent / "a.png").unlink()
    with pytest.raises(PictureError, match=r"a\.png"):
        one.sample.image()
