"""`draw`: what must be seen in a picture, and what must not."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from anypose.draw import LEFT, MIDDLE, RIGHT, draw
from anypose.people import People
from anypose.prompt import Prompt
from anypose.skeleton import COCO17
from stand_in import somebody

SIZE = (240, 320)
BACKGROUNDS = {"black": 0, "grey": 127, "white": 255}


def canvas(level: int, size: tuple[int, int] = SIZE) -> Any:
    return np.full((*size, 3), level, np.uint8)


def standing(scale: float = 1.0, size: tuple[int, int] = SIZE, **fields: Any) -> People:
    """A person that faces the camera with arms and legs apart, so that no two bones meet."""
    places = {
        "nose": (0, 20), "left_eye": (5, 15), "left_ear": (11, 18), "left_shoulder": (25, 50),
        "left_elbow": (50, 80), "left_wrist": (75, 110), "left_hip": (17, 120), "left_knee": (25, 165),
        "left_ankle": (32, 210),
    }  # fmt: skip
    places |= {name.replace("left", "right"): (-x, y) for name, (x, y) in places.items()}
    points = np.array([places[name] for name in COCO17.keypoints], np.float32) * scale
    points += (size[1] / 2, 8 * scale)
    box = np.concatenate([points.min(axis=0) - 5 * scale, points.max(axis=0) + 5 * scale])
    fields = {"boxes": box[None], "keypoints": points[None], "masks": None} | fields
    return dataclasses.replace(somebody(size), **fields)


def near(drawn: Any, point: Any, colour: tuple[int, int, int]) -> bool:
    """Whether a colour stands within a pixel of a point (x, y)."""
    x, y = int(point[0]), int(point[1])
    patch = drawn[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].astype(int)
    return bool((np.abs(patch - np.array(colour)).max(axis=-1) < 30).any())


def luminance(image: Any) -> Any:
    return image.astype(float) @ np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("level", BACKGROUNDS.values(), ids=BACKGROUNDS.keys())
def test_left_and_right_have_their_colours_on_any_background(level: int) -> None:
    people = standing()
    image = canvas(level)
    drawn = draw(image, people, labels=False)
    assert (image == level).all(), "the picture given must not change"
    points = dict(zip(COCO17.keypoints, people.keypoints[0]))
    for limb in (("elbow", "wrist"), ("knee", "ankle")):
        for side, colour, other in (("left", LEFT, RIGHT), ("right", RIGHT, LEFT)):
            middle = (points[f"{side}_{limb[0]}"] + points[f"{side}_{limb[1]}"]) / 2
            assert near(drawn, middle, colour)
            assert not near(drawn, middle, other)
    assert near(drawn, (points["left_hip"] + points["right_hip"]) / 2, MIDDLE)


@pytest.mark.parametrize("level", BACKGROUNDS.values(), ids=BACKGROUNDS.keys())
def test_bones_and_labels_stand_out(level: int) -> None:
    people = standing(names=("goalie",))
    light = luminance(draw(canvas(level), people))
    x, y = ((people.keypoints[0, 7] + people.keypoints[0, 9]) / 2).astype(int)
    across = light[y - 8 : y + 9, x]
    assert across.max() - across.min() > 75, "a bone and its halo differ in lightness"
    tag = light[: int(people.boxes[0, 1]) + 20, int(people.boxes[0, 0]) : int(people.boxes[0, 0]) + 40]
    assert tag.max() - tag.min() > 90, "a label's letters and ground differ in lightness"


def test_small_people_get_thin_lines() -> None:
    def light_across_the_hips(scale: float) -> float:
        people = standing(scale)
        x, y = ((people.keypoints[0, 11] + people.keypoints[0, 12]) / 2).astype(int)
        column = draw(canvas(0), people, labels=False)[y - 9 : y + 9, x].max(axis=-1)
        return float(column.sum()) / 255

    assert 0.8 < light_across_the_hips(0.15) < 1.5
    assert 1.8 < light_across_the_hips(1.0) < 5


def test_doubtful_and_outside_keypoints() -> None:
    people = standing()
    wrist = COCO17.keypoints.index("left_wrist")
    plain = draw(canvas(0), people, labels=False)

    def brightness(**changes: Any) -> int:
        drawn = draw(canvas(0), dataclasses.replace(people, **changes), labels=False)
        x, y = people.keypoints[0, wrist].astype(int)
        return int(drawn[y, x].max())

    def confident(value: float) -> Any:
        confidence = people.confidence.copy()
        confidence[0, wrist] = value
        return confidence

    state = people.state.copy()
    state[0, wrist] = (0.1, 0.2, 0.7)
    x, y = people.keypoints[0, wrist].astype(int)
    sure = int(plain[y, x].max())
    assert brightness(confidence=confident(0.05)) == 0
    assert 0 < brightness(confidence=confident(0.4)) < sure
    assert brightness(state=state) == 0


def test_a_keypoint_beyond_the_edge_takes_its_bone_with_it() -> None:
    people = standing()
    keypoints = people.keypoints.copy()
    keypoints[0, COCO17.keypoints.index("left_wrist")] = (500, 110)
    drawn = draw(canvas(0), dataclasses.replace(people, keypoints=keypoints), labels=False)
    assert not drawn[:, 260:].any()


def test_hidden_keypoints_are_hollow() -> None:
    people = standing()
    ankle = COCO17.keypoints.index("left_ankle")
    state = people.state.copy()
    state[0, ankle] = (0.1, 0.9, 0.0)
    x, y = people.keypoints[0, ankle].astype(int)
    assert draw(canvas(255), people, labels=False)[y, x].max() > 200
    assert draw(canvas(255), dataclasses.replace(people, state=state), labels=False)[y, x].max() < 60


def test_masks_are_translucent() -> None:
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    people = somebody(SIZE)
    drawn = draw(image, people, skeletons=False, labels=False)
    assert people.masks is not None
    inside = people.masks.bitmap(0).copy()
    inside[:40], inside[-40:] = False, False
    inside[:, :100], inside[:, -100:] = False, False
    assert (drawn[inside] != image[inside]).any()
    assert np.corrcoef(drawn[inside].ravel(), image[inside].ravel())[0, 1] > 0.85
    assert (drawn[:10] == image[:10]).all()
    assert (draw(image, people, masks=False, skeletons=False, labels=False) == image).all()


def test_labels_do_not_cover_each_other_and_stay_inside() -> None:
    crowd = People.concatenate([standing(0.3, names=(f"player {i}",)) for i in range(4)])
    drawn = draw(canvas(0), crowd, skeletons=False)
    without = draw(canvas(0), crowd[:1], skeletons=False)
    assert (drawn > 0).any(axis=-1).sum() > 2.5 * (without > 0).any(axis=-1).sum()
    long = ("the person at the very edge of this picture",)
    edge = standing(names=long, boxes=np.array([[300, 0, 320, 9]]))
    assert draw(canvas(0), edge, skeletons=False).any()


def test_prompts_are_marked() -> None:
    prompt = Prompt(points=[(50, 60), (100, 60)], labels=[1, 0], scribble=[(20, 200), (90, 210)], box=(5, 5, 300, 200))
    drawn = draw(canvas(90), People.empty(SIZE), prompts=[prompt])
    assert drawn[60, 50].argmax() == 1
    assert drawn[60, 100].argmax() == 0
    assert drawn[205, 55].min() > 200
    assert drawn[3:8, 150].max() > 150


@pytest.mark.parametrize("box", [(0, 0, 0, 0), (-500, -500, 900, 900), (1000, 1000, 1200, 1300)])
def test_odd_places_do_no_harm(box: tuple[int, ...]) -> None:
    people = standing(boxes=np.array([box]))
    assert draw(canvas(10), people, boxes=True).shape == (*SIZE, 3)
    far = standing(keypoints=np.full((1, 17, 2), -1e6))
    assert (draw(canvas(10), far, labels=False) == 10).all()


def test_wrong_pictures_are_refused() -> None:
    people = somebody(SIZE)
    with pytest.raises(ValueError, match="of a picture of size"):
        draw(canvas(0, (100, 100)), people)
    with pytest.raises(ValueError, match="uint8"):
        draw(canvas(0).astype(np.float32), people)
    with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
        draw(canvas(0)[..., 0], people)
    assert (draw(canvas(9), People.empty(SIZE)) == 9).all()


def test_what_is_held_is_drawn_beyond_the_box() -> None:
    racket = COCO17.extended(
        "tennis19", ["racket_grip", "racket_tip"], [("racket_grip", "racket_tip"), ("racket_tip", "left_wrist")]
    )
    people = standing().to_skeleton(racket)
    points, confidence = people.keypoints.copy(), people.confidence.copy()
    points[0, 17:], confidence[0, 17:] = [(20, 200), (60, 40)], 1.0
    people = dataclasses.replace(people, keypoints=points, confidence=confidence)
    assert points[0, 17, 0] < people.boxes[0, 0] - 50, "far outside the box"
    drawn = draw(canvas(0), people, labels=False)
    assert near(drawn, (40, 120), MIDDLE)
    assert near(drawn, points[0, 18], MIDDLE)


@pytest.mark.parametrize("place", [(-5000.0, 40.0), (1e9, -1e9), (SIZE[1] + 0.5, 100.0)])
def test_points_outside_the_picture_are_left_out(place: tuple[float, float]) -> None:
    racket = COCO17.extended("tennis18", ["racket"], [("right_wrist", "racket")])
    people = standing().to_skeleton(racket)
    points, confidence = people.keypoints.copy(), people.confidence.copy()
    points[0, 17], confidence[0, 17] = place, 1.0
    beyond = dataclasses.replace(people, keypoints=points, confidence=confidence)
    assert (draw(canvas(127), beyond) == draw(canvas(127), people)).all()
    alone = dataclasses.replace(beyond, confidence=np.where(np.arange(18) == 17, 1.0, 0.0)[None])
    assert (draw(canvas(127), alone, labels=False) == 127).all()
