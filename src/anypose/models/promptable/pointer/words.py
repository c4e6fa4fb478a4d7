"""Words to tokens that persons can be compared with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anypose.models.promptable.pointer.attention import Layer

# Pad is 0 and the unknown word 1, as the tokenizer in weights/ numbers them.
PAD = 0


class Words(nn.Module):
    """A table of word vectors and a small transformer.

    The table is given: words that training never showed stand near words that it did. Rows of words that it shows
    move, since vectors from running text hardly tell "left" from "right".

    Args:
        vocabulary: number of word pieces.
        vector: width of the table.
        width: width of the tokens.
        longest: number of word pieces that are read of a text.

    forward: ids (P, L) int64, 0 where there is no word, to tokens (P, L, width).
    """

    def __init__(self, *, vocabulary: int, vector: int, width: int, longest: int = 32, layers: int = 1) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(vocabulary, vector))
        self.enter = nn.Sequential(nn.Linear(vector, width), nn.GELU(), nn.Linear(width, width))
        self.places = nn.Parameter(torch.randn(longest, width) * 0.02)
        self.layers = nn.ModuleList(Layer(width) for _ in range(layers))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.enter(self.table[ids]) + self.places[: ids.shape[1]]  # P L D
        keep = ids != PAD
        for layer in self.layers:
            x = layer(x, keep)
        return x
