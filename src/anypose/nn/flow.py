"""A normalising flow over keypoint errors, and the loss that learns it: residual log-likelihood estimation (RLE).

RealNVP: L. Dinh et al., Density estimation using Real NVP, ICLR 2017. RLE: J. Li et al., Human Pose Regression with
Residual Log-likelihood Estimation, ICCV 2021 (arXiv 2107.11291), equations 8 and 9.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Base = Literal["gaussian", "laplace"]
BASES: tuple[Base, ...] = ("gaussian", "laplace")
_CONSTANT = 0.5 * math.log(2 * math.pi)
COUPLINGS = 6


def _net(hidden: int, *, scale: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(2, hidden), nn.LeakyReLU(), nn.Linear(hidden, hidden), nn.LeakyReLU()]
    layers.append(nn.Linear(hidden, 2))
    return nn.Sequential(*layers, nn.Tanh()) if scale else nn.Sequential(*layers)


class RealNVP(nn.Module):
    """Points of the plane to those of a standard normal distribution and back, by affine couplings.

    The published sizes (6 couplings, 64 hidden units) have 53,784 weights, and their names.

    Args:
        couplings: each of which moves one coordinate by what the other says, in turn.
        hidden: units of the small networks.
    """

    mask: Tensor

    def __init__(self, couplings: int = COUPLINGS, hidden: int = 64) -> None:
        super().__init__()
        mask = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat((couplings + 1) // 2, 1)[:couplings]
        self.register_buffer("mask", mask)
        self.s = nn.ModuleList(_net(hidden, scale=True) for _ in range(couplings))
        self.t = nn.ModuleList(_net(hidden, scale=False) for _ in range(couplings))
        for module in self.modules():
            if isinstance(module, nn.Linear):  # so that the first distributions are near the normal one
                nn.init.xavier_uniform_(module.weight, gain=0.01)

    def to_normal(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Points (N, 2) to those of the normal distribution (N, 2), and the log determinant of the way (N,)."""
        z, log_det = points, points.new_zeros(len(points))
        for mask, s, t in reversed(list(zip(self.mask, self.s, self.t))):
            kept = mask * z
            log_scale, shift = s(kept) * (1 - mask), t(kept) * (1 - mask)
            z = (1 - mask) * (z - shift) * (-log_scale).exp() + kept
            log_det = log_det - log_scale.sum(1)
        return z, log_det

    def from_normal(self, z: Tensor) -> Tensor:
        """The way back: points of the normal distribution (N, 2) to ours (N, 2)."""
        points = z
        for mask, s, t in zip(self.mask, self.s, self.t):
            kept = mask * points
            log_scale, shift = s(kept) * (1 - mask), t(kept) * (1 - mask)
            points = kept + (1 - mask) * (points * log_scale.exp() + shift)
        return points

    def log_prob(self, points: Tensor) -> Tensor:
        """Log densities (...) of points (..., 2)."""
        z, log_det = self.to_normal(points.reshape(-1, 2))
        density = -(z**2).sum(1) / 2 - 2 * _CONSTANT + log_det
        return density.reshape(points.shape[:-1])


def rle_loss(
    flow: RealNVP,
    mu: Tensor,
    sigma: Tensor,
    truth: Tensor,
    weight: Tensor,
    *,
    base: Base = "gaussian",
    double_counting: bool = False,
) -> Tensor:
    """The negative log-likelihood of keypoints, summed over keypoints and the mean over people.

    For each keypoint -log Q(e) - log G(e) + log sigma of both axes, where e = (truth - mu) / sigma; Q is the base, G
    the flow. The constant -log s of the paper is left out. Truth may lie anywhere: nothing here knows of a crop.

    Args:
        mu, truth: (B, K, 2), in any unit.
        sigma: (B, K, 1) or (B, K, 2), in the same unit, above 0.
        weight: (B, K), 0 where the truth is not known.
        base: "gaussian", or the "laplace" energy |e| / sqrt(2) of the published code (which keeps the Gaussian's
            constant; gradients do not see it).
        double_counting: as the published code computes it: log sigma stands beside the flow's term and once more in
            Q, the flow's term is added to both axes, and e has the other sign. Its density is none: for parity.

    Raises ValueError for another base.
    """
    if base not in BASES:
        raise ValueError(f"there is no base {base!r}: it is {' or '.join(map(repr, BASES))}")
    sigma = sigma.expand_as(mu)
    # What is not known may be anything, even no number, and must not reach a gradient.
    truth = torch.where(weight[..., None] > 0, truth, mu.detach())
    error = (truth - mu) / sigma
    energy = error**2 / 2 if base == "gaussian" else error.abs() / math.sqrt(2)
    if double_counting:
        residual = flow.log_prob(-error)[..., None]
        each = 2 * sigma.log() + energy + _CONSTANT - residual  # B K 2, log sigma and the flow's term twice
        per_keypoint = each.sum(-1)
    else:
        per_keypoint = (sigma.log() + energy + _CONSTANT).sum(-1) - flow.log_prob(error)  # B K
    return (per_keypoint * weight).sum() / max(1, len(mu))
