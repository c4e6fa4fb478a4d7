"""PoseDA's parts and HopFIR's modules: each acts, and acts where it should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from anypose.data import cmu
from anypose.data.simulated import ABOVE, USUAL
from anypose.models.lifting.hopfir import VARIANTS, HopFIR
from anypose.ops.alignment import aligned_globally, on_screen
from anypose.ops.poses import rooted
from anypose.recipes.poseda import Adaptation, Filming, PoseDA
from anypose.recipes.poseda_networks import Bones, Generator, rotations
from anypose.skeleton import CMU31, COCO17, H36M17


@pytest.fixture(scope="module")
def motion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of CMU's form: bodies of random bones that sway."""
    random = np.random.default_rng(0)
    assert CMU31.parents is not None
    clips = {}
    for name in ("01_01", "02_01"):
        body = np.zeros((40, 31, 3), np.float32)
        for joint, parent in enumerate(CMU31.parents):
            if parent >= 0:
                sway = 0.03 * np.sin(np.arange(40)[:, None] / 5 + random.uniform(0, 6, 3))
                body[:, joint] = body[:, parent] + random.normal(0, 0.2, 3) + sway
        body[..., 1] += 1
        clips[f"{name}/positions"] = body
    path = tmp_path_factory.mktemp("motion") / "clips.npz"
    np.savez(path, **clips)  # type: ignore[arg-type]
    return path


def poses(count: int = 6, frames: int = 1) -> Tensor:
    random = torch.Generator().manual_seed(0)
    return rooted(torch.randn(count, frames, 17, 3, generator=random) * 0.3)


def test_aligned_poses_look_as_large_and_stand_where_others_do() -> None:
    people = poses(64)[:, 0] * torch.tensor([1, 1, 0.01])  # flat, so that size on the screen is that of the extent
    keypoints = torch.randn(64, 17, 2, generator=torch.Generator().manual_seed(1)) * 0.2
    cameras = torch.tensor([1.5, 1.4, 0.02, -0.01]).expand(64, 4)
    seen = on_screen(aligned_globally(people, keypoints, cameras), cameras)
    torch.testing.assert_close(seen[:, 0], keypoints[:, 0], atol=1e-5, rtol=0)
    sizes = [(points.amax(1) - points.amin(1)).mean(1) for points in (seen, keypoints)]
    torch.testing.assert_close(sizes[0], sizes[1], atol=0.05, rtol=0.1)


def test_poses_are_made_of_their_bones() -> None:
    bones, body = Bones(H36M17), poses()
    torch.testing.assert_close(bones.together(bones.of(body)), body, atol=1e-6, rtol=0)
    assert sorted(map(len, bones.limbs)) == [3, 3, 3, 3, 4]
    with pytest.raises(ValueError, match="no tree"):
        Bones(COCO17)


def test_rotations_turn() -> None:
    turned = rotations(torch.tensor([[0, 0, torch.pi / 2], [0, 0, 0]])) @ torch.tensor([1.0, 0, 0])
    torch.testing.assert_close(turned, torch.tensor([[0.0, 1, 0], [1, 0, 0]]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("part", ["angles", "lengths", "turns"])
def test_each_part_of_the_generator_changes_what_it_should(part: str) -> None:
    torch.manual_seed(0)
    generator = Generator(H36M17, 32, **{name: name == part for name in ("angles", "lengths", "turns")})
    body = poses(frames=2)
    upright, turned = generator(body)
    assert (turned - body).abs().max() > 0.01
    bones, before = generator.bones.of(turned), generator.bones.of(body)
    lengths_kept = torch.allclose(bones.norm(dim=-1), before.norm(dim=-1), atol=1e-5)
    ways_kept = torch.allclose(
        torch.nn.functional.normalize(bones, dim=-1), torch.nn.functional.normalize(before, dim=-1), atol=1e-4
    )
    angles_kept = torch.allclose(bones @ bones.transpose(-1, -2), before @ before.transpose(-1, -2), atol=1e-5)
    assert (lengths_kept, ways_kept, angles_kept) == {
        "angles": (True, False, False),
        "lengths": (False, True, False),
        "turns": (True, False, True),
    }[part]
    trunk = generator.bones.trunk
    if part == "angles":
        torch.testing.assert_close(bones[..., trunk, :], before[..., trunk, :], atol=1e-5, rtol=0)
    if part == "turns":
        torch.testing.assert_close(upright, body, atol=1e-5, rtol=0)


def test_films_are_fixed_by_their_seed_and_seen_from_their_rig(motion: Path) -> None:
    tracks = list(cmu.read(motion).values())
    one, other = (Filming(tracks, USUAL, 3, detector=None, seed=seed).batch(5, 4) for seed in (0, 0))
    assert torch.equal(one[0].keypoints, other[0].keypoints)
    assert not torch.equal(one[0].keypoints, Filming(tracks, ABOVE, 3, detector=None, seed=0).batch(5, 4)[0].keypoints)
    assert one[0].joints[:, :, 0].abs().max() == 0
    with pytest.raises(ValueError, match="as long as a clip of 200 frames"):
        Filming(tracks, USUAL, 200, detector=None, seed=0)


@pytest.mark.parametrize("system", ["lifting/hopfir/tiny", "lifting/gla_gcn/tiny", "lifting/hot/tiny"])
def test_a_step_teaches_the_lifter_and_what_surrounds_it(motion: Path, tmp_path: Path, system: str) -> None:
    recipe = PoseDA(
        out=tmp_path, system=system, motion=str(motion), source=("01_01",), target=("02_01",), width=16, batch=8
    )
    whole = recipe.model
    assert isinstance(whole, Adaptation)
    whole.train()
    batches = recipe.batches(0)
    losses = recipe.step(next(batches))
    assert {"source joints", "new joints", "body", "look", "difficulty", "body told", "look told"} <= losses.keys()
    assert all(value.isfinite() for value in losses.values())
    for part in (whole.lifter, whole.generator, whole.body, whole.look):
        assert any(value.grad is not None and value.grad.abs().max() > 0 for value in part.parameters())
    assert "look told" not in recipe.step(next(batches))  # discriminators learn every second time


def test_unknown_rigs_are_told(motion: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rigs are usual, above, not 'below'"):
        PoseDA(out=tmp_path, motion=str(motion), source=("01_01",), target=("02_01",), target_rig="below")


def reacting(model: HopFIR, moved: int) -> set[int]:
    """Joints whose answer changes when one keypoint moves."""
    torch.manual_seed(0)
    keypoints = torch.randn(1, 1, 17, 2)
    other = keypoints.clone()
    other[:, :, moved] += 0.5
    with torch.no_grad():
        apart = (model(keypoints) - model(other)).abs().amax((0, 1, 3))
    return {joint for joint in range(17) if apart[joint] > 1e-6}


@pytest.mark.parametrize(
    ("options", "moved", "expected"),
    [
        ({"hops": 0, "refine_every": 0}, 2, {2}),
        ({"hops": 1, "refine_every": 0}, 2, {1, 2, 3}),
        ({"hops": 2, "refine_every": 0}, 2, {0, 1, 2, 3}),
        ({"hops": 0, "refine_every": 1}, 1, {1, 2, 3}),  # a hip corrects knee and ankle
        ({"hops": 0, "refine_every": 1}, 3, {3}),  # and an ankle nobody
    ],
)
def test_hopfir_looks_as_far_as_its_modules_reach(options: dict[str, int], moved: int, expected: set[int]) -> None:
    torch.manual_seed(1)
    model = HopFIR(**{**VARIANTS["tiny"], "depth": 1, **options}).eval()
    assert reacting(model, moved) == expected
