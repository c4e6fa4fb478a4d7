"""The multimodal encoder: the pyramid that has heard the prompt looks at itself (paper section 3.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from anypose.nn.deformable import DeformableAttention, Shapes
from anypose.nn.parts import in_parts


class Ground(NamedTuple):
    """Where the cells of a flattened pyramid stand; no prompt changes it.

    codes: (B, S, D), sine position codes. padding: (B, S) bool. ratios: (B, levels, 2), the share of each level's
    width and height that is picture. centres: (B, S, 2), cells' centres from 0 to 1 over the picture. shapes: height
    and width of each level.
    """

    codes: Tensor
    padding: Tensor
    ratios: Tensor
    centres: Tensor
    shapes: Shapes

    def of(self, picture: Tensor) -> Ground:
        """Rows for prompts about the pictures (P,)."""
        return self._replace(
            codes=self.codes[picture],
            padding=self.padding[picture],
            ratios=self.ratios[picture],
            centres=self.centres[picture],
        )


class FeedForward(nn.Module):
    """Two linear layers with a ReLU, over the last side."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.widen, self.narrow = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., D)."""
        return self.narrow(self.widen(x).relu_())


class EncoderLayer(nn.Module):
    def __init__(self, width: int, heads: int, levels: int, points: int, feedforward: int) -> None:
        super().__init__()
        self.attention = DeformableAttention(width, heads, levels, points)
        self.attention_norm = nn.LayerNorm(width)
        self.feedforward = FeedForward(width, feedforward)
        self.norm = nn.LayerNorm(width)

    def forward(self, memory: Tensor, codes: Tensor, cells: Tensor, ground: Ground) -> Tensor:
        """memory (P, S, D) to (P, S, D); cells as `DeformableAttention.cells` has them."""
        table = self.attention.table(memory, ground.shapes, ground.padding)

        def through(memory: Tensor, codes: Tensor, cells: Tensor, values: Tensor) -> Tensor:
            looked = self.attention.read(memory + codes, cells, table._replace(values=values))
            memory = self.attention_norm(memory + looked)
            return self.norm(memory + self.feedforward(memory))

        return in_parts(through, (memory, codes, cells), (table.values,))


class Encoder(nn.Module):
    """Args:
    layers: number of layers.
    width, heads, levels, points, feedforward: of each.
    """

    def __init__(self, layers: int, *, width: int, heads: int, levels: int, points: int, feedforward: int) -> None:
        super().__init__()
        self.level_codes = nn.Parameter(torch.randn(levels, width))
        self.layers = nn.ModuleList(EncoderLayer(width, heads, levels, points, feedforward) for _ in range(layers))

    def forward(self, fused: Tensor, ground: Ground) -> Tensor:
        """fused (P, S, D) to memory (P, S, D)."""
        of_level = torch.cat([self.level_codes[i].expand(h * w, -1) for i, (h, w) in enumerate(ground.shapes)])
        codes = ground.codes + of_level
        reference = ground.centres[:, :, None] * ground.ratios[:, None]  # P S levels 2
        first = self.layers[0]
        assert isinstance(first, EncoderLayer)
        places = first.attention.cells(reference, ground.shapes)
        memory = fused
        for layer in self.layers:
            memory = layer(memory, codes, places, ground)
        return memory
