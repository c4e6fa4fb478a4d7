"""Swin Transformer (Liu et al., ICCV 2021) as a detector's backbone: four maps, each with its own norm."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import SwinBackbone, SwinConfig

from anypose.nn.parts import in_parts

STAGES = ("stage1", "stage2", "stage3", "stage4")
APART = -100.0  # added to the attention of tokens that a shift has brought together


class Windows(NamedTuple):
    """How the N tokens of a map lie in W windows of A places.

    token: (W * A,) int64, at each place; N where the map has none. place: (N,) int64, of each token.
    mask: (W, 1, A, A), what is added to the attention of tokens that are not neighbours; None where all are.
    """

    token: Tensor
    place: Tensor
    mask: Tensor | None

    @classmethod
    def of(cls, size: tuple[int, int], side: int, shift: int, like: Tensor) -> Windows:
        """Windows of some side over a map of a size, which is first padded to whole windows and then rolled."""
        device = like.device
        padded = tuple(-(-length // side) * side for length in size)
        at = [torch.arange(length, device=device) for length in padded]
        y, x = ((i + shift) % length for i, length in zip(at, padded))
        token = torch.where((y < size[0])[:, None] & (x < size[1]), y[:, None] * size[1] + x, size[0] * size[1])
        wide = padded[1] // side
        y, x = ((torch.arange(length, device=device) - shift) % whole for length, whole in zip(size, padded))
        window = (y // side)[:, None] * wide + x // side
        place = window * side**2 + (y % side)[:, None] * side + x % side  # h w
        mask = None
        if shift:
            y, x = (((i >= length - side).long() + (i >= length - shift)) for i, length in zip(at, padded))
            region = _cut(y[:, None] * 3 + x, side)  # W A
            mask = (region[:, None] != region[:, :, None]).to(like.dtype)[:, None] * APART
        return cls(_cut(token, side).flatten(), place.flatten(), mask)


def _cut(values: Tensor, side: int) -> Tensor:
    """(H, W), whole windows, to (windows, side * side)."""
    height, width = values.shape
    return values.view(height // side, side, width // side, side).transpose(1, 2).reshape(-1, side * side)


class Swin(nn.Module):
    """The modules and their weights are those of transformers; tokens go through them another way: padding is never
    projected, and windows are cut, shifted and put together by one index each.

    Args:
        width: channels of the first stage; each next stage has twice as many.
        depths, heads: of the four stages.
        window: side of the windows, in tokens.
        drop_path: rate at which the last block is left out in training; earlier blocks less.
    """

    def __init__(
        self,
        *,
        width: int = 96,
        depths: tuple[int, ...] = (2, 2, 6, 2),
        heads: tuple[int, ...] = (3, 6, 12, 24),
        window: int = 7,
        drop_path: float = 0.2,
    ) -> None:
        super().__init__()
        config = SwinConfig(
            embed_dim=width,
            depths=list(depths),
            num_heads=list(heads),
            window_size=window,
            drop_path_rate=drop_path,
        )
        config.out_features = list(STAGES)
        self.model = SwinBackbone(config)
        # A classifier's last norm, which no map passes through.
        self.model.swin.register_module("layernorm", nn.Identity())
        self.window = window
        self.channels = tuple(width * 2**stage for stage in range(4))

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W), normalised as ImageNet is, to four maps (B, C, H / stride, W / stride), strides 4 to 32.

        Their channels come last in memory, as tokens have them.
        """
        swin: Any = self.model.swin
        tokens, (height, width) = swin.embeddings(pictures)  # B N C
        # Numbers and no part of an exported graph, whose pictures have one size: what follows from them is fixed too.
        size = (int(height), int(width))
        maps = []
        for stage, name in zip(swin.encoder.layers, STAGES):
            straight, shifted = (Windows.of(size, self.window, by, tokens) for by in (0, self.window // 2))
            for i, block in enumerate(stage.blocks):
                tokens = _block(block, tokens, shifted if i % 2 else straight)
            maps.append(self.model.hidden_states_norms[name](tokens).transpose(1, 2).unflatten(2, size))  # B C h w
            if stage.downsample is not None:
                tokens = stage.downsample(tokens, size)
                size = ((size[0] + 1) // 2, (size[1] + 1) // 2)
        return tuple(maps)


def _block(block: Any, tokens: Tensor, windows: Windows) -> Tensor:
    tokens = tokens + block.drop_path(_attention(block, tokens, windows))

    def fed(some: Tensor) -> Tensor:
        return some + block.drop_path(block.mlp(block.layernorm_after(some)))

    return in_parts(fed, [tokens])


def _attention(block: Any, tokens: Tensor, windows: Windows) -> Tensor:
    """Tokens (B, N, C) attend to those of their window: (B, N, C)."""
    attention = block.attention
    area = block.window_size**2
    # One token more, of zeros: what windows beyond the map's edge hold.
    normed = F.pad(block.layernorm_before(tokens), (0, 0, 0, 1))

    def cut(project: nn.Module) -> Tensor:
        projected = project(normed).index_select(1, windows.token)  # B W*A C
        by_head = projected.view(-1, area, attention.num_attention_heads, attention.head_dim)
        return by_head.transpose(1, 2)  # B*W heads A d

    bias = attention.relative_position_bias()  # 1 heads A A
    if windows.mask is not None:
        bias = (bias + windows.mask).repeat(len(tokens), 1, 1, 1)
    query, key, value = (cut(project) for project in (attention.q_proj, attention.k_proj, attention.v_proj))
    heard = F.scaled_dot_product_attention(query, key, value, bias.to(query.dtype))
    heard = heard.transpose(1, 2).reshape(len(tokens), -1, tokens.shape[-1]).index_select(1, windows.place)
    return attention.o_proj(heard)
