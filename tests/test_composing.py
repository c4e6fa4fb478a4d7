"""Pictures made from pictures: labels stay on what they label."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from anypose.data.composing import HIDDEN, VISIBLE, View, beside, pasted
from anypose.skeleton import COCO17

NOSE, LEFT_WRIST, RIGHT_WRIST = (COCO17.keypoints.index(name) for name in ("nose", "left_wrist", "right_wrist"))
# Three keypoints of each person are dots of a colour of their own, 5 pixels wide.
DOTS = {NOSE: 0, LEFT_WRIST: 1, RIGHT_WRIST: 2}


def colour(person: int, dot: int) -> tuple[int, int, int]:
    return tuple(np.eye(3, dtype=int)[dot] * (255 - 60 * person))


def dotted(width: int, height: int, corners: list[tuple[int, int]]) -> View:
    """A grey picture; a person at each corner, 40 x 60 pixels, is a mask and three dots."""
    image = np.full((height, width, 3), 90, np.uint8)
    count = len(corners)
    boxes, keypoints = np.zeros((count, 4), np.float32), np.zeros((count, 17, 2), np.float32)
    known, masks = np.zeros((count, 17), int), []
    for i, (x, y) in enumerate(corners):
        boxes[i] = x, y, x + 40, y + 60
        mask = np.zeros((height, width), bool)
        mask[y : y + 60, x : x + 40] = True
        image[mask] = 200
        masks.append(mask)
        for joint, (dx, dy) in {NOSE: (20, 8), LEFT_WRIST: (32, 30), RIGHT_WRIST: (8, 40)}.items():
            keypoints[i, joint] = x + dx + 0.5, y + dy + 0.5
            known[i, joint] = VISIBLE
            image[y + dy - 2 : y + dy + 3, x + dx - 2 : x + dx + 3] = colour(i, DOTS[joint])
    return View(
        image=image,
        boxes=boxes,
        keypoints=keypoints,
        known=known,
        masks=tuple(masks),
        skeleton=COCO17,
        crowds=np.array([[0, 0, 5, 6]], np.float32),
        captions=tuple((f"the one on the left of number {i}",) for i in range(count)),
        things=(("kite", np.array([1, 2, 9, 8], np.float32), 0.7),),
        strangers=np.array([[10, 1, 14, 9]], np.float32),
    )


def found_at(view: View, person: int, joint: int) -> np.ndarray | None:
    """Where the dot of that colour is in the picture: the middle of its pixels."""
    off = np.abs(view.image.astype(int) - colour(person, DOTS[joint])).sum(2)
    ys, xs = np.nonzero(off < 60)
    return None if not len(xs) else np.array([xs.mean() + 0.5, ys.mean() + 0.5])


def check(view: View, rows: dict[int, int], *, swapped: bool = False, within: float = 1.0) -> None:
    """The known keypoints of each row lie on the dots of the person it was, and boxes around masks."""
    height, width = view.size
    sides = {NOSE: NOSE, LEFT_WRIST: RIGHT_WRIST, RIGHT_WRIST: LEFT_WRIST} if swapped else {j: j for j in DOTS}
    for row, person in rows.items():
        for joint, was in sides.items():
            if view.known[row, joint] != VISIBLE:
                continue
            place = found_at(view, person, was)
            assert place is not None, f"dot {was} of person {person} is gone but is said to be seen"
            assert np.abs(view.keypoints[row, joint] - place).max() <= within
        mask = view.masks[row]
        if mask is not None:
            assert mask.shape == (height, width)
            if mask.any():
                ys, xs = np.nonzero(mask)
                around = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
                assert np.abs(view.boxes[row] - around).max() <= 1 + within


TWO = dotted(160, 120, [(10, 20), (100, 40)])


def test_the_dots_are_where_the_labels_say() -> None:
    check(TWO, {0: 0, 1: 1}, within=0.01)
    wrong = replace(TWO, keypoints=TWO.keypoints + 2)
    with pytest.raises(AssertionError):
        check(wrong, {0: 0, 1: 1})


def test_mirrored() -> None:
    mirrored = TWO.mirrored()
    check(mirrored, {0: 0, 1: 1}, swapped=True, within=0.01)
    assert mirrored.captions == (("the one on the right of number 0",), ("the one on the right of number 1",))
    assert mirrored.crowds.tolist() == [[155, 0, 160, 6]]
    assert mirrored.strangers.tolist() == [[146, 1, 150, 9]]
    assert mirrored.things is not None
    assert mirrored.things[0][1].tolist() == [151, 2, 159, 8]


def test_mirrored_twice_is_the_same() -> None:
    again = TWO.mirrored().mirrored()
    for name in ("image", "boxes", "keypoints", "known", "crowds", "strangers"):
        np.testing.assert_array_equal(getattr(again, name), getattr(TWO, name), err_msg=name)
    for one, other in zip(again.masks, TWO.masks):
        np.testing.assert_array_equal(one, other)
    assert again.captions == TWO.captions


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(30, 100), st.integers(30, 60))
def test_cropped(x: int, y: int, width: int, height: int) -> None:
    crop = TWO.cropped((x, y, x + width, y + height))
    assert crop.size == (height, width)
    for row in range(2):
        for joint in DOTS:
            inside = ((crop.keypoints[row, joint] >= 0) & (crop.keypoints[row, joint] < (width, height))).all()
            assert (crop.known[row, joint] == VISIBLE) == inside
            place = found_at(crop, row, joint)
            if inside:
                assert place is not None
                assert np.abs(crop.keypoints[row, joint] - place).max() <= 1.01  # a dot at the border is cut
    check(replace(crop, known=np.zeros_like(crop.known)), {0: 0, 1: 1}, within=0.01)
    assert (crop.boxes >= 0).all()
    assert (crop.boxes <= (width, height, width, height)).all()


@settings(max_examples=15, deadline=None)
@given(st.floats(0.6, 2.5), st.floats(0.6, 2.5))
def test_resized(across: float, down: float) -> None:
    size = (round(120 * down), round(160 * across))
    resized = TWO.resized(size)
    assert resized.size == size
    check(resized, {0: 0, 1: 1}, within=1.0)
    np.testing.assert_allclose(resized.crowds[0, 2:] / (size[1], size[0]), (5 / 160, 6 / 120), rtol=1e-5)


@settings(max_examples=10, deadline=None)
@given(st.integers(60, 130), st.booleans())
def test_beside(height: int, turned: bool) -> None:
    one = dotted(90, height, [(20, 0)])
    other = replace(TWO, image=TWO.image, captions=(("a",), ("b",)))
    left, right = (other, one) if turned else (one, other)
    both = beside(left, right)
    low = min(height, 120)
    assert both.size[0] == low
    assert len(both.boxes) == len(both.keypoints) == len(both.known) == len(both.masks) == len(both.captions) == 3
    assert both.captions == left.captions + right.captions
    assert both.things is not None
    assert len(both.things) == 2
    assert len(both.crowds) == 2
    # Colours repeat between the two halves: each is looked at alone.
    border = round(left.size[1] * low / left.size[0])
    halves = both.cropped((0, 0, border, low)), both.cropped((border, 0, both.size[1], low))
    count = len(left.boxes)
    check(halves[0], {row: row for row in range(count)})
    check(halves[1], {count + row: row for row in range(len(right.boxes))})


@settings(max_examples=25, deadline=None)
@given(st.floats(0.5, 1.6), st.integers(-20, 150), st.integers(-20, 110))
@example(1.5, 0, 50)  # the lower half of somebody
def test_pasted(scale: float, x: int, y: int) -> None:
    plain = dotted(160, 120, [(10, 20)])
    donor = dotted(70, 90, [(0, 0), (15, 15)])
    made = pasted(plain, donor, 1, scale, (x, y))
    if made is None:
        return
    front = made.masks[-1]
    assert front is not None
    assert len(made.boxes) == len(made.keypoints) == len(made.known) == len(made.masks) == len(made.captions) == 2
    check(made, {0: 0, 1: 1}, within=1.5)
    behind = made.masks[0]
    assert behind is not None
    assert not (front & behind).any()
    for joint in DOTS:
        column, row = plain.keypoints[0, joint].astype(int)
        assert made.known[0, joint] == (HIDDEN if front[row, column] else VISIBLE)
    assert made.things is None


def test_pasting_hides_nobody_for_the_most_part_and_stays_in_the_picture() -> None:
    donor = dotted(70, 90, [(15, 15)])
    assert pasted(TWO, donor, 0, 1.0, (10, 20)) is None
    assert pasted(TWO, donor, 0, 1.0, (150, 100)) is None
    unmasked = replace(TWO, masks=(None, None))
    assert pasted(unmasked, donor, 0, 1.0, (10, 20)) is None
    made = pasted(TWO, donor, 0, 1.0, (50, 60))
    assert made is not None
    assert len(made.boxes) == 3


def test_people_of_a_view_are_its_labels() -> None:
    people = replace(TWO, masks=(TWO.masks[0], None)).people()
    assert people.size == TWO.size
    np.testing.assert_array_equal(people.keypoints, TWO.keypoints)
    assert people.confidence.sum() == 6
    assert people.masks is not None
    assert people.masks.known.tolist() == [True, False]
    np.testing.assert_array_equal(people.masks.bitmap(0), TWO.masks[0])
