"""DiffPose: many hypotheses of a pose from the heatmaps of one picture, by diffusion.

K. Holmquist and B. Wandt, DiffPose: Multi-hypothesis Human Pose Estimation using Diffusion Models, ICCV 2023
(arXiv 2211.16487).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anypose.nn.checkpoints import read, renamed
from anypose.nn.diffusion import Diffusion
from anypose.ops.poses import Clips, rooted
from anypose.skeleton import H36M17, MPII16

__all__ = ["VARIANTS", "DiffPose", "Samples", "published", "rename"]

VARIANTS: dict[str, dict[str, Any]] = {
    "h36m": {},
    "tiny": {
        **{"places": 8, "samples": 8, "width": 64, "condition": 4, "steps": 5, "hypotheses": 3},
        **{"layers": 1, "joint_dropout": 0.0},
    },
}
SIDE = 64  # of a heatmap, in cells
SPREAD = 2.0  # cells, of the heatmaps that stand for keypoints, as HRNet is trained with
MARGIN = 1.25  # side of the square around a person, in heights or widths of the person
SCALE = 10.0  # of poses in metres as the diffusion sees them
LIMIT = 30.0  # beyond which no clean pose is believed
JOINTS = 16
HIPS = (0, 3)  # of the 16 joints, which are Human3.6M's 17 without the root


class Samples(NamedTuple):
    """Places that heatmaps propose.

    at: (R, S, 16, 2), x and y of a cell, from -1 to 1. weight: (R, S, 16), of the heatmap there.
    """

    at: Tensor
    weight: Tensor


def heatmaps_of(keypoints: Tensor) -> Tensor:
    """Heatmaps (R, 16, 64, 64) in MPII's order that stand for keypoints (R, 17, 2) of Human3.6M, if one has no others.

    A Gaussian around each keypoint, in a square around the person: an assumption about a detector, not the authors'.
    """
    order = [index or 0 for _, index in H36M17.map_to(MPII16)]
    low, high = keypoints.amin(1, keepdim=True), keypoints.amax(1, keepdim=True)
    side = (high - low).amax(-1, keepdim=True).clamp(min=1e-6) * MARGIN
    cells = (((keypoints - (low + high) / 2) / side + 0.5) * SIDE)[:, order]  # R 16 2
    axis = torch.arange(SIDE, device=keypoints.device, dtype=keypoints.dtype)
    across = (-(axis - cells[..., :1]).square() / (2 * SPREAD**2)).exp()
    down = (-(axis - cells[..., 1:]).square() / (2 * SPREAD**2)).exp()
    return down[..., :, None] * across[..., None, :]


class Sampler(nn.Module):
    """Heatmaps (R, 16, 64, 64) to `Samples`: the best cell, and others in proportion to their values."""

    def forward(self, heatmaps: Tensor, draws: Tensor) -> Samples:
        """draws: (R, S - 1, 16) uniform from 0 to 1, one for each place but the best."""
        values = heatmaps.flatten(2).clamp(min=0)  # R 16 cells
        summed = values.cumsum(-1)
        picked = torch.searchsorted(summed, draws.transpose(1, 2).contiguous() * summed[..., -1:], right=True)
        cells = torch.cat((values.argmax(-1, keepdim=True), picked.clamp(max=SIDE * SIDE - 1)), -1)  # R 16 S
        weight = values.gather(-1, cells).transpose(1, 2)
        at = torch.stack((cells % SIDE, cells // SIDE), -1).transpose(1, 2)
        return Samples((at - SIDE / 2) * (2 / SIDE), weight)


class PlaceCode(nn.Module):
    """Numbers as how near they are to each of `count` centres from -1 to 1: (...) to (..., count)."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("centers", torch.linspace(-1, 1, count))

    def forward(self, values: Tensor) -> Tensor:
        assert isinstance(self.centers, Tensor)
        angles = (values[..., None] - self.centers).abs() * (0.125 * math.pi * len(self.centers))
        return angles.cos().square() * (angles < math.pi / 2)


