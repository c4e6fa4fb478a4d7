"""PoseDA: a lifter goes on learning for cameras and motion of which there are keypoints and no poses.

W. Chai et al., Global Adaptation Meets Local Generalization: Unsupervised Domain Adaptation for 3D Human Pose
Estimation, ICCV 2023 (arXiv 2303.16456). Poses of old data are changed by generators (`poseda_networks.py`, our own
reading), put where they look as large and stand where people of the new data do (`ops/alignment.py`, as published),
and projected; the lifter learns from such pairs. Discriminators hold poses to bodies and keypoints to the new data's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from anypose import zoo
from anypose.data import cmu
from anypose.data.simulated import ABOVE, NEAREST, USUAL, Detector, Rig, draw_cameras
from anypose.ops.alignment import aligned_globally, on_screen
from anypose.ops.poses import Clips, distance, rooted
from anypose.recipes.poseda_networks import Body, Generator, Look
from anypose.recipes.recipe import Recipe
from anypose.skeleton import H36M17, Skeleton
from anypose.track import Track

RIGS = {"usual": USUAL, "above": ABOVE}


class Pairs(NamedTuple):
    """Old data with poses, and new data without.

    source: clips with poses. keypoints: (B, T, J, 2) of the new data. cameras: (B, 4) fx fy cx cy, in screen units.
    """

    source: Clips
    keypoints: Tensor
    cameras: Tensor

    def to(self, device: torch.device) -> Pairs:
        return Pairs(self.source.to(device), self.keypoints.to(device), self.cameras.to(device))


class Filming:
    """Random clips of motions in the world as cameras of a rig see them, fixed by a seed and a number.

    Args:
        motions: in the world.
        frames, stride: of a clip, at the motions' rate divided by the stride.
        detector: what errs; None for true keypoints.
    """

    def __init__(
        self, motions: list[Track], rig: Rig, frames: int, *, stride: int = 2, detector: Detector | None, seed: int
    ) -> None:
        reach = (frames - 1) * stride + 1
        self.bodies = [
            body for track in motions if len(body := track.to_skeleton(H36M17)[0].keypoints.astype(np.float64)) >= reach
        ]
        if not self.bodies:
            raise ValueError(f"no motion is as long as a clip of {frames} frames, every {stride}th of {reach}")
        self.rig, self.frames, self.stride, self.reach = rig, frames, stride, reach
        self.detector, self.seed = detector, seed

    def batch(self, number: int, count: int) -> tuple[Clips, Tensor]:
        """Batch `number` of `count` clips, and the cameras (count, 4)."""
        random = np.random.default_rng((self.seed, number))
        lengths = np.array([len(body) - self.reach + 1 for body in self.bodies], float)
        chosen = random.choice(len(self.bodies), count, p=lengths / lengths.sum())
        clips = []
        for body in chosen:
            first = random.integers(0, len(self.bodies[body]) - self.reach + 1)
            clips.append(self.bodies[body][first : first + self.reach : self.stride])
        bodies = np.stack(clips)
        ground = np.minimum(bodies[..., 1].min((1, 2)), 0)
        cameras = draw_cameras(random, bodies[:, self.frames // 2, H36M17.root], self.rig, ground)
        seen = cameras.see(bodies)
        seen[..., 2] += np.clip(NEAREST - seen[..., 2].min((1, 2)), 0, None)[:, None, None]
        screen = cameras.screen(seen)
        if self.detector is not None:
            found, sure = self.detector.detect(random, screen)
            screen = np.where(sure[..., None] > 0, found, screen)
        joints = rooted(torch.from_numpy(seen.astype(np.float32)), H36M17.root)
        focal = torch.from_numpy(cameras.focal.astype(np.float32))
        lens = torch.stack((focal, focal, torch.zeros_like(focal), torch.zeros_like(focal)), 1)
        return Clips(torch.from_numpy(screen.astype(np.float32)), joints), lens


class Adaptation(nn.Module):
    """The lifter with what surrounds it while it adapts."""

    def __init__(self, lifter: nn.Module, width: int, **parts: bool) -> None:
        super().__init__()
        skeleton = lifter.skeleton
        assert isinstance(skeleton, Skeleton)
        self.lifter = lifter
        self.generator = Generator(skeleton, width, **parts)
        self.body, self.look = Body(skeleton, width), Look(len(skeleton))


class PoseDA(Recipe):
    """Adapts a lifter of H36M17 keypoints; `model.lifter` is it.

    Args:
        out: folder of the run; nothing but the run itself is kept there.
        system: the lifter's name, with a variant if it has some.
        weights: of the lifter, learned from old data; None starts from nothing.
        motion: `cmu_60hz.npz`.
        source, target: clips' names, of the old data and the new.
        source_rig, target_rig: "usual" or "above", where cameras stand.
        detector: options of `Detector`; None takes true keypoints.
        adapt: False learns old data alone.
        align: False leaves new poses where old ones stood, seen by the old cameras.
        angles, lengths, turns: parts of the generator.
        difficulty: how many times as wrong as on old poses the generator may make the lifter.
    """

    def __init__(
        self,
        *,
        out: Path,
        system: str = "lifting/hopfir/tiny",
        weights: str | None = None,
        motion: str,
        source: tuple[str, ...],
        target: tuple[str, ...],
        source_rig: str = "usual",
        target_rig: str = "above",
        model: dict[str, Any] | None = None,
        detector: dict[str, Any] | None = None,
        adapt: bool = True,
        align: bool = True,
        angles: bool = True,
        lengths: bool = True,
        turns: bool = True,
        difficulty: float = 3.0,
        width: int = 256,
        batch: int = 256,
        lr: float = 1e-3,
        lr_networks: float = 1e-4,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        lifter = zoo.create(system, weights, **(model or {}))
        if lifter.skeleton.name != "h36m17":
            raise ValueError(f"{system} reads {lifter.skeleton.name}; this recipe has keypoints of h36m17")
        whole = Adaptation(lifter, width, angles=angles, lengths=lengths, turns=turns)
        networks = [*whole.generator.parameters(), *whole.body.parameters(), *whole.look.parameters()]
        groups = [{"params": list(lifter.parameters()), "lr": lr}, {"params": networks, "lr": lr_networks}]
        super().__init__(whole, groups)
        self._adapt, self._align, self._difficulty, self._batch = adapt, align, difficulty, batch
        clips = cmu.read(motion)
        for rig in (source_rig, target_rig):
            if rig not in RIGS:
                raise ValueError(f"rigs are {', '.join(RIGS)}, not {rig!r}")
        made = None if detector is None else Detector(**detector)
        frames = max(int(lifter.frames), 1)
        self._source = Filming([clips[name] for name in source], RIGS[source_rig], frames, detector=made, seed=seed)
        self._target = Filming(
            [clips[name] for name in target], RIGS[target_rig], frames, detector=made, seed=seed + 1000
        )
        self._steps = 0

    def batches(self, start: int, stride: int = 1) -> Iterator[Pairs]:
        self._steps = start
        while True:
            source, lens = self._source.batch(start, self._batch)
            new, new_lens = self._target.batch(start, self._batch)
            yield Pairs(source, new.keypoints, new_lens if self._align else lens)
            start += stride

    def step(self, batch: Pairs) -> dict[str, Tensor]:
        """One step of lifter and generators, and every second time of discriminators."""
        whole = self.model
        assert isinstance(whole, Adaptation)
        source = batch.source
        losses = {f"source {name}": value for name, value in whole.lifter.loss(source).items()}  # type: ignore[operator]
        if self._adapt:
            upright, turned = whole.generator(source.joints)
            made = self._filmed(turned, batch)
            learned = whole.lifter.loss(Clips(made.detach(), turned.detach()))  # type: ignore[operator]
            losses |= {f"new {name}": value for name, value in learned.items()}
            losses |= self._generated(whole, batch, upright, turned, made)
        total = torch.stack(list(losses.values())).sum()
        self.backward(total)
        self._steps += 1
        return {**losses, "total": total}

    def _filmed(self, poses: Tensor, batch: Pairs) -> Tensor:
        """Keypoints (B, T, J, 2) of poses (B, T, J, 3) where the new data's people stand."""
        frames = poses.shape[1]
        middle = frames // 2
        other = torch.randperm(len(poses), device=poses.device)
        keypoints, cameras = batch.keypoints[other], batch.cameras[other]
        if not self._align:
            keypoints, cameras = batch.source.keypoints, batch.cameras
        there = aligned_globally(poses[:, middle], keypoints[:, middle], cameras)
        depth = there[:, :1, 2:]  # B 1 1; a person's distance is that of the middle frame
        roots = (keypoints[:, :, 0] - cameras[:, None, 2:]) / cameras[:, None, :2]  # B T 2
        place = torch.cat((roots, torch.ones_like(roots[..., :1])), -1) * depth
        bodies = (poses + place[:, :, None]).flatten(0, 1)
        return on_screen(bodies, cameras.repeat_interleave(frames, 0)).unflatten(0, (-1, frames))

    def _generated(
        self, whole: Adaptation, batch: Pairs, upright: Tensor, turned: Tensor, made: Tensor
    ) -> dict[str, Tensor]:
        """What generators and discriminators learn from; least squares (X. Mao et al., ICCV 2017)."""
        middle = upright.shape[1] // 2
        body, keypoints = upright[:, middle], made[:, middle]
        true_body, true_keypoints = batch.source.joints[:, middle], batch.keypoints[:, middle]
        for part in (whole.body, whole.look, whole.lifter):
            part.requires_grad_(False)
        losses = {
            "body": 6 * (whole.body(body) - 1).square().mean(),
            "look": (whole.look(keypoints) - 1).square().mean(),
        }
        # The lifter judges as it is used; its running means are not the generator's to move.
        whole.lifter.eval()
        easy = distance(*self._answered(whole.lifter, batch.source.keypoints, batch.source.joints)).detach()
        hard = distance(*self._answered(whole.lifter, made, turned))
        whole.lifter.train()
        losses["difficulty"] = 0.1 * (1 - hard / (self._difficulty * easy.clamp(min=1e-3))).abs()
        for part in (whole.body, whole.look, whole.lifter):
            part.requires_grad_(True)
        if self._steps % 2 == 0:
            losses["body told"] = _told(whole.body, true_body, body.detach())
            losses["look told"] = _told(whole.look, true_keypoints, keypoints.detach())
        return losses

    @staticmethod
    def _answered(lifter: nn.Module, keypoints: Tensor, joints: Tensor) -> tuple[Tensor, Tensor]:
        """What the lifter finds, and the joints of the frames that it answers."""
        found = lifter(keypoints)
        middle = joints.shape[1] // 2
        return found, joints if found.shape[1] == joints.shape[1] else joints[:, middle : middle + 1]


def _told(judge: nn.Module, true: Tensor, made: Tensor) -> Tensor:
    return (judge(true) - 1).square().mean() + judge(made).square().mean()


@torch.no_grad()
def error(lifter: nn.Module, filming: Filming, clips: int = 1000) -> float:
    """MPJPE in mm over random clips that `filming` gives."""
    lifter.eval()
    batch, _ = filming.batch(10**6, clips)
    return 1000 * float(distance(*PoseDA._answered(lifter, batch.keypoints, batch.joints)))
