"""Multi-scale deformable attention (Zhu et al., Deformable DETR, ICLR 2021) without a compiled operator."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

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
        table = self.table(memory, shapes, padding)
        return self.read(query, reference, table)

    def table(self, memory: Tensor, shapes: Shapes, padding: Tensor | None = None) -> Table:
        """Values of the memory, as `read` takes them; see `forward`."""
        value = self.value(memory)
        if padding is not None:
            value = value.masked_fill(padding[..., None], 0)
        value = value.float().unflatten(-1, (self.heads, -1))  # B S heads d
        by_rows = memory.device.type == "cpu" and not torch.is_grad_enabled() and not torch.jit.is_tracing()
        if self.sampling == "rows" or (self.sampling == "auto" and by_rows):
            return Table(rows_of(value, shapes), shapes, True)
        return Table(value, shapes, False)

    def read(self, query: Tensor, reference: Tensor, table: Table) -> Tensor:
        """Queries (B, N, D), all of a picture's or a part of them, to (B, N, D); see `forward`."""
        offsets = self.offsets(query).float().unflatten(-1, (self.heads, self.levels, self.points, 2))
        weights = self.weights(query).float().unflatten(-1, (self.heads, -1)).softmax(-1)  # B N heads L*P
        sizes = torch.tensor([(w, h) for h, w in table.shapes], dtype=torch.float32, device=query.device)
        places = (reference.float() * sizes)[:, :, None, :, None] + offsets  # B N heads L P 2, in cells
        way = read_rows if table.by_rows else read_grid
        return self.output(way(table.values, places, weights, table.shapes).to(query.dtype))


class Table(NamedTuple):
    """Values (B, S, heads, d) or, by rows, those of `rows_of`, of a pyramid of these heights and widths."""

    values: Tensor
    shapes: Shapes
    by_rows: bool


def read_grid(value: Tensor, places: Tensor, weights: Tensor, shapes: Shapes) -> Tensor:
    """Weighted sums of bilinear samples, by `grid_sample`; outside a level there are zeros.

    Args:
        value: (B, S, heads, d).
        places: (B, N, heads, levels, points, 2), x and y in cells, a level's first cell from 0 to 1.
        weights: (B, N, heads, levels * points).
        shapes: height and width of each level.

    Returns: (B, N, heads * d).
    """
    sizes = torch.tensor([(w, h) for h, w in shapes], dtype=torch.float32, device=places.device)
    grids = (places * (2 / sizes)[:, None] - 1).transpose(1, 2).flatten(0, 1)  # B*heads N L P 2
    parts = []
    for level, (part, (h, w)) in enumerate(zip(value.split([h * w for h, w in shapes], 1), shapes)):
        image = part.permute(0, 2, 3, 1).flatten(0, 1).unflatten(-1, (h, w))  # B*heads d h w
        parts.append(F.grid_sample(image, grids[:, :, level], "bilinear", "zeros", False))  # B*heads d N P
    by_head = weights.transpose(1, 2).flatten(0, 1)[:, None]  # B*heads 1 N L*P
    read = (torch.cat(parts, -1) * by_head).sum(-1)  # B*heads d N
    return read.unflatten(0, (-1, value.shape[2])).flatten(1, 2).transpose(1, 2)


def rows_of(value: Tensor, shapes: Shapes) -> Tensor:
    """Values (B, S, heads, d) with a border of zeros around each level: (B, S', heads, d).

    A place outside a level then reads zeros like any other place, and needs no test. The last rows serve those
    neighbours of the last cell that weigh nothing.
    """
    batch, _, heads, depth = value.shape
    starts, total = _starts(shapes)
    table = value.new_zeros(batch, total, heads, depth)
    for part, (h, w), start in zip(value.split([h * w for h, w in shapes], 1), shapes, starts):
        level = table[:, start : start + (h + 2) * (w + 2)].unflatten(1, (h + 2, w + 2))
        level[:, 1:-1, 1:-1] = part.unflatten(1, (h, w))
    return table


def _starts(shapes: Shapes) -> tuple[list[int], int]:
    """Where each level begins in the table of `rows_of`, and the table's length."""
    starts, total = [], 0
    for h, w in shapes:
        starts.append(total)
        total += (h + 2) * (w + 2)
    return starts, total + max(w for _, w in shapes) + 4


def read_rows(table: Tensor, places: Tensor, weights: Tensor, shapes: Shapes) -> Tensor:
    """The same as `read_grid`, out of the table of `rows_of`: one weighted sum of rows as they lie in memory."""
    batch, total, heads, depth = table.shape
    count, points = places.shape[1], places.shape[-2]
    new = places.new_tensor
    far = new([(w + 1, h + 1) for h, w in shapes])[:, None]  # L 1 2
    at = (places + 0.5).clamp_(min=0).minimum(far)  # in cells of the bordered level, whose centres are whole
    low = at.floor()
    part = at.sub_(low)
    strides = new([(heads, (w + 2) * heads) for _, w in shapes])[:, None]
    first = new([start * heads for start in _starts(shapes)[0]])[:, None]
    # Whole numbers below 2 to the 24th are exact in float32.
    index = (low.mul_(strides).sum(-1) + first).int()  # B N heads L P
    index += torch.arange(heads, dtype=torch.int32, device=table.device).view(-1, 1, 1)
    index += (torch.arange(batch, dtype=torch.int32, device=table.device) * (total * heads)).view(-1, 1, 1, 1, 1)
    corners = torch.tensor(
        [[0, heads, (w + 2) * heads, (w + 3) * heads] for _, w in shapes], dtype=torch.int32, device=table.device
    )
    index = index[..., None] + corners[:, None]  # B N heads L P 4
    both = torch.stack((1 - part, part), -1)  # B N heads L P 2 2, for x and y
    upright = both[..., 1, :] * weights.view(batch, count, heads, -1, points, 1)
    shares = upright[..., None] * both[..., 0, None, :]  # B N heads L P 2 2
    read = F.embedding_bag(
        index.view(batch * count * heads, -1),
        table.view(-1, depth),
        mode="sum",
        per_sample_weights=shares.view(batch * count * heads, -1),
    )
    return read.view(batch, count, heads * depth)
