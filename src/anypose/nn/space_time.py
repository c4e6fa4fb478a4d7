"""The space-time transformer of MixSTE, which HoT, KTPFormer, D3DP and FinePOSE plug into.

J. Zhang et al., MixSTE: Seq2seq Mixed Spatio-Temporal Encoder for 3D Human Pose Estimation in Video, CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

# What the authors of MixSTE-like systems call the parts of a block, and we.
BLOCK_NAMES = ((r"STEblocks\.", "pairs.across_joints."), (r"TTEblocks\.", "pairs.across_frames."))
PAIR_NAMES = (
    *BLOCK_NAMES,
    (r"Spatial_norm\.", "pairs.joint_norm."),
    (r"Temporal_norm\.", "pairs.frame_norm."),
    (r"head\.", "head."),
)

# Layers of these systems that hold nearly all of their products, for `nn.eight_bits`.
EIGHT_BITS = ("*.qkv", "*.proj", "*.fc1", "*.fc2")


class DropPath(nn.Module):
    """In training leaves a residual branch out, row by row, with the probability `rate` (Huang et al., ECCV 2016)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return branch
        shape = (len(branch),) + (1,) * (branch.dim() - 1)
        return branch * branch.new_empty(shape).bernoulli_(1 - self.rate) / (1 - self.rate)


class Attention(nn.Module):
    """Self-attention of rows (R, N, D) over N; queries, keys and values come of one product."""

    def __init__(self, width: int, heads: int, *, bias: bool = True) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"a width of {width} cannot be shared by {heads} heads")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # R heads N D/heads
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class CrossAttention(nn.Module):
    """Attention of rows (R, N, D) to other rows (R, M, D), whose keys and values may be two different ones."""

    def __init__(self, width: int, heads: int, *, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.linear_q = nn.Linear(width, width, bias=bias)
        self.linear_k = nn.Linear(width, width, bias=bias)
        self.linear_v = nn.Linear(width, width, bias=bias)
        self.proj = nn.Linear(width, width)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        def split(x: Tensor) -> Tensor:
            return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # R heads N D/heads

        q, k, v = split(self.linear_q(queries)), split(self.linear_k(keys)), split(self.linear_v(values))
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two layers with a GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Attention and feed-forward network of rows (R, N, D), pre-norm."""

    def __init__(
        self, width: int, heads: int, hidden: int, *, drop_path: float = 0.0, eps: float = 1e-6, bias: bool = True
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = Attention(width, heads, bias=bias)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = FeedForward(width, hidden)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


def over_joints(x: Tensor) -> Tensor:
    """(B, T, J, D) as rows of one frame each, (B T, J, D)."""
    return x.flatten(0, 1)


def over_frames(x: Tensor) -> Tensor:
    """(B, T, J, D) as rows of one joint each, (B J, T, D)."""
    return x.transpose(1, 2).flatten(0, 1)


def from_joints(rows: Tensor, batch: int) -> Tensor:
    """The inverse of `over_joints`."""
    return rows.reshape(batch, -1, *rows.shape[1:])


def from_frames(rows: Tensor, batch: int) -> Tensor:
    """The inverse of `over_frames`."""
    return from_joints(rows, batch).transpose(1, 2)


class Pairs(nn.Module):
    """A joint block and a frame block in turn on (B, T, J, D), all of them followed by the same two norms.

    Args:
        drop_path: a rate for each pair.
    """

    def __init__(self, width: int, heads: int, hidden: int, drop_path: Sequence[float]) -> None:
        super().__init__()
        self.across_joints = nn.ModuleList(Block(width, heads, hidden, drop_path=rate) for rate in drop_path)
        self.across_frames = nn.ModuleList(Block(width, heads, hidden, drop_path=rate) for rate in drop_path)
        self.joint_norm = nn.LayerNorm(width, eps=1e-6)
        self.frame_norm = nn.LayerNorm(width, eps=1e-6)

    def __len__(self) -> int:
        return len(self.across_joints)

    def joints(self, x: Tensor, pair: int) -> Tensor:
        """The joint block of a pair and its norm."""
        return from_joints(self.joint_norm(self.across_joints[pair](over_joints(x))), x.shape[0])

    def frames(self, x: Tensor, pair: int) -> Tensor:
        """The frame block of a pair and its norm."""
        return from_frames(self.frame_norm(self.across_frames[pair](over_frames(x))), x.shape[0])

    def forward(self, x: Tensor, first: int = 0, last: int | None = None) -> Tensor:
        """The pairs from `first` up to and without `last`."""
        for pair in range(first, len(self) if last is None else last):
            x = self.frames(self.joints(x, pair), pair)
        return x


def drop_path_rates(depth: int, last: float = 0.1) -> list[float]:
    """Rates that rise evenly from 0 to `last`."""
    return [last * i / max(1, depth - 1) for i in range(depth)]


def head(width: int, outputs: int = 3) -> nn.Sequential:
    """A norm and a linear layer to `outputs` numbers a joint; the norm has PyTorch's epsilon, unlike the blocks'."""
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, outputs))