class Conditioner(nn.Module):
    """`Samples` to what they say about the pose, (R, 16 condition)."""

    def __init__(self, places: int, layers: int, condition: int, joint_dropout: float) -> None:
        super().__init__()
        width = 2 * places
        self.joint_dropout = joint_dropout
        self.pos_encoder = PlaceCode(places)
        self.pos_proj = nn.Linear(width, width)
        self.joint_embedding = nn.Embedding(JOINTS, width)
        layer = nn.TransformerEncoderLayer(width, 4, 512, 0.0, "relu", batch_first=True)
        self.transformer = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.conf_out = nn.Linear(width, 1)  # in the authors' files, and used by nobody
        self.pos_out = nn.Linear(JOINTS * width, JOINTS * condition)

    def forward(self, samples: Samples) -> Tensor:
        # The projection is linear: it is the same of a sum, in a 32nd of the time.
        rows, count = samples.at.shape[:2]
        grid = torch.arange(SIDE, device=samples.at.device, dtype=samples.at.dtype)
        table = self.pos_encoder((grid - SIDE / 2) * (2 / SIDE))  # a code for each cell of an axis
        cells = ((samples.at + 1) * (SIDE / 2)).round().long().permute(0, 2, 3, 1)  # R 16 2 S
        weights = samples.weight.transpose(1, 2)[:, :, None].expand(cells.shape)
        codes = F.embedding_bag(
            cells.reshape(-1, count), table, mode="sum", per_sample_weights=weights.reshape(-1, count)
        ).reshape(rows, JOINTS, -1)  # R 16 2P
        x = F.linear(codes, self.pos_proj.weight) + count * self.pos_proj.bias
        if self.training and self.joint_dropout:
            x = x * x.new_empty(*x.shape[:2], 1).bernoulli_(1 - self.joint_dropout)
        return self.pos_out(self.transformer(x + self.joint_embedding.weight).flatten(1))


class Residual(nn.Module):
    """Two layers beside a bypass; the norms are in the authors' files, and their code leaves them out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.l1 = nn.Linear(width, width)
        self.bn1 = nn.BatchNorm1d(width)
        self.l2 = nn.Linear(width, width)
        self.bn2 = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.leaky_relu(self.l2(F.leaky_relu(self.l1(x))))


class Denoiser(nn.Module):
    """The noise in poses (R, 48) at times (R,), under a condition (R, C)."""

    def __init__(self, condition: int, width: int) -> None:
        super().__init__()
        self.upscale = nn.Linear(3 * JOINTS + 1 + condition, width)
        self.res_pose1 = Residual(width)
        self.res_pose2 = Residual(width)
        self.pose = nn.Linear(width, 3 * JOINTS)

    def conditioned(self, condition: Tensor) -> Tensor:
        """The condition's share of the first layer, (R, width): the same for all steps."""
        return F.linear(condition, self.upscale.weight[:, 3 * JOINTS + 1 :], self.upscale.bias)

    def forward(self, poses: Tensor, times: Tensor, share: Tensor) -> Tensor:
        """share: what `conditioned` gave."""
        first = torch.cat((poses, times[:, None].to(poses)), 1)
        x = F.linear(first, self.upscale.weight[:, : 3 * JOINTS + 1]) + share
        return self.pose(self.res_pose2(self.res_pose1(x)))


