"""Masks by convolutions whose weights a query brings (Tian et al., CondInst, ECCV 2020)."""

from __future__ import annotations

import torch
from torch import Tensor


def dynamic_sizes(channels: int, width: int) -> list[int]:
    """Numbers in the weights and the biases of two 1x1 convolutions: channels + 2 to width to width."""
    return [(channels + 2) * width, width * width, width, width]


def dynamic_masks(features: Tensor, offsets: Tensor, parameters: Tensor, width: int) -> Tensor:
    """Args:
        features: (B, D, h, w).
        offsets: (B, Q, 2, h, w), from each cell to the query's reference point, x and y.
        parameters: (B, Q, sum of `dynamic_sizes`).
        width: channels of the answer.

    Returns: (B, Q, width, h, w).
    """
    channels = features.shape[1]
    first, second, first_bias, second_bias = parameters.split(dynamic_sizes(channels, width), -1)
    first = first.unflatten(-1, (width, channels + 2))  # B Q width D+2
    # The features are the same for all queries: they are multiplied once, and not copied for each.
    seen = torch.einsum("bqod,bdhw->bqohw", first[..., :channels], features)
    seen = seen + torch.einsum("bqod,bqdhw->bqohw", first[..., channels:], offsets)
    seen = (seen + first_bias[..., None, None]).relu()
    second = second.unflatten(-1, (width, width))
    return torch.einsum("bqod,bqdhw->bqohw", second, seen) + second_bias[..., None, None]
