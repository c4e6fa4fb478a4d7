"""Clips for lifters, and the recipe that learns from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anypose.models.lifting.lever import Lever
from anypose.recipes import experiment, loop
from anypose.recipes.lifting_data import (
    PLAIN,
    LiftingData,
    People,
    as_of_coco,
    detected,
    stretched,
    varied,
    with_limbs_of,
)
from anypose.skeleton import CMU31, COCO17, H36M17, derive
from anypose.track import Track

NOISE = np.random.default_rng(8)
EXPERIMENT = Path(__file__).parents[1] / "experiments" / "lifting_default.py"


def motion(frames: int = 80, seed: int = 0) -> Track:
    """A body of CMU's skeleton that sways, a metre over the ground."""
    random = np.random.default_rng(seed)
    start, sway = random.normal(0, 0.3, (31, 3)), random.normal(0, 0.1, (31, 3))
    phase = np.arange(frames)[:, None, None] / 9 + random.uniform(0, 6, (31, 1))
    return Track(np.arange(frames) / 60, start + sway * np.sin(phase) + (0, 1, 0), skeleton=CMU31, space="world")


def bones(bodies: Any) -> Any:
    """Lengths (..., 17) of the bones that end in each joint; 0 for the root."""
    parents = np.array([max(parent, 0) for parent in H36M17.parents or ()])
    return np.linalg.norm(bodies - bodies[..., parents, :], axis=-1)


def test_a_batch_is_fixed_by_its_number_and_holds_what_a_camera_sees() -> None:
    one, other = (LiftingData([motion()], batch=6, frames=9, seed=seed) for seed in (0, 1))
    first, again = one.batch(3), next(one.batches(3))
    assert torch.equal(first.keypoints, again.keypoints)
    assert not torch.equal(first.keypoints, other.batch(3).keypoints)
    assert not torch.equal(first.keypoints, one.batch(4).keypoints)
    assert first.keypoints.shape == (6, 9, 17, 2)
    assert first.joints.shape == (6, 9, 17, 3)
    assert (first.joints[:, :, 0] == 0).all()
    plain = LiftingData([motion()], batch=6, frames=9, detector=None, people=PLAIN, aim=0.0).batch(0)
    # Rays and bodies fit: the roots' places that follow from them are before the camera, and few.
    body, screen = plain.joints.double().numpy(), plain.keypoints.double().numpy()
    apart = np.abs(np.diff(screen[..., 1], axis=2)).max()
    assert 0.01 < apart < 2
    flat = body[..., :2] - body[:, :, :1, :2]
    seen = screen - screen[:, :, :1]
    agree = np.sign(flat) == np.sign(seen)
    assert agree[np.abs(flat) > 0.2].mean() > 0.9


def test_clips_do_not_reach_into_another_motion() -> None:
    tracks = [motion(5, seed=1), motion(5, seed=2)]
    data = LiftingData(tracks, batch=64, frames=9)
    windows = data._windows(np.random.default_rng(0))
    bodies = [track.to_skeleton(H36M17)[0].keypoints for track in tracks]
    for window in windows:
        homes = {
            i for frame in window for i, body in enumerate(bodies) if (np.abs(body - frame) < 1e-6).all((1, 2)).any()
        }
        assert len(homes) == 1


def test_bones_are_stretched_on_both_sides_alike() -> None:
    bodies = NOISE.normal(0, 0.3, (2, 4, 17, 3))
    factors = NOISE.uniform(0.8, 1.2, (2, 17))
    np.testing.assert_allclose(bones(stretched(bodies, factors)), bones(bodies) * factors[:, None], atol=1e-12)
    other = varied(np.random.default_rng(0), bodies, People(scale=0, arms=0, legs=0, tilt=0))
    ratio = np.sort(bones(other)[0, 0, 1:] / bones(bodies)[0, 0, 1:])
    assert 0.9 <= ratio[0] < ratio[-1] <= 1.1 or np.allclose(
        bones(other)[0], bones(bodies)[0][:, H36M17.mirror], rtol=0.1
    )


