"""Other things than people: which are in the picture, which the words name, and what is named but not there."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anypose.models.promptable.pointer.words import PAD

KINDS = 79  # COCO's classes other than the person


class Things(nn.Module):
    """Args:
    vector: width of the table of word vectors.
    width: width of the words' tokens.
    """

    vectors: Tensor

    def __init__(self, *, vector: int, width: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(KINDS, vector))  # of their names
        # What a detector's best score is worth; captions name what it scores at 0.01.
        self.sure = nn.Parameter(torch.full((KINDS,), 0.7))
        self.level = nn.Parameter(torch.full((KINDS,), 3.0))
        self.alike = nn.Parameter(torch.tensor((20.0, 0.75)))  # how alike a word's vector and a name's have to be
        self.names = nn.Linear(width, KINDS)
        self.weight = nn.Parameter(torch.tensor(0.0))
        nn.init.zeros_(self.names.weight)
        nn.init.zeros_(self.names.bias)

    def seen(self, cells: Tensor) -> Tensor:
        """Probability (B, 79) that each kind is in the picture, from the detector's cells (B, n, 79)."""
        best = torch.logit(cells.amax(1).clamp(1e-5, 1 - 1e-5))
        return torch.sigmoid(F.softplus(self.sure) * best + self.level)

    def named(self, ids: Tensor, table: Tensor, words: Tensor) -> Tensor:
        """Logits (P, 79) of each kind being named.

        Args:
            ids: (P, L), 0 where there is no word; table: (V, vector); words: (P, L, width), their tokens.
        """
        alike = F.normalize(table[ids], dim=-1, eps=1e-4) @ F.normalize(self.vectors, dim=-1, eps=1e-4).T  # P L 79
        steepness, least = self.alike
        logits = steepness * (alike - least) + self.names(words)
        return torch.where((ids != PAD)[..., None], logits, torch.full_like(logits, -20.0)).amax(1)

    def lacking(self, named: Tensor, seen: Tensor) -> Tensor:
        """What (P,) to add to the logit of nobody: the evidence that something named is not there."""
        missing = named.sigmoid() * (1 - seen)
        return F.softplus(self.weight) * -torch.log1p(-missing.clamp(max=0.99)).sum(1)
