"""MixSTE as a host of the Hourglass Tokenizer (J. Zhang et al., CVPR 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anypose.nn.frame_tokens import FrameTokens
from anypose.nn.space_time import PAIR_NAMES, Pairs, drop_path_rates, head

NAMES = (
    *PAIR_NAMES,
    (r"Spatial_patch_to_embedding\.", "embed."),
    (r"Spatial_pos_embed$", "joint_places"),
    (r"Temporal_pos_embed$", "frame_places"),
)


class MixSTE(nn.Module):
    """See `HoT` for the arguments; `tokens` are chosen before pair number `level`."""

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
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.joint_places = nn.Parameter(torch.zeros(1, joints, width))
        self.frame_places = nn.Parameter(torch.zeros(1, frames, width))
        self.pairs = Pairs(width, heads, hidden, drop_path_rates(depth, drop_path))
        self.level, self.tokens = level, tokens
        self.head = head(width)

    def forward(self, keypoints: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor | None]:
        x = self.embed(keypoints) + self.joint_places  # B T J D
        x = self.pairs.joints(x, 0) + self.frame_places[:, :, None]
        x = self.pairs.frames(x, 0)
        if self.tokens is None:
            return self.head(self.pairs(x, 1)), None
        x, frames = self.tokens(self.pairs(x, 1, self.level), noise)
        x = self.pairs(x, self.level)
        return self.head(self.tokens.recover(x) if self.tokens.recovers else x), frames
