"""Simulated cameras and detectors, and the benchmark that they make of CMU's motion."""

from typing import Any

import numpy as np
import pytest

from anypose.data.simulated import ABOVE, NEAREST, USUAL, Benchmark, Detector, draw_cameras, film
from anypose.gaps import at_parents, between
from anypose.skeleton import CMU31, H36M17
from anypose.track import Track

NOISE = np.random.default_rng(1)


def walk(frames: int = 12, name: str = "01_01", far: float = 3.0) -> Track:
    """A stick that walks `far` metres along x."""
    points = np.zeros((frames, 31, 3))
    points[..., 1] = np.linspace(0, 1.7, 31)
    points[..., 0] = np.linspace(0, far, frames)[:, None] + NOISE.normal(0, 0.1, 31)
    return Track(np.arange(frames) / 60, points, skeleton=CMU31, space="world", name=name)


def test_cameras_look_at_their_targets_from_where_the_rig_says() -> None:
    targets = NOISE.normal((0, 1, 0), 3, (200, 3))
    for rig in (USUAL, ABOVE):
        cameras = draw_cameras(np.random.default_rng(0), targets, rig)
        seen = cameras.see(targets[:, None])
        np.testing.assert_allclose(seen[..., :2], 0, atol=1e-9)
        level = np.linalg.norm((cameras.position - targets)[:, [0, 2]], axis=1)
        for values, (low, high) in (
            (level, rig.distance),
            (cameras.position[:, 1], rig.height),
            (cameras.focal, rig.focal),
        ):
            assert low <= values.min() < low + 0.2 * (high - low)
            assert high - 0.2 * (high - low) < values.max() <= high
        # Up in the world is up in the picture, which is -y there, and the axes are a right-handed turn.
        assert (cameras.see(targets[:, None] + (0, 0.1, 0))[..., 1] < 0).all()
        np.testing.assert_allclose(np.linalg.det(cameras.rotation), 1)
        one = cameras.camera(3)
        points = targets[3] + NOISE.normal(0, 0.3, (5, 3))
        expected = cameras.screen(cameras.see(np.broadcast_to(points, (200, 5, 3))))[3]
        np.testing.assert_allclose(one.to_screen(one.project(one.to_camera(points))), expected, atol=1e-9)


def test_a_film_is_what_its_camera_projects() -> None:
    picture, body = film(walk(), np.random.default_rng(0))
    assert body.camera is not None
    np.testing.assert_allclose(body.camera.project(body.keypoints), picture.keypoints, atol=1e-2)
    assert (picture.skeleton, picture.size, body.space) == (H36M17, (1000, 1000), "camera")
    again = body.camera.to_world(body.keypoints)
    np.testing.assert_allclose(np.ptp(again[..., 0]), np.ptp(walk().to_skeleton(H36M17)[0].keypoints[..., 0]), atol=0.2)
    with pytest.raises(ValueError, match="not one in the space 'camera'"):
        film(body, np.random.default_rng(0))


def test_a_camera_steps_back_from_who_would_run_into_it() -> None:
    for seed in range(5):
        _, body = film(walk(far=30.0), np.random.default_rng(seed))
        assert body.keypoints[..., 2].min() >= NEAREST


def test_a_detector_errs_and_loses_as_it_says() -> None:
    truth = NOISE.normal(0, 1, (40, 60, 17, 2))
    tall = np.ptp(truth, axis=2).max(-1)
    exact = Detector(noise=0, far=0, lost=0).detect(np.random.default_rng(0), truth)
    np.testing.assert_array_equal(exact[0], truth)
    found, sure = Detector(far=0).detect(np.random.default_rng(0), truth)
    known = sure > 0
    assert known.mean() == pytest.approx(0.97, abs=0.01)
    assert (found[~known] == 0).all()
    error = np.where(known[..., None], (found - truth) / tall[..., None, None], np.nan)
    hip, wrist = (np.nanstd(error[:, :, H36M17.index(name)]) for name in ("left_hip", "left_wrist"))
    assert hip == pytest.approx(0.008, rel=0.1)
    assert wrist == pytest.approx(0.008 * 1.6, rel=0.1)
    # The error lasts, and what is lost is lost for some frames.
    later = error[:, 1:, 1, 0], error[:, :-1, 1, 0]
    both = np.isfinite(later[0]) & np.isfinite(later[1])
    assert np.corrcoef(later[0][both], later[1][both])[0, 1] == pytest.approx(0.8, abs=0.05)
    lost = ~known
    assert lost[:, 1:][lost[:, :-1]].mean() == pytest.approx(5 / 6, abs=0.05)
    # Whoever errs more is less sure.
    size = np.linalg.norm(error, axis=-1)
    order = np.argsort(size[known])
    assert sure[known][order[:500]].mean() > sure[known][order[-500:]].mean() + 0.1


def test_the_benchmark_is_fixed_by_its_seed() -> None:
    clips = {name: walk(name=name) for name in ("01_01", "01_02", "02_01", "02_02")}
    one, other = (Benchmark(clips, cameras=2, seed=seed) for seed in (0, 1))
    assert (one.train(), one.test()) == (("01_01",), ("02_01", "02_02"))
    pairs = list(one.pairs(one.test(), "unseen"))
    assert len(pairs) == 4
    again = list(Benchmark(clips, cameras=2).pairs(one.test(), "unseen"))
    assert all(a.equals(b) for pair, twin in zip(pairs, again) for a, b in zip(pair, twin))
    assert not pairs[0][0].equals(next(other.pairs(one.test(), "unseen"))[0])
    # Cameras stand at the same angles around every clip; seen, unseen and above are three sets.
    angles = {which: next(one.pairs(("02_01",), which))[1].camera for which in ("seen", "unseen", "above")}
    focal = [taken.focal[0] for taken in angles.values() if taken is not None]
    assert len(set(focal)) == 3
    assert all(pair[1].camera.focal[0] == focal[1] for pair in pairs[:2] if pair[1].camera is not None)
    assert ABOVE.height[0] <= angles["above"].position[1] <= ABOVE.height[1]  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="not 'hidden'"):
        next(one.pairs(one.test(), "hidden"))


def test_gaps_are_filled_between_neighbours_for_any_leading_sides() -> None:
    times = np.array([0, 1, 3, 4, 10.0])
    places = NOISE.normal(size=(3, 5, 4, 2))
    sure = NOISE.random((3, 5, 4)) < 0.5
    sure[0, :, 0], sure[0, :, 1] = False, True
    found = between(places, sure, times)
    for clip in range(3):
        for joint in range(4):
            known: Any = sure[clip, :, joint]
            for axis in range(2):
                expected = places[clip, :, joint, axis]
                if known.any():
                    expected = np.interp(times, times[known], expected[known])
                np.testing.assert_allclose(found[clip, :, joint, axis], expected, atol=1e-12)


def test_what_is_never_seen_lies_on_its_parent() -> None:
    places = NOISE.normal(size=(2, 3, 17, 2))
    missing = np.zeros((2, 17), bool)
    missing[0, [H36M17.index(name) for name in ("left_knee", "left_ankle")]] = True
    found = at_parents(places, missing, H36M17)
    for name in ("left_knee", "left_ankle"):
        np.testing.assert_array_equal(found[0, :, H36M17.index(name)], places[0, :, H36M17.index("left_hip")])
    np.testing.assert_array_equal(found[1], places[1])
    missing[0, 0] = True
    with pytest.raises(ValueError, match="pelvis is missing"):
        at_parents(places, missing, H36M17)
