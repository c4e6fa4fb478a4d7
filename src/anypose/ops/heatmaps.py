"""Keypoints as heat maps and back.

Heat-map pixel p stands at picture pixel `stride` * p.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def encode(keypoints: Tensor, size: tuple[int, int], *, stride: float = 4, sigma: float = 2) -> Tensor:
    """Gaussians of height 1: (..., K, 2) pixels to (..., K, h, w); sigma in heat-map pixels."""
    height, width = size
    x = torch.arange(width, device=keypoints.device, dtype=keypoints.dtype)
    y = torch.arange(height, device=keypoints.device, dtype=keypoints.dtype)
    dx = (x - keypoints[..., :1] / stride).square()  # ... K w
    dy = (y - keypoints[..., 1:] / stride).square()  # ... K h
    return torch.exp(-(dy[..., :, None] + dx[..., None, :]) / (2 * sigma * sigma))


def blur(maps: Tensor, size: int = 11, sigma: float = 2) -> Tensor:
    """Gaussian blur of (B, K, h, w)."""
    taps = [math.exp(-((i - size // 2) ** 2) / (2 * sigma * sigma)) for i in range(size)]
    kernel = torch.tensor([tap / sum(taps) for tap in taps], dtype=maps.dtype, device=maps.device)
    one_by_one = maps.flatten(0, 1)[:, None]  # BK 1 h w
    one_by_one = F.conv2d(one_by_one, kernel.view(1, 1, size, 1), padding=(size // 2, 0))
    one_by_one = F.conv2d(one_by_one, kernel.view(1, 1, 1, size), padding=(0, size // 2))
    return one_by_one[:, 0].unflatten(0, maps.shape[:2])


def decode(maps: Tensor, *, stride: float = 4) -> tuple[Tensor, Tensor]:
    """The peak, to a part of a pixel: one Newton step on the logarithm of the blurred map, of at most one pixel
    (DARK, Zhang et al., CVPR 2020).

    Args:
        maps: (B, K, h, w).

    Returns: (B, K, 2) pixels and (B, K), the height of the peak in the map.
    """
    height, width = maps.shape[2:]
    peak, index = maps.flatten(2).max(2)  # B K
    # Below a thousandth a map says nothing, and its logarithm would make much of rounding.
    smooth = blur(maps).clamp(min=1e-3).log().flatten(2)  # B K hw
    x, y = index % width, torch.div(index, width, rounding_mode="floor")
    # Derivatives are taken at least two pixels inside the map.
    cx, cy = x.clamp(2, width - 3), y.clamp(2, height - 3)

    def at(dx: int, dy: int) -> Tensor:
        return smooth.gather(2, ((cy + dy) * width + cx + dx)[..., None])[..., 0]

    centre = at(0, 0)
    gx, gy = (at(1, 0) - at(-1, 0)) / 2, (at(0, 1) - at(0, -1)) / 2
    hxx = (at(2, 0) - 2 * centre + at(-2, 0)) / 4
    hyy = (at(0, 2) - 2 * centre + at(0, -2)) / 4
    hxy = (at(1, 1) - at(-1, 1) - at(1, -1) + at(-1, -1)) / 4
    determinant = hxx * hyy - hxy * hxy
    usable = (determinant > 1e-5) & (hxx < 0) & (cx == x) & (cy == y)  # a summit, and not a flat one
    safe = torch.where(usable, determinant, torch.ones_like(determinant))
    step = torch.stack((hxy * gy - hyy * gx, hxy * gx - hxx * gy), -1) / safe[..., None]
    step = torch.where(usable[..., None], step.clamp(-1, 1), torch.zeros_like(step))
    return (torch.stack((x, y), -1).to(maps.dtype) + step) * stride, peak