class DiffPose(nn.Module):
    """Heatmaps, or keypoints that stand for them, to hypotheses of the pose of each frame by itself.

    Args:
        places: centres of the code of a coordinate.
        samples: S, places that are taken of each heatmap.
        layers: of the transformer over joints.
        condition: features a joint that the denoiser is told.
        width: of the denoiser.
        steps: T of the diffusion.
        hypotheses: M, drawn at once.
        joint_dropout: share of joints that are hidden in training.
        mean_only: True leaves out the noise of each step, the authors' "z0"; the start is random all the same.
        noises: that each pose is learned under in a step. The authors have one; reading the heatmaps takes most of a
            small system's time, and many noises share it.

    Attributes:
        answers: "all" frames; each by itself, so that `frames` is 1.
    """

    def __init__(
        self,
        *,
        places: int = 64,
        samples: int = 32,
        layers: int = 4,
        condition: int = 128,
        width: int = 1024,
        steps: int = 25,
        hypotheses: int = 200,
        joint_dropout: float = 0.1,
        mean_only: bool = False,
        noises: int = 1,
    ) -> None:
        super().__init__()
        self.skeleton, self.frames = H36M17, 1
        self.answers: Literal["all"] = "all"
        self.samples, self.hypotheses, self.mean_only, self.noises = samples, hypotheses, mean_only, noises
        self.sampler = Sampler()
        self.conditioner = Conditioner(places, layers, condition, joint_dropout)
        self.denoiser = Denoiser(JOINTS * condition, width)
        self.diffusion = Diffusion(steps)

    def draw(
        self, heatmaps: Tensor, hypotheses: int, noise: Tensor | None = None, draws: Tensor | None = None
    ) -> Tensor:
        """Encoded poses (R, M, 48) from heatmaps (R, 16, 64, 64), all of them in one batch.

        Args:
            hypotheses: M. Each has its own samples of the heatmaps.
            noise: (T + 1, R, M, 48) standard normal: the start and what each step adds.
            draws: (R, M, S - 1, 16) uniform from 0 to 1.
        """
        count = len(heatmaps)
        if draws is None:
            draws = torch.rand(count, hypotheses, self.samples - 1, JOINTS, device=heatmaps.device)
        share = self.denoiser.conditioned(self.conditioner(self.proposals(heatmaps, draws)))
        if noise is None:
            noise = torch.randn(self.diffusion.steps + 1, count, hypotheses, 3 * JOINTS, device=heatmaps.device)
        return self.chain(share, noise.flatten(1, 2)).unflatten(0, (count, hypotheses))

    def proposals(self, heatmaps: Tensor, draws: Tensor) -> Samples:
        """Samples (R M, S, ...) of heatmaps (R, 16, 64, 64) that are summed up once; draws as `draw` has them."""
        hypotheses = draws.shape[1]
        together = self.sampler(heatmaps, draws.flatten(1, 2))

        def apart(values: Tensor) -> Tensor:
            best, others = values[:, None, :1], values[:, 1:].unflatten(1, (hypotheses, -1))
            return torch.cat((best.expand(-1, hypotheses, *best.shape[2:]), others), 2).flatten(0, 1)

        return Samples(*map(apart, together))

    def chain(self, share: Tensor, noise: Tensor, mean_only: bool | None = None) -> Tensor:
        """All steps from noise (T + 1, R, 48) to poses (R, 48), under what `Denoiser.conditioned` gave."""
        mean_only = self.mean_only if mean_only is None else mean_only
        poses = noise[0]
        for step, time in enumerate(reversed(range(self.diffusion.steps))):
            times = torch.full((len(poses),), time, device=poses.device)
            clean = self.diffusion.clean_of(poses, times, self.denoiser(poses, times, share)).clamp(-LIMIT, LIMIT)
            added = torch.zeros_like(poses) if mean_only else noise[step + 1]
            poses = self.diffusion.step_back(clean, poses, times, added)
        return poses

    def forward(self, keypoints: Tensor, noise: Tensor | None = None, draws: Tensor | None = None) -> Tensor:
        """Hypotheses of every frame by itself.

        Args:
            keypoints: (B, T, 17, 2) of Human3.6M in screen-normalised coordinates; see `heatmaps_of`.
            noise: (steps + 1, B T, M, 48) standard normal; None draws it.
            draws: (B T, M, S - 1, 16) uniform; None draws them.

        Returns: (B, M, T, 17, 3) metres in the camera's frame, relative to the root.
        """
        batch = len(keypoints)
        hypotheses = self.hypotheses if noise is None else noise.shape[2]
        poses = decoded(self.draw(heatmaps_of(keypoints.flatten(0, 1)), hypotheses, noise, draws))
        return poses.unflatten(0, (batch, -1)).transpose(1, 2)  # B M T J 3

    def loss(self, batch: Clips, noise: Tensor | None = None) -> dict[str, Tensor]:
        """Mean square error of the noise found in poses at random times.

        Args:
            noise: (noises B T, 48) standard normal, all poses with one before any with the next; None draws it.
        """
        heatmaps = heatmaps_of(batch.keypoints.flatten(0, 1))
        draws = torch.rand(len(heatmaps), self.samples - 1, JOINTS, device=heatmaps.device)
        share = self.denoiser.conditioned(self.conditioner(self.sampler(heatmaps, draws))).repeat(self.noises, 1)
        clean = encoded(batch.joints.flatten(0, 1)).repeat(self.noises, 1)
        times = torch.randint(0, self.diffusion.steps, (len(clean),), device=clean.device)
        noise = torch.randn_like(clean) if noise is None else noise
        found = self.denoiser(self.diffusion.noisy(clean, times, noise), times, share)
        return {"noise": F.mse_loss(found, noise)}


def encoded(poses: Tensor) -> Tensor:
    """Poses (R, 17, 3) in metres as the diffusion sees them, (R, 48): without the root, around their mean, y and z
    turned round, coordinate by coordinate, times ten."""
    body = poses[:, 1:]
    body = (body - body.mean(1, keepdim=True)) * SCALE
    return (body * body.new_tensor([1.0, -1.0, -1.0])).transpose(1, 2).flatten(1)


def decoded(codes: Tensor) -> Tensor:
    """(..., 48) back to metres from the root, (..., 17, 3); the root is the middle of the hips."""
    body = codes.unflatten(-1, (3, JOINTS)).transpose(-1, -2) / SCALE
    body = body * body.new_tensor([1.0, -1.0, -1.0])
    root = body[..., HIPS, :].mean(-2, keepdim=True)
    return rooted(torch.cat((root, body), -2))


_BUFFERS = (
    *("betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod"),
    *("log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod"),
    *("posterior_variance", "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2"),
    "p2_loss_weight",
)
NAMES = (
    *((rf"{name}$", "") for name in _BUFFERS),
    (r"denoise_fn\.", "denoiser."),
    (r"condition_emb\.", "conditioner."),
)


def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' entries under our names; ValueError where one is none of DiffPose's."""
    return renamed(state, NAMES, "DiffPose")


def published(path: Path, variant: str | None = None) -> tuple[str, dict[str, Tensor]]:
    """The variant ("h36m" if None) and our entries of the authors' checkpoint; ValueError where it is none."""
    return variant or "h36m", rename(read(path, ("ema", "model"), "DiffPose"))
