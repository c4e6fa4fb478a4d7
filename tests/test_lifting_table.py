"""The experiment that compares lifting systems: what they are given, and what it writes."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from anypose.camera import rotation_matrix
from anypose.data.simulated import USUAL
from anypose.models.lifting.diffpose import VARIANTS, DiffPose
from anypose.ops.poses import Clips
from anypose.skeleton import CMU31
from anypose.track import Track
from conftest import ROOT

NOISE = np.random.default_rng(3)


@pytest.fixture(scope="module")
def table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lifting_table", ROOT / "experiments" / "lifting_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def test_clips_do_not_depend_on_where_in_the_picture_a_person_is(table: ModuleType) -> None:
    """Nor on how large: a camera that turns, and one that zooms, change nothing but the axes."""
    bodies = NOISE.normal(0, 0.3, (4, table.FRAMES, 17, 3))
    bodies -= bodies[:, :, :1]
    points = bodies + np.array([0.2, -0.1, 4.0])
    straight = table.looked_at(points[..., :2] / points[..., 2:], bodies)
    np.testing.assert_allclose(straight.keypoints[:, table.FRAMES // 2, 0], 0, atol=1e-6)
    sizes = straight.keypoints.norm(dim=-1).mean((1, 2))
    np.testing.assert_allclose(sizes, table.SIZE, rtol=1e-5)
    angle = 0.3  # about the vertical, as a camera pans
    pan = rotation_matrix(np.array([[np.cos(angle / 2), 0, np.sin(angle / 2), 0]]))[0]
    seen = points @ pan.T
    panned = table.looked_at(seen[..., :2] / seen[..., 2:], bodies @ pan.T)
    np.testing.assert_allclose(panned.keypoints, straight.keypoints, atol=1e-5)
    np.testing.assert_allclose(panned.joints, straight.joints, atol=1e-5)


def test_cameras_that_are_learned_from_stand_as_the_seen_ones(table: ModuleType) -> None:
    places = [(1.0, 4.0, 2.0), (2.0, 6.0, 2.5)]
    azimuth, *rest = table.Places(given=places).draw(np.random.default_rng(0), 500)
    assert set(zip(*(values.tolist() for values in rest))) == set(places)
    assert azimuth.min() < 0.1
    assert azimuth.max() > 6.1
    assert USUAL.height[0] < places[0][0] < USUAL.height[1]


@pytest.mark.parametrize("shape", [(3, 16, 40), (2, 40, 16), (1, 24, 24)])
def test_steps_of_matrices_are_orthogonal(table: ModuleType, shape: tuple[int, int, int]) -> None:
    values = torch.linalg.svdvals(table.orthogonal(torch.from_numpy(NOISE.normal(0, 3, shape)).float()))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_diffpose_learns_several_noises_of_a_pose_at_once() -> None:
    """As their mean; with one step of diffusion all are at the same time."""
    options = {**VARIANTS["tiny"], "steps": 1}
    one, two = DiffPose(**options), DiffPose(**options, noises=2)
    two.load_state_dict(one.state_dict())
    clips = Clips(torch.from_numpy(NOISE.normal(0, 0.3, (4, 1, 17, 2))).float(), torch.zeros(4, 1, 17, 3))
    noise = torch.from_numpy(NOISE.normal(size=(8, 48))).float()

    def loss(model: DiffPose, noise: torch.Tensor) -> float:
        torch.manual_seed(0)  # the same places of the heatmaps
        return model.loss(clips, noise)["noise"].item()

    apart = [loss(one, part) for part in noise.chunk(2)]
    assert apart[0] != apart[1]
    assert loss(two, noise) == pytest.approx(np.mean(apart), rel=1e-4)


def test_the_table_goes_on_where_it_was(
    table: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = {}
    for subject, clip in (("01", 1), ("01", 2), ("02", 1)):
        sway = NOISE.normal(0, 0.1, (31, 3)) * np.sin(np.arange(60)[:, None, None] / 9)
        motion = Track(
            np.arange(60) / 60, NOISE.normal(0, 0.3, (31, 3)) + sway + (0, 1, 0), skeleton=CMU31, space="world"
        )
        clips[f"{subject}_{clip}/positions"] = motion.keypoints
    np.savez(tmp_path / "cmu.npz", **clips)  # type: ignore[arg-type]
    results = tmp_path / "table.jsonl"
    command = ["lifting_table.py", str(tmp_path / "cmu.npz"), str(results), "--seconds", "0.2", "--seeds", "1"]
    command += ["--clips", "1024"]
    for name in ("mean pose", "mlp, one frame", "mixste", "mixste, one frame"):
        command += ["--only", name]
    monkeypatch.setattr("sys.argv", command)
    threads = torch.get_num_threads()
    table.main()
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert [line["name"] for line in lines] == ["mean pose", "mlp, one frame", "mixste", "mixste, one frame"]
    assert all(line[which][0] >= line[which][1] > 0 for line in lines for which in table.WHICH)
    assert ["int8" in line for line in lines] == [False, False, True, True]
    assert lines[1]["steps"] > 0
    before = results.read_bytes()
    table.main()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)
    assert results.read_bytes() == before
    assert "mixste, one frame" in capsys.readouterr().out
