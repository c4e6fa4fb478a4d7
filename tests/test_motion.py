"""Bodies in space as other programs read them: what was written is read again by rules of its own."""

from __future__ import annotations

import csv
import json
import re
from typing import Any

import numpy as np
import pytest

from anypose.camera import rotation_matrix
from anypose.motion import on_floor, upright
from anypose.motion.bvh import bvh, euler, rigid
from anypose.motion.page import page
from anypose.motion.tables import as_csv, as_trc
from anypose.motion.turntable import LEFT, RIGHT, turntable
from anypose.skeleton import CMU31, H36M17, HUMANEVA15, MPI_INF_3DHP17, Skeleton
from anypose.track import Track

NOISE = np.random.default_rng(4)


def dance(frames: int = 20, skeleton: Skeleton = H36M17, **changes: Any) -> Track:
    """A body whose bones turn anyhow and keep their lengths within a few per cent, in the camera's frame."""
    assert skeleton.parents is not None
    start = NOISE.normal(0, 0.3, (len(skeleton), 3))
    sway = NOISE.normal(0, 0.25, (len(skeleton), 3))
    phase = np.arange(frames)[:, None, None] / 7 + NOISE.uniform(0, 6, len(skeleton))[:, None]
    points = start + sway * np.sin(phase)
    fields: dict[str, Any] = {"times": np.arange(frames) / 50, "skeleton": skeleton, "space": "camera"}
    return Track(keypoints=points + np.array([0.3, -0.2, 4.0]), **(fields | changes))


def moved(text: str) -> tuple[dict[str, Any], float]:
    """Where each named joint of a BVH is (T, 3) by forward kinematics, and the time of a frame."""
    words = text.split()
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[list[str]] = []
    stack: list[int] = []
    at = 0
    while words[at] != "MOTION":
        word = words[at]
        if word in ("ROOT", "JOINT", "End"):
            parents.append(stack[-1] if stack else -1)
            names.append(words[at + 1] if word != "End" else f"end {len(names)}")
            channels.append([])
        elif word == "{":
            stack.append(len(names) - 1)
        elif word == "}":
            stack.pop()
        elif word == "OFFSET":
            offsets.append([float(value) for value in words[at + 1 : at + 4]])
        elif word == "CHANNELS":
            channels[-1] = words[at + 2 : at + 2 + int(words[at + 1])]
        at += 1
    frames = int(words[at + 2])
    step = float(words[at + 5])
    rows = np.array(words[at + 6 :], float).reshape(frames, -1)
    assert rows.shape[1] == sum(len(part) for part in channels)
    column = 0
    places: list[Any] = []
    turns: list[Any] = []
    for joint, parent in enumerate(parents):
        turn, shift = np.broadcast_to(np.eye(3), (frames, 3, 3)), np.tile(offsets[joint], (frames, 1))
        for channel in channels[joint]:
            value, axis = rows[:, column], "XYZ".index(channel[0])
            column += 1
            if channel.endswith("position"):
                shift[:, axis] += value
            else:
                half = np.zeros((frames, 4))
                half[:, 0], half[:, axis + 1] = np.cos(np.deg2rad(value) / 2), np.sin(np.deg2rad(value) / 2)
                turn = turn @ rotation_matrix(half)
        if parent >= 0:
            shift = places[parent] + np.einsum("tij,tj->ti", turns[parent], shift)
            turn = turns[parent] @ turn
        places.append(shift)
        turns.append(turn)
    return dict(zip(names, places)), step


@pytest.mark.parametrize("skeleton", [H36M17, HUMANEVA15, MPI_INF_3DHP17, CMU31], ids=lambda s: s.name)
def test_the_joints_of_a_bvh_return(skeleton: Skeleton) -> None:
    track = dance(skeleton=skeleton)
    found, step = moved(bvh(track))
    assert step == pytest.approx(0.02)
    expected = on_floor(rigid(upright(track), skeleton))
    for joint, name in enumerate(skeleton.keypoints):
        np.testing.assert_allclose(found[name] / 100, expected[:, joint], atol=1e-5, err_msg=name)
    assert min(values[:, 1].min() for name, values in found.items() if not name.startswith("end")) > -1e-3


def test_bones_of_a_bvh_have_their_middle_lengths_and_directions() -> None:
    points = upright(dance())
    body = rigid(points, H36M17)
    thigh, found = body[:, 2] - body[:, 1], points[:, 2] - points[:, 1]
    lengths = np.linalg.norm(found, axis=1)
    assert np.ptp(lengths) > 0.01
    np.testing.assert_allclose(np.linalg.norm(thigh, axis=1), np.median(lengths))
    np.testing.assert_allclose(thigh / np.median(lengths), found / lengths[:, None], atol=1e-12)


