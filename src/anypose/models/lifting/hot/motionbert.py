"""MotionBERT's dual-stream transformer as a host of the Hourglass Tokenizer (W. Zhu et al., ICCV 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anypose.nn.frame_tokens import FrameTokens
from anypose.nn.space_time import (
    Attention,
    DropPath,
    FeedForward,
    drop_path_rates,
    from_frames,
    from_joints,
    over_frames,
    over_joints,
)

NAMES = (
    (r"joints_embed\.", "embed."),
    (r"temp_embed$", "frame_places"),
    (r"pos_embed$", "joint_places"),
    (r"blocks_st\.", "space_first."),
    (r"blocks_ts\.", "time_first."),
    (r"ts_attn\.", "fusion."),
    (r"norm\.", "norm."),
    (r"pre_logits\.fc\.", "representation."),
    (r"head\.", "head."),
)


class Stream(nn.Module):
    """Attention and feed-forward network across joints and across frames, one after the other, of (B, T, J, D)."""

    def __init__(self, width: int, heads: int, hidden: int, drop_path: float, order: str) -> None:
        super().__init__()
        self.order = order
        for axis in "st":
            self.add_module(f"norm1_{axis}", nn.LayerNorm(width, eps=1e-6))
            self.add_module(f"attn_{axis}", Attention(width, heads))
            self.add_module(f"norm2_{axis}", nn.LayerNorm(width, eps=1e-6))
            self.add_module(f"mlp_{axis}", FeedForward(width, hidden))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        batch = x.shape[0]
        for axis in self.order:
            norm1, attention, norm2, mlp = (
                getattr(self, f"{part}_{axis}") for part in ("norm1", "attn", "norm2", "mlp")
            )
            rows = over_joints(x) if axis == "s" else over_frames(x)
            rows = rows + self.drop_path(attention(norm1(rows)))
            rows = rows + self.drop_path(mlp(norm2(rows)))
            x = from_joints(rows, batch) if axis == "s" else from_frames(rows, batch)
        return x


class MotionBERT(nn.Module):
    """See `HoT` for the arguments; `tokens` are chosen before level number `level`.

    At every level two streams, one of which looks across joints first and one across frames first, are mixed by weights
    that depend on both.
    """

    def __init__(
        self,
        *,
        frames: int,
        joints: int,
        inputs: int,
        width: int,
        hidden: int,
        depth: int,
        heads: int,
        level: int,
        tokens: FrameTokens | None,
        drop_path: float,
        representation: int,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.frame_places = nn.Parameter(torch.zeros(1, frames, 1, width))
        self.joint_places = nn.Parameter(torch.zeros(1, joints, width))
        rates = drop_path_rates(depth, drop_path)
        self.space_first = nn.ModuleList(Stream(width, heads, hidden, rate, "st") for rate in rates)
        self.time_first = nn.ModuleList(Stream(width, heads, hidden, rate, "ts") for rate in rates)
        self.fusion = nn.ModuleList(nn.Linear(2 * width, 2) for _ in range(depth))
        for mix in self.fusion:  # both streams count the same at first, as the authors have it
            nn.init.zeros_(mix.get_parameter("weight"))
            nn.init.constant_(mix.get_parameter("bias"), 0.5)
        self.level, self.tokens = level, tokens
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.representation = nn.Linear(width, representation)
        self.head = nn.Linear(representation, 3)

    def forward(self, keypoints: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor | None]:
        x = self.embed(keypoints) + self.joint_places + self.frame_places  # B T J D
        kept = None
        for level, (space_first, time_first, fusion) in enumerate(zip(self.space_first, self.time_first, self.fusion)):
            if self.tokens is not None and level == self.level:
                x, kept = self.tokens(x, noise)
            one, other = space_first(x), time_first(x)
            weights = fusion(torch.cat((one, other), -1)).softmax(-1)
            x = one * weights[..., :1] + other * weights[..., 1:]
        x = self.norm(x)
        if self.tokens is not None and self.tokens.recovers:
            x = self.tokens.recover(x)
        return self.head(self.representation(x).tanh()), kept
