"""Frames chosen of a clip (W. Li et al., Hourglass Tokenizer, CVPR 2024), by density peaks among nearest neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

TIE_BREAK = 1e-6


def tie_break(frames: int, like: Tensor) -> Tensor:
    """What stands in for random numbers, (frames,): of two frames that are equally good the later one counts as denser.

    Two frames that are each other's nearest have the same density; without this neither would be near a denser one.
    """
    return torch.arange(frames, device=like.device, dtype=like.dtype) / frames


def frame_scores(features: Tensor, noise: Tensor, neighbours: int = 2) -> Tensor:
    """How much each frame stands for others and apart from them, (B, T).

    Args:
        features: (B, T, D).
        noise: (B, T) or (T,) from 0 to 1, which settles ties.
        neighbours: over how many of the nearest, the frame itself included, the density is taken.
    """
    distances = torch.cdist(features, features) / features.shape[-1] ** 0.5  # B T T
    nearest = distances.topk(neighbours, largest=False).values
    density = (-nearest.square().mean(-1)).exp() + noise * TIE_BREAK
    farthest = distances.amax((1, 2), keepdim=True)
    denser = density[:, None, :] > density[:, :, None]
    return distances.where(denser, farthest).amin(-1) * density


def choose_frames(features: Tensor, count: int, noise: Tensor, *, centre: bool = False, neighbours: int = 2) -> Tensor:
    """Indices of the `count` frames with the best scores, (B, count), in the order of time.

    Args:
        centre: the middle frame is always one of them.
    """
    scores = frame_scores(features, noise, neighbours)
    if not centre:
        return scores.topk(count).indices.sort(-1).values
    middle = (features.shape[1] - 1) // 2
    scores = scores.index_fill(1, torch.tensor([middle], device=scores.device), float("-inf"))
    chosen = scores.topk(count - 1).indices
    return torch.cat((chosen, torch.full_like(chosen[:, :1], middle)), 1).sort(-1).values


def take_frames(x: Tensor, frames: Tensor) -> Tensor:
    """Of (B, T, ...) the chosen frames (B, n): (B, n, ...)."""
    index = frames.reshape(*frames.shape, *(1,) * (x.dim() - 2)).expand(-1, -1, *x.shape[2:])
    return x.gather(1, index)