def test_limbs_of_another_stand_to_the_trunk_as_they_did_there() -> None:
    bodies = NOISE.normal(0, 0.3, (3, 4, 17, 3))
    np.testing.assert_allclose(with_limbs_of(bodies, bodies, "arms"), bodies, atol=1e-12)
    turned = bodies @ np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    np.testing.assert_allclose(with_limbs_of(bodies, turned, "legs"), bodies, atol=1e-9)
    mixed = with_limbs_of(bodies, NOISE.normal(0, 0.3, bodies.shape), "arms")
    same = [name for i, name in enumerate(H36M17.keypoints) if np.array_equal(mixed[:, :, i], bodies[:, :, i])]
    assert set(H36M17.keypoints) - set(same) == {"left_elbow", "left_wrist", "right_elbow", "right_wrist"}


def test_the_trunk_is_made_of_cocos_keypoints_as_tracks_have_it() -> None:
    screen = NOISE.normal(0, 0.3, (2, 4, 17, 2))
    made = as_of_coco(np.random.default_rng(0), screen)
    coco = np.zeros((2, 4, 17, 2))
    for joint, name in enumerate(COCO17.keypoints):
        if name in H36M17.keypoints:
            coco[:, :, joint] = screen[:, :, H36M17.index(name)]
        if name.endswith("ear"):
            coco[:, :, joint] = made[:, :, H36M17.index("head")]
    expected = derive(coco, np.ones((2, 4, 17)), COCO17, H36M17).keypoints
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_hidden_limbs_lie_where_lifting_puts_them() -> None:
    screen = NOISE.normal(0, 0.3, (40, 4, 17, 2))
    people = People(coco=0, hidden=1, ends=0)
    found = detected(np.random.default_rng(0), screen, None, people)
    moved = (found != screen).any((1, 3))
    assert moved.any(1).all()
    assert not moved[:, H36M17.root].any()
    ankle, knee, hip = (H36M17.index(f"left_{name}") for name in ("ankle", "knee", "hip"))
    rows = moved[:, ankle]
    assert rows.any()
    on_knee = (found[rows, :, ankle] == screen[rows, :, knee]).all((1, 2))
    on_hip = (found[rows, :, ankle] == screen[rows, :, hip]).all((1, 2))
    assert (on_knee | on_hip).all()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    clips = {f"{s}_{c}/positions": motion(60, seed=c).keypoints for s in ("01", "02") for c in (1, 2)}
    np.savez(tmp_path / "cmu.npz", **clips)  # type: ignore[arg-type]
    return tmp_path / "cmu.npz"


def test_the_experiment_learns(archive: Path, tmp_path: Path) -> None:
    changes = [f"motion={archive}", "system=lifting/lever/tiny", "data={'frames': 10, 'batch': 16}", "lr=1e-2"]
    changes += ["steps=40", "warmup=5", "save_every=40", "log_every=5"]
    recipe, settings = experiment.build(experiment.read(EXPERIMENT, changes), tmp_path / "run")
    model = loop.train(recipe, settings, tmp_path / "run")
    assert isinstance(model, Lever)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    totals = [float(line.split('"joints": ')[1].split(",")[0]) for line in lines]
    assert totals[-1] < 0.8 * totals[0]


def test_a_system_of_another_skeleton_is_refused(archive: Path, tmp_path: Path) -> None:
    changes = [f"motion={archive}", "system=lifting/gla_gcn/humaneva"]
    with pytest.raises(ValueError, match="reads humaneva15; this recipe has keypoints of h36m17"):
        experiment.build(experiment.read(EXPERIMENT, changes), tmp_path / "run")
    with pytest.raises(FileNotFoundError, match=r"none\.npz is not there"):
        experiment.build(experiment.read(EXPERIMENT, ["motion=none.npz"]), tmp_path / "run")


def test_strides_of_the_middle_are_what_whole_clips_give() -> None:
    torch.manual_seed(0)
    for frames in (1, 3, 9, 27):
        model = Lever(frames=frames, width=16)
        for _ in range(2):
            model(torch.randn(4, 12, 17, 2))  # so that the norms have something to say
        model.eval()
        clip = torch.randn(2, frames + 3, 17, 2)
        whole = model(clip)[:, frames // 2 : frames // 2 + 4]
        middles = torch.cat([model.middle(clip[:, i : i + frames]) for i in range(4)], 1)
        torch.testing.assert_close(whole, middles, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="a power of 3, not 8"):
        Lever(frames=8)
