"""Skeletons and other graphs as matrices."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def bones_both_ways(bones: Sequence[tuple[int, int]], count: int) -> Tensor:
    """(count, count), 1 where a bone joins two joints."""
    adjacency = torch.zeros(count, count)
    for one, other in bones:
        adjacency[one, other] = adjacency[other, one] = 1
    return adjacency


def chain(count: int) -> Tensor:
    """(count, count), 1 where one comes right before or after the other."""
    return bones_both_ways([(i, i + 1) for i in range(count - 1)], count)


def row_normalised(adjacency: Tensor) -> Tensor:
    """Rows divided by their sums; a row of zeros stays."""
    return adjacency / adjacency.sum(-1, keepdim=True).clamp(min=1e-12)


def column_normalised(adjacency: Tensor) -> Tensor:
    """Columns divided by their sums; a column of zeros stays."""
    return row_normalised(adjacency.T).T


def hops(adjacency: Tensor, most: int) -> Tensor:
    """(most + 1, N, N), 1 where the shortest way between two nodes has exactly 0, 1, ... `most` edges."""
    reached = torch.eye(len(adjacency))
    rings = [reached]
    for _ in range(most):
        further = ((reached @ adjacency + reached) > 0).float()
        rings.append(further - reached)
        reached = further
    return torch.stack(rings)
