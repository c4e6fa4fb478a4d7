"""Multi-scale deformable attention (Zhu et al., Deformable DETR, ICLR 2021) without a compiled operator."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Shapes = list[tuple[int, int]]


class DeformableAttention(nn.Module):
    """Each query reads a few places around its reference point in each level of a pyramid.

    Args:
        width: of queries and values.
        heads: that the width is split into.
        levels: of the pyramid.
        points: read by each head in each level.

    Attributes:
        sampling: how places are read. "grid" is `grid_sample`, which has gradients and can be exported. "rows" is
            one weighted sum of table rows, several times faster on a CPU; without gradients it takes the place
            of "grid" there when this is "auto". Both read in float32 whatever the inputs are.
    """

    def __init__(self, width: int, heads: int = 8, levels: int = 4, points: int = 4) -> None:
        super().__init__()
        self.heads, self.levels, self.points = heads, levels, points
        self.sampling: Literal["auto", "grid", "rows"] = "auto"
        self.offsets = nn.Linear(width, heads * levels * points * 2)
        self.weights = nn.Linear(width, heads * levels * points)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self._start()

    def _start(self) -> None:
        """Heads begin by looking in as many directions, each point further out (Deformable DETR, appendix A.4)."""
        angles = torch.arange(self.heads) * (2 * math.pi / self.heads)
        directions = torch.stack((angles.cos(), angles.sin()), -1)
        directions = directions / directions.abs().amax(-1, keepdim=True)
        steps = torch.arange(1, self.points + 1)
        start = directions[:, None, None] * steps[None, None, :, None]  # heads 1 points 2
        nn.init.zeros_(self.offsets.weight)
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)
        with torch.no_grad():
            self.offsets.bias.copy_(start.expand(-1, self.levels, -1, -1).reshape(-1))
        for layer in (self.value, self.output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self, query: Tensor, reference: Tensor, memory: Tensor, shapes: Shapes, padding: Tensor | None = None
    ) -> Tensor:
        """Args:
            query: (B, N, D).
            reference: (B, N, levels, 2), x and y from 0 to 1 over each level.
            memory: (B, S, D), the levels one after the other, row by row.
            shapes: height and width of each level.
            padding: (B, S), True where memory is to be read as zero.

        Returns: (B, N, D).
        """
        value = self.value(memory)
        if padding is not None:
            value = value.masked_fill(padding[..., None], 0)
        value = value.unflatten(-1, (self.heads, -1))  # B S heads d
        offsets = self.offsets(query).float().unflatten(-1, (self.heads, self.levels, self.points, 2))
        weights = self.weights(query).float().unflatten(-1, (self.heads, -1)).softmax(-1)  # B N heads L*P
        sizes = torch.tensor([(w, h) for h, w in shapes], dtype=torch.float32, device=query.device)
        places = reference.float()[:, :, None, :, None] + offsets / sizes[:, None]  # B N heads L P 2
        by_rows = query.device.type == "cpu" and not torch.is_grad_enabled() and not torch.jit.is_tracing()
        if self.sampling == "rows" or (self.sampling == "auto" and by_rows):
            read = read_rows(value.float(), places, weights, shapes)
        else:
            read = read_grid(value.float(), places, weights, shapes)
        return self.output(read.to(query.dtype))


def read_grid(value: Tensor, places: Tensor, weights: Tensor, shapes: Shapes) -> Tensor:
    """Weighted sums of bilinear samples, by `grid_sample`.

    Args:
        value: (B, S, heads, d).
        places: (B, N, heads, levels, points, 2), x and y from 0 to 1.
        weights: (B, N, heads, levels * points).
        shapes: height and width of each level.

    Returns: (B, N, heads * d).
    """
    batch, _, heads, depth = value.shape
    count = places.shape[1]
    grids = (2 * places - 1).transpose(1, 2).flatten(0, 1)  # B*heads N L P 2
    parts = []
    for level, (part, (h, w)) in enumerate(zip(value.split([h * w for h, w in shapes], 1), shapes)):
        image = part.permute(0, 2, 3, 1).reshape(batch * heads, depth, h, w)
        parts.append(F.grid_sample(image, grids[:, :, level], "bilinear", "zeros", False))  # B*heads d N P
    by_head = weights.transpose(1, 2).reshape(batch * heads, 1, count, -1)
    read = (torch.cat(parts, -1) * by_head).sum(-1)  # B*heads d N
    return read.reshape(batch, heads * depth, count).transpose(1, 2)


def read_rows(value: Tensor, places: Tensor, weights: Tensor, shapes: Shapes) -> Tensor:
    """The same as `read_grid`, as one weighted sum of rows: `value` is a table of d-vectors as it lies in memory."""
    batch, tokens, heads, depth = value.shape
    count = places.shape[1]
    sizes = value.new_tensor([(w, h) for h, w in shapes])[:, None]  # L 1 2
    starts = [0]
    for h, w in shapes[:-1]:
        starts.append(starts[-1] + h * w)
    at = places * sizes - 0.5
    low = at.floor()
    part = at - low
    corners, shares = [], []
    last = (sizes - 1).int()
    low = low.clamp(-2, 1e6).int()  # a place far outside must not overflow
    by_point = weights.view(batch, count, heads, len(shapes), -1)
    first = torch.tensor(starts, dtype=torch.int32, device=value.device)[:, None]
    widths = sizes[..., 0].int()
    x_in, x_share, y_in, y_share = [], [], [], []
    for step in (0, 1):
        corner = low + step
        share = (part if step else 1 - part) * ((corner >= 0) & (corner <= last))
        corner = torch.minimum(corner.clamp(min=0), last)
        x_in.append(corner[..., 0])
        y_in.append(corner[..., 1] * widths + first)
        x_share.append(share[..., 0])
        y_share.append(share[..., 1] * by_point)
    for row, row_share in zip(y_in, y_share):
        for column, column_share in zip(x_in, x_share):
            corners.append(row + column)
            shares.append(row_share * column_share)
    # Corners are kept apart, so that neighbouring entries of a sum are neighbouring points.
    index = torch.stack(corners, 3).mul_(heads)  # B N heads 4 L P
    index += torch.arange(heads, dtype=torch.int32, device=value.device).view(-1, 1, 1, 1)
    index += (torch.arange(batch, device=value.device, dtype=torch.int32) * (tokens * heads)).view(-1, 1, 1, 1, 1, 1)
    read = F.embedding_bag(
        index.view(batch * count * heads, -1),
        value.reshape(-1, depth),
        mode="sum",
        per_sample_weights=torch.stack(shares, 3).view(batch * count * heads, -1),
    )
    return read.view(batch, count, heads * depth)