def test_a_body_that_stands_as_at_rest_is_not_turned() -> None:
    still = np.zeros((2, 17, 3))
    for name, place in {"knee": (0.1, 0.5, 0), "ankle": (0.1, 0.9, 0), "hip": (0.1, 0, 0)}.items():
        still[:, H36M17.index(f"left_{name}")] = place
        still[:, H36M17.index(f"right_{name}")] = np.array(place) * (-1, 1, 1)
    for name, up in {"spine": 0.25, "thorax": 0.5, "upper_neck": 0.6, "head": 0.7}.items():
        still[:, H36M17.index(name)] = (0, -up, 0)
    for name, across in {"shoulder": 0.2, "elbow": 0.5, "wrist": 0.7}.items():
        still[:, H36M17.index(f"left_{name}")] = (across, -0.5, 0)
        still[:, H36M17.index(f"right_{name}")] = (-across, -0.5, 0)
    text = bvh(Track([0, 0.1], still, skeleton=H36M17))  # type: ignore[arg-type]
    numbers = np.array([line.split() for line in text.splitlines()[-2:]], float)
    np.testing.assert_allclose(numbers[:, 3:], 0, atol=1e-4)
    np.testing.assert_allclose(numbers[:, :3], [[0, 90, 0]] * 2, atol=1e-4)


def test_angles_do_not_jump_and_give_the_turns_back() -> None:
    angle = np.linspace(0, 4 * np.pi, 100)
    half = np.stack([np.cos(angle / 2), *(axis * np.sin(angle / 2) for axis in (0.6, 0.0, 0.8))], 1)
    angles = euler(rotation_matrix(half))
    assert np.abs(np.diff(angles, axis=0)).max() < 45
    for axis in (1, 2, 3):  # also at the poles
        quarter = np.zeros((1, 4))
        quarter[:, 0], quarter[:, axis] = np.sqrt(0.5), np.sqrt(0.5)
        assert np.abs(euler(rotation_matrix(quarter))).max() == pytest.approx(90)


def test_a_track_that_makes_no_bvh_is_named() -> None:
    flat = Track(np.arange(2), np.ones((2, 17, 2)), size=(9, 9))
    with pytest.raises(ValueError, match="coco17 is no tree"):
        bvh(flat)
    picture = Track(np.arange(2), np.ones((2, 17, 2)), skeleton=H36M17, size=(9, 9))
    for write in (bvh, as_csv, as_trc, page, turntable):
        with pytest.raises(ValueError, match="is in a picture; lift it first"):
            write(picture)


def test_a_csv_holds_every_number() -> None:
    track = dance(5, filled=[False, True, False, False, False], confidence=NOISE.random((5, 17)))
    rows = list(csv.DictReader(as_csv(track).splitlines()))
    assert len(rows) == 5
    assert [row["filled"] for row in rows] == ["0", "1", "0", "0", "0"]
    for frame, row in enumerate(rows):
        assert float(row["time"]) == pytest.approx(track.times[frame])
        for joint, name in enumerate(H36M17.keypoints):
            place = [float(row[f"{name}_{axis}"]) for axis in "xyz"]
            np.testing.assert_allclose(place, track.keypoints[frame, joint] * (1, -1, -1), atol=1e-6)
            assert float(row[f"{name}_confidence"]) == pytest.approx(track.confidence[frame, joint], abs=1e-4)


def test_a_trc_has_the_form_of_opensim() -> None:
    track = dance(4)
    lines = as_trc(track, "dance.trc").splitlines()
    assert lines[0] == "PathFileType\t4\t(X/Y/Z)\tdance.trc"
    stated = dict(zip(lines[1].split("\t"), lines[2].split("\t")))
    assert (stated["NumFrames"], stated["NumMarkers"], stated["Units"]) == ("4", "17", "mm")
    assert float(stated["DataRate"]) == pytest.approx(50)
    names = [name for name in lines[3].split("\t")[2:] if name]
    assert tuple(names) == H36M17.keypoints
    assert lines[4].split("\t")[2:5] == ["X1", "Y1", "Z1"]
    assert lines[5] == ""
    rows = np.array([line.split("\t") for line in lines[6:]], float)
    assert rows[:, 0].tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(rows[:, 1], track.times, atol=1e-6)
    np.testing.assert_allclose(rows[:, 2:].reshape(4, 17, 3), upright(track) * 1000, atol=1e-3)


def test_the_page_holds_the_track_and_needs_nothing_else() -> None:
    track = dance(6, name="</script><b>Ada", note="as large & as small")
    text = page(track)
    assert "http" not in text
    assert not re.search(r"\b(src|href)=", text)
    assert "<b>Ada" not in text
    assert text.count("</script>") == 1
    assert "as large &amp; as small" in text
    (line,) = [line for line in text.splitlines() if line.startswith("const data = ")]
    data = json.loads(line.removeprefix("const data = ").removesuffix(";"))
    np.testing.assert_allclose(data["bodies"], upright(track), atol=1e-4)
    sides = {tuple(bone[:2]): bone[2] for bone in data["bones"]}
    assert (sides[0, 4], sides[0, 1], sides[0, 7]) == (1, 2, 0)


def test_the_turntable_shows_left_and_right_from_every_side() -> None:
    sheet = turntable(dance(30), views=4, moments=2)
    assert sheet.shape == (480, 960, 3)
    for row in range(2):
        for column in range(4):
            cell = sheet[row * 240 : (row + 1) * 240, column * 240 : (column + 1) * 240].reshape(-1, 3)
            for colour in (LEFT, RIGHT):
                assert (np.abs(cell.astype(int) - colour).max(1) < 30).sum() > 50
    assert turntable(dance(1)).shape == (240, 1440, 3)


def test_world_tracks_are_taken_as_they_are() -> None:
    world = dance(3, space="world")
    np.testing.assert_array_equal(upright(world), world.keypoints)
