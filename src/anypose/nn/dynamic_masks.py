"""Masks by convolutions whose weights a query brings (Tian et al., CondInst, ECCV 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def dynamic_sizes(channels: int, width: int) -> list[int]:
    """Numbers in the weights and the biases of two 1x1 convolutions: channels + 2 to width to width."""
    return [(channels + 2) * width, width * width, width, width]


def dynamic_masks(levels: Sequence[Tensor], offsets: Tensor, parameters: Tensor, width: int) -> Tensor:
    """Args:
        levels: features (B, D, h, w), and coarser ones that are added to them at that size, bicubic.
        offsets: (B, Q, 2, h, w), from each cell to the query's reference point, x and y.
        parameters: (B, Q, sum of `dynamic_sizes`).
        width: channels of the answer.

    Returns: (B, Q, width, h, w).
    """
    channels, size = levels[0].shape[1], levels[0].shape[-2:]
    first, second, first_bias, second_bias = parameters.split(dynamic_sizes(channels, width), -1)
    first = first.unflatten(-1, (width, channels + 2))  # B Q width D+2
    seen = torch.einsum("bqod,bqdhw->bqohw", first[..., channels:], offsets) + first_bias[..., None, None]
    for level in levels:
        # The features are the same for all queries: they are multiplied once, and not copied for each. What comes
        # out has fewer channels, and to make it larger then is the same as before.
        part = torch.einsum("bqod,bdhw->bqohw", first[..., :channels], level)
        if level.shape[-2:] != size:
            part = F.interpolate(part.flatten(1, 2), size, mode="bicubic", align_corners=False).view_as(seen)
        seen = seen + part
    second = second.unflatten(-1, (width, width))
    return torch.einsum("bqod,bqdhw->bqohw", second, seen.relu()) + second_bias[..., None, None]
