"""Tracks: one person through time."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anypose.camera import Camera
from anypose.people import People
from anypose.skeleton import COCO17, H36M17
from anypose.track import Track

NOISE = np.random.default_rng(11)


def track(frames: int = 5, joints: int = 17, sides: int = 2, **changes: Any) -> Track:
    fields: dict[str, Any] = {
        "times": np.arange(frames) / 30 + 1 / 3,
        "keypoints": NOISE.normal(300, 99, (frames, joints, sides)),
        "confidence": NOISE.uniform(0.3, 1, (frames, joints)),
        "size": (480, 640),
    }
    return Track(**(fields | changes))


def camera() -> Camera:
    return Camera((480, 640), np.array([700, 701]), np.array([320, 241]), name="one")


def person(x: float, name: str | None = None, number: int = 1) -> People:
    """`number` people whose keypoints all lie at (x, 2 x)."""
    return People(
        size=(480, 640),
        boxes=np.tile([0, 0, 9, 9], (number, 1)),
        scores=np.ones(number),
        keypoints=np.tile([x, 2 * x], (number, 17, 1)),
        confidence=np.full((number, 17), 0.9),
        state=np.zeros((number, 17, 3)),
        names=None if name is None else (name,) * number,
    )


NOBODY = People.empty((480, 640))


def test_a_track_survives_json_to_the_last_bit(tmp_path: Path) -> None:
    one = track(
        filled=[False, True, False, False, True],
        camera=camera(),
        name="Ada",
        note="seen",
        times=NOISE.random(5).cumsum(),
    )
    path = tmp_path / "track.json"
    one.save(path)
    again = Track.load(path)
    assert again.equals(one)
    for field in dataclasses.fields(Track):
        mine, theirs = getattr(one, field.name), getattr(again, field.name)
        if isinstance(mine, np.ndarray):
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs)
    assert json.loads(path.read_text())["filled"] == [False, True, False, False, True]
    space = track(sides=3, space="camera", skeleton=H36M17)
    assert Track.from_json(space.to_json()).equals(space)
    assert not space.equals(one)


def test_arrays_are_copies_that_cannot_be_written_to() -> None:
    keypoints = np.ones((5, 17, 2))
    one = track(keypoints=keypoints)
    keypoints[:] = 7
    assert one.keypoints.max() == 1
    for name in ("times", "keypoints", "confidence", "filled"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(one, name)[0] = 1


def test_a_short_record_is_enough() -> None:
    record = {"format": "anypose track 1", "times": [0, 1], "skeleton": "coco17", "keypoints": np.ones((2, 17, 2))}
    one = Track.from_dict(record)
    assert one.confidence.min() == 1
    assert (one.space, one.rate, one.size) == ("picture", 1.0, None)


def test_people_become_a_track_and_gaps_are_filled() -> None:
    frames = [NOBODY, person(10, "a"), NOBODY, NOBODY, person(40, "a"), NOBODY]
    one = Track.from_people(frames, rate=10)
    np.testing.assert_allclose(one.keypoints[:, 3, 0], [10, 10, 20, 30, 40, 40], rtol=1e-6)
    np.testing.assert_allclose(one.keypoints[:, 3, 1], [20, 20, 40, 60, 80, 80], rtol=1e-6)
    assert one.filled.tolist() == [True, False, True, True, False, True]
    assert one.confidence[:, 0].tolist() == pytest.approx([0, 0.9, 0, 0, 0.9, 0])
    assert (one.name, one.size, one.rate) == ("a", (480, 640), pytest.approx(10))
    # Uneven times: the gap is filled by time, not by number.
    uneven = Track.from_people([person(0), NOBODY, person(40)], times=[0, 3, 4])
    assert uneven.keypoints[1, 0, 0] == 30


def test_a_name_picks_the_person() -> None:
    both = [People.concatenate([person(1, "a"), person(2, "b")])] * 2
    assert Track.from_people(both, rate=1, name="b").keypoints[0, 0, 0] == 2
    with pytest.raises(ValueError, match="frame 0 has 2 people and a track is one person: name one of a, b"):
        Track.from_people(both, rate=1)
    with pytest.raises(ValueError, match="'a' does not tell apart"):
        Track.from_people([person(1, "a", 2)], rate=1, name="a")
    with pytest.raises(ValueError, match="ask for one person"):
        Track.from_people([person(1, number=2)], rate=1)


@pytest.mark.parametrize(
    ("frames", "options", "message"),
    [
        ([NOBODY], {"rate": 1}, "nobody is in any of the 1 frames"),
        ([person(1)], {}, "either the times"),
        ([person(1)], {"rate": 0}, "positive number of frames a second, not 0"),
        ([person(1)], {"times": [0, 1]}, "2 times for 1 frames"),
        ([person(1), dataclasses.replace(person(1), size=(9, 9))], {"rate": 1}, "share the size"),
    ],
)
def test_frames_that_make_no_track_are_named(frames: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Track.from_people(frames, **options)


def test_a_warp_moves_keypoints_and_camera() -> None:
    one = track(camera=camera())
    moved = one.warp(np.array([[0.5, 0, 3], [0, 2, 4]]), (960, 326))
    np.testing.assert_allclose(moved.keypoints, one.keypoints * (0.5, 2) + (3, 4), rtol=1e-6)
    assert moved.camera is not None
    np.testing.assert_allclose(moved.camera.focal, (350, 1402))
    assert moved.size == (960, 326)
    with pytest.raises(ValueError, match="metres"):
        track(sides=3).warp([[1, 0, 0], [0, 1, 0]], (9, 9))


def test_a_mirror_twice_is_nothing() -> None:
    for one in (track(camera=dataclasses.replace(camera(), distortion=np.arange(5) / 9)), track(sides=3)):
        flipped = one.mirror()
        np.testing.assert_allclose(flipped.mirror().keypoints, one.keypoints, rtol=1e-5)
        left, right = COCO17.index("left_knee"), COCO17.index("right_knee")
        width = 640 if one.space == "picture" else 0
        np.testing.assert_allclose(flipped.keypoints[:, left, 0], width - one.keypoints[:, right, 0], rtol=1e-5)
        np.testing.assert_array_equal(flipped.confidence[:, left], one.confidence[:, right])
    with pytest.raises(ValueError, match="size of the pictures"):
        track(size=None).mirror()
    with pytest.raises(ValueError, match="world"):
        track(sides=3, space="world").mirror()


def test_another_skeleton_is_made_aloud() -> None:
    one, said = track().to_skeleton(H36M17)
    assert one.skeleton == H36M17
    assert one.keypoints.shape == (5, 17, 2)
    assert said[0] == "pelvis: the middle of the hips"
    assert one.to_skeleton(H36M17) == (one, ())
    back, said = one.to_skeleton(COCO17)
    assert "nose: missing" in said
    assert back.confidence[:, 0].max() == 0


def test_uncertain_keypoints_go_between_their_sure_neighbours() -> None:
    keypoints = np.zeros((5, 17, 2))
    keypoints[:, 9] = [[0, 0], [99, 99], [99, 99], [30, 60], [99, 99]]
    confidence = np.ones((5, 17))
    confidence[:, 9], confidence[:, 4] = [1, 0, 0.2, 1, 0], 0.1
    one, never = track(keypoints=keypoints, confidence=confidence).filled_in()
    np.testing.assert_allclose(one.keypoints[:, 9], [[0, 0], [10, 20], [20, 40], [30, 60], [30, 60]], atol=1e-4)
    assert never == ("right_ear",)


def test_slices_keep_all_together() -> None:
    one = track(filled=[False, True, False, False, False])
    part = one[1:3]
    assert len(part) == 2
    assert part.filled.tolist() == [True, False]
    np.testing.assert_array_equal(part.times, one.times[1:3])
    with pytest.raises(TypeError, match="slice"):
        one[3]  # type: ignore[index]
    assert "5 frames in 0.133 s, 1 filled in, coco17, 2D, picture" in repr(one)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"times": []}, "at least one frame"),
        ({"times": [0, 1, 1, 2, 3]}, "frame 2 \\(1 s\\) is not after 1 s"),
        ({"times": [0, 1, np.nan, 2, 3]}, "time of frame 2 is not a finite"),
        ({"times": [0, 1]}, "\\(5, 17, 2\\); expected \\(2, 17, 2 or 3\\)"),
        ({"keypoints": np.ones((5, 16, 2))}, "the 17 keypoints of coco17"),
        ({"keypoints": "here"}, "must be numbers"),
        ({"confidence": np.full((5, 17), 1.5)}, "holds 1.5"),
        ({"confidence": np.full((5, 17), np.nan)}, "holds nan"),
        ({"confidence": np.ones(5)}, "expected \\(5, 17\\)"),
        ({"filled": [0, 1, 0, 1, 0]}, "true or false"),
        ({"space": "root"}, "'picture'"),
        ({"space": "moon"}, "'picture'"),
        ({"camera": camera(), "size": (9, 9)}, "the camera takes pictures of"),
    ],
)
def test_what_does_not_fit_is_named(change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        track(**change)


def test_a_keypoint_that_is_not_a_number_is_named() -> None:
    keypoints = np.ones((5, 17, 2))
    keypoints[3, 9, 1] = np.nan
    with pytest.raises(ValueError, match="left_wrist of frame 3 is not a finite number; a missing keypoint has"):
        track(keypoints=keypoints)


def test_a_file_that_is_no_track_is_named(tmp_path: Path) -> None:
    path = tmp_path / "track.json"
    for text, message in (
        ("{", "track.json: "),
        ("[]", "not a track of this library.*'list'"),
        (person(1).to_json(), "found 'anypose people 1'"),
        ('{"format": "anypose track 1"}', "lacks times, keypoints, skeleton"),
        (json.dumps(track().to_dict() | {"skeleton": "coco18"}), "no skeleton 'coco18'; there are coco17"),
        (json.dumps(track().to_dict() | {"skeleton": 3}), "a skeleton is a name or a record"),
        (json.dumps(track().to_dict() | {"camera": 3}), "a camera is a record"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            Track.load(path)
