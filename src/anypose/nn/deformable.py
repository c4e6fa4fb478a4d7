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
        return self.read(query, self.cells(reference, shapes), self.table(memory, shapes, padding))

    def cells(self, reference: Tensor, shapes: Shapes) -> Tensor:
        """Reference points (B, N, levels, 2) as `read` takes them.

        Returns: (B, N, 2, heads * levels * points), all x and then all y, in cells of their level.
        """
        sizes = torch.tensor([(w, h) for h, w in shapes], dtype=torch.float32, device=reference.device)
        scaled = (reference.float() * sizes).transpose(-1, -2)  # B N 2 L
        return scaled[..., None, :, None].expand(-1, -1, -1, self.heads, -1, self.points).flatten(3)

    def table(self, memory: Tensor, shapes: Shapes, padding: Tensor | None = None) -> Table:
        """What `read` reads in, and by; see `forward`."""
        value = self.value(memory)
        if padding is not None:
            value = value.masked_fill_(padding[..., None], 0)
        value = value.float().unflatten(-1, (self.heads, -1))  # B S heads d
        by_rows = memory.device.type == "cpu" and not torch.is_grad_enabled() and not torch.jit.is_tracing()
        by_rows = self.sampling == "rows" or (self.sampling == "auto" and by_rows)
        # All x, all y, all weights: what is made of them then works on long rows of numbers.
        pairs = self.offsets.weight.unflatten(0, (-1, 2)).transpose(0, 1).flatten(0, 1)
        weight = torch.cat((pairs, self.weights.weight))
        bias = torch.cat((self.offsets.bias.unflatten(0, (-1, 2)).T.flatten(), self.weights.bias))
        return Table(rows_of(value, shapes) if by_rows else value, shapes, by_rows, weight, bias)

    def read(self, query: Tensor, cells: Tensor, table: Table) -> Tensor:
        """Queries (B, N, D), all of a picture's or a part of them, around their `cells`: (B, N, D); see `forward`."""
        asked = F.linear(query, table.weight, table.bias).float()
        samples = cells.shape[-1]
        places = asked[..., : 2 * samples].unflatten(-1, (2, -1)) + cells  # B N 2 heads*L*P, in cells
        weights = asked[..., 2 * samples :].unflatten(-1, (self.heads, -1)).softmax(-1)  # B N heads L*P
        way = read_rows if table.by_rows else read_grid
        return self.output(way(table.values, places, weights, table.shapes).to(query.dtype))


class Table(NamedTuple):
    """What is read in, of a pyramid of these heights and widths, and by.

    values: (B, S, heads, d) or, by rows, those of `rows_of`. weight, bias: from a query to its places and weights.
    """

    values: Tensor
    shapes: Shapes
    by_rows: bool
    weight: Tensor
    bias: Tensor


def read_grid(value: Tensor, places: Tensor, weights: Tensor, shapes: Shapes) -> Tensor:
    """Weighted sums of bilinear samples, by `grid_sample`; outside a level there are zeros.

    Args:
        value: (B, S, heads, d).
        places: (B, N, 2, heads * levels * points), x and y in cells, a level's first cell from 0 to 1.
        weights: (B, N, heads, levels * points).
        shapes: height and width of each level.

    Returns: (B, N, heads * d).
    """
    heads = value.shape[2]
    sizes = torch.tensor([(w, h) for h, w in shapes], dtype=torch.float32, device=places.device)
    apart = places.unflatten(-1, (heads, len(shapes), -1)).permute(0, 3, 1, 4, 5, 2).flatten(0, 1)
    grids = apart * (2 / sizes)[:, None] - 1  # B*heads N L P 2
    parts = []
    for level, (part, (h, w)) in enumerate(zip(value.split([h * w for h, w in shapes], 1), shapes)):
        image = part.permute(0, 2, 3, 1).flatten(0, 1).unflatten(-1, (h, w))  # B*heads d h w
        parts.append(F.grid_sample(image, grids[:, :, level], "bilinear", "zeros", False))  # B*heads d N P
    by_head = weights.transpose(1, 2).flatten(0, 1)[:, None]  # B*heads 1 N L*P
    read = (torch.cat(parts, -1) * by_head).sum(-1)  # B*heads d N
    return read.unflatten(0, (-1, heads)).flatten(1, 2).transpose(1, 2)


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
    count, points = places.shape[1], places.shape[-1] // (heads * len(shapes))
    each = (batch, count, heads, -1)

    def column(levels: list[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """One number a level as one a sample, (heads * levels * points,)."""
        values = torch.tensor(levels, dtype=dtype, device=table.device)
        return values[:, None].expand(heads, -1, points).reshape(-1)

    nothing = table.new_zeros(())
    x, y = places.unbind(2)  # B N heads*L*P
    # In cells of the bordered level, whose centres are whole.
    x = (x + 0.5).clamp_(nothing, column([w + 1 for _, w in shapes]))
    y = (y + 0.5).clamp_(nothing, column([h + 1 for h, _ in shapes]))
    left, top = x.floor(), y.floor()
    x, y = x.sub_(left).view(each), y.sub_(top).view(each)
    # Whole numbers below 2 to the 24th are exact in float32.
    index = top.mul_(column([w + 2 for _, w in shapes])).add_(left).mul_(heads).int()
    index += column([start * heads for start in _starts(shapes)[0]], torch.int32)
    index = index.view(each)
    index += torch.arange(heads, dtype=torch.int32, device=table.device)[:, None]
    index += (torch.arange(batch, dtype=torch.int32, device=table.device) * (total * heads)).view(-1, 1, 1, 1)
    corners = index.new_empty(batch, count, heads, 4, index.shape[-1])
    shares = places.new_empty(corners.shape)
    below = column([(w + 2) * heads for _, w in shapes], torch.int32).view(heads, -1)
    torch.add(index, 0, out=corners[..., 0, :])
    torch.add(index, heads, out=corners[..., 1, :])
    torch.add(index, below, out=corners[..., 2, :])
    torch.add(index, below + heads, out=corners[..., 3, :])
    lower = weights * y
    upper = weights - lower
    torch.mul(upper, x, out=shares[..., 1, :])
    torch.sub(upper, shares[..., 1, :], out=shares[..., 0, :])
    torch.mul(lower, x, out=shares[..., 3, :])
    torch.sub(lower, shares[..., 3, :], out=shares[..., 2, :])
    read = F.embedding_bag(
        corners.view(batch * count * heads, -1),
        table.view(-1, depth),
        mode="sum",
        per_sample_weights=shares.view(batch * count * heads, -1),
    )
    return read.view(batch, count, heads * depth)
