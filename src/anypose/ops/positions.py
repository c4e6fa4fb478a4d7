"""Sine codes of places (Vaswani et al., 2017; in two dimensions, Carion et al., DETR, ECCV 2020)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sine(values: Tensor, width: int, temperature: float = 10000) -> Tensor:
    """Values from 0 to 1, (...), as `width` sines and cosines in turn, (..., width)."""
    pairs = torch.arange(width, device=values.device, dtype=torch.float32) // 2
    angles = values[..., None] * (2 * math.pi) / temperature ** (2 * pairs / width)
    return torch.stack((angles[..., 0::2].sin(), angles[..., 1::2].cos()), -1).flatten(-2)


def sine_places(places: Tensor, width: int, temperature: float = 10000) -> Tensor:
    """x and y from 0 to 1, (..., 2), as (..., width): half of it for y, half for x."""
    return torch.cat([sine(places[..., axis], width // 2, temperature) for axis in (1, 0)], -1)


def logit(values: Tensor, margin: float = 1e-3) -> Tensor:
    """The inverse of the sigmoid for values from 0 to 1, finite: both ends are held `margin` away from 0."""
    values = values.clamp(0, 1)
    return (values.clamp(min=margin) / (1 - values).clamp(min=margin)).log()
