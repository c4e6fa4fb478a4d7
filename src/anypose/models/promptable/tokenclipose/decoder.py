"""TokenCLIPose's decoder (paper figure 2b): keypoint tokens read image, location and register tokens."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Kind = Literal["self", "cross", "intention"]
KINDS: tuple[Kind, ...] = ("self", "cross", "intention")


class Attention(nn.Module):
    """(B, N, D) asks (B, M, D).

    Args:
        intention: instead of a softmax, the linear map that fits values to keys best in least squares, applied to the
            queries: Q (K'K / M + a I)^-1 K'V / M (M. Garnelo and W. M. Czarnecki, arXiv 2305.10203), a learned.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, *, intention: bool = False) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.merge = nn.Linear(width, width), nn.Linear(width, width)
        # Without a bias for keys, which a softmax would not see.
        self.key, self.value = nn.Linear(width, width, bias=intention), nn.Linear(width, width)
        self.ridge = nn.Parameter(torch.zeros(heads, 1, 1)) if intention else None

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = (
            layer(given).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # B heads N D/heads
            for layer, given in ((self.query, x), (self.key, memory), (self.value, memory))
        )
        if self.ridge is None:
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        else:
            keys = k.transpose(-2, -1) / k.shape[-2]
            own = F.softplus(self.ridge) * torch.eye(k.shape[-1], dtype=k.dtype, device=k.device)
            y = q @ torch.linalg.solve(keys @ k + own, keys @ v)
        return self.merge(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """LayerNorm, attention, LayerNorm, MLP, each pair added to what it was given; without a memory, of itself."""

    def __init__(
        self, width: int, heads: int, ratio: float, dropout: float, *, intention: bool = False, memory: bool = False
    ) -> None:
        super().__init__()
        hidden = int(width * ratio)
        self.norm = nn.LayerNorm(width)
        self.memory_norm = nn.LayerNorm(width) if memory else None
        self.attention = Attention(width, heads, dropout, intention=intention)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        y = self.norm(x)
        asked = y if self.memory_norm is None or memory is None else self.memory_norm(memory)
        x = x + self.drop(self.attention(y, asked))
        return x + self.drop(self.mlp(x))


class SelfLayer(nn.Module):
    """All tokens of all kinds ask each other."""

    def __init__(self, width: int, heads: int, ratio: float, dropout: float, *, intention: bool, located: bool) -> None:
        super().__init__()
        self.block = Block(width, heads, ratio, dropout, intention=intention)

    def forward(self, keypoints: Tensor, image: Tensor, places: Tensor, registers: Tensor) -> tuple[Tensor, ...]:
        parts = (keypoints, image, places, registers)
        together = self.block(torch.cat(parts, 1))
        return together.split([part.shape[1] for part in parts], 1)


class CrossLayer(nn.Module):
    """Each kind of tokens asks its own; then keypoint tokens ask all the others (table 5; inside inferred)."""

    def __init__(self, width: int, heads: int, ratio: float, dropout: float, *, intention: bool, located: bool) -> None:
        super().__init__()
        sizes = (width, heads, ratio, dropout)
        self.keypoints, self.image = Block(*sizes), Block(*sizes)
        self.places = Block(*sizes) if located else None
        self.across = Block(*sizes, memory=True)

    def forward(self, keypoints: Tensor, image: Tensor, places: Tensor, registers: Tensor) -> tuple[Tensor, ...]:
        keypoints, image = self.keypoints(keypoints), self.image(image)
        if self.places is not None:
            places = self.places(places)
        keypoints = self.across(keypoints, torch.cat((image, places, registers), 1))
        return keypoints, image, places, registers


class Decoder(nn.Module):
    """Args:
        width, heads, ratio, dropout: of each layer.
        depth: number of layers.
        attention: "self", "cross" or "intention".
        registers: learned tokens that are dropped at the end (T. Darcet et al., ICLR 2024).
        located: whether there are location tokens.

    forward: keypoint tokens (B, K, D), image tokens (B, N, D) and location tokens (B, L, D) to keypoint tokens.
    """

    def __init__(
        self,
        width: int,
        *,
        depth: int,
        heads: int,
        ratio: float,
        dropout: float,
        attention: Kind,
        registers: int,
        located: bool,
    ) -> None:
        super().__init__()
        if attention not in KINDS:
            raise ValueError(f"there is no attention {attention!r}: it is {', '.join(map(repr, KINDS))}")
        layer = CrossLayer if attention == "cross" else SelfLayer
        intention = attention == "intention"
        self.layers = nn.ModuleList(
            layer(width, heads, ratio, dropout, intention=intention, located=located) for _ in range(depth)
        )
        self.registers = nn.Parameter(torch.randn(registers, width) * 0.02)
        self.norm = nn.LayerNorm(width)

    def forward(self, keypoints: Tensor, image: Tensor, places: Tensor) -> Tensor:
        registers = self.registers.expand(image.shape[0], -1, -1)
        for layer in self.layers:
            keypoints, image, places, registers = layer(keypoints, image, places, registers)
        return self.norm(keypoints)
