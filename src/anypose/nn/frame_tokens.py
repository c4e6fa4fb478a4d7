"""The Hourglass Tokenizer: few frames go through most of a lifter, and all come out of it.

W. Li et al., Hourglass Tokenizer for Efficient Transformer-Based 3D Human Pose Estimation, CVPR 2024 (arXiv
2311.12028).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anypose.nn.space_time import CrossAttention, from_frames, over_frames
from anypose.ops.frames import choose_frames, take_frames, tie_break


class FrameTokens(nn.Module):
    """Chooses frames of a clip and, in "hot" form, makes the clip of them again.

    Args:
        frames: of the clip.
        kept: number of frames that go on.
        width: of the features.
        recover: False is the authors' TPC, which answers for the kept frames alone, the middle one always among them.
        neighbours: of the density; see `frame_scores`.
        bias: of the queries, keys and values that recover frames.
    """

    def __init__(
        self,
        frames: int,
        kept: int,
        width: int,
        *,
        heads: int = 8,
        recover: bool = True,
        neighbours: int = 2,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if not 1 <= kept <= frames:
            raise ValueError(f"{kept} of {frames} frames cannot be kept")
        self.kept, self.recovers, self.neighbours = kept, recover, neighbours
        if recover:
            self.pos_embed_token = nn.Parameter(torch.zeros(1, kept, width))
            self.x_token = nn.Parameter(torch.zeros(1, frames, width))
            self.cross_attention = CrossAttention(width, heads, bias=bias)

    def choose(self, features: Tensor, noise: Tensor | None) -> Tensor:
        """Indices of the kept frames, (B, kept), of features (B, T, D); see `frame_scores` for `noise`."""
        if noise is None:
            shape = features.shape[:2]
            random = torch.rand(shape, device=features.device, dtype=features.dtype) if self.training else None
            noise = tie_break(shape[1], features) if random is None else random
        return choose_frames(features, self.kept, noise, centre=not self.recovers, neighbours=self.neighbours)

    def forward(self, x: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """The kept frames of (B, T, J, D), and their indices (B, kept)."""
        frames = self.choose(x.mean(2), noise)
        x = take_frames(x, frames)
        return (x + self.pos_embed_token[:, :, None] if self.recovers else x), frames

    def recover(self, x: Tensor) -> Tensor:
        """All frames (B, T, J, D) from the kept ones (B, kept, J, D): each frame's query asks those of its joint."""
        rows = over_frames(x)
        queries = self.x_token.expand(rows.shape[0], -1, -1)
        return from_frames(queries + self.cross_attention(queries, rows, rows), x.shape[0])
