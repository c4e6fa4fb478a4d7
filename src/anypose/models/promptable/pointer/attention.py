"""Small transformer layers, pre-norm."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention of (B, N, D) to (B, M, D); `keep` (B, M) says which of the M count."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.merge = nn.Linear(width, width)

    def forward(self, x: Tensor, memory: Tensor, keep: Tensor) -> Tensor:
        def split(t: Tensor) -> Tensor:
            return t.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # B heads N D/heads

        q, k, v = split(self.query(x)), split(self.key(memory)), split(self.value(memory))
        mask = (~keep)[:, None, None, :].to(x.dtype) * -1e4  # B 1 1 M
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.merge(y.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Self-attention, cross-attention where there is a memory, and a feed-forward network."""

    def __init__(self, width: int, heads: int = 4, *, cross: bool = False) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(width)
        self.self_attention = Attention(width, heads)
        self.cross_norm = nn.LayerNorm(width) if cross else None
        self.cross_attention = Attention(width, heads) if cross else None
        self.forward_layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(
        self, x: Tensor, keep: Tensor, memory: Tensor | None = None, memory_keep: Tensor | None = None
    ) -> Tensor:
        y = self.self_norm(x)
        x = x + self.self_attention(y, y, keep)
        if self.cross_attention is not None:
            assert self.cross_norm is not None
            assert memory is not None
            assert memory_keep is not None
            x = x + self.cross_attention(self.cross_norm(x), memory, memory_keep)
        return x + self.forward_layers(x)
