"""KTPFormer: MixSTE whose first pair of blocks knows the skeleton and the order of time.

J. Peng et al., KTPFormer: Kinematics and Trajectory Prior Knowledge-Enhanced Transformer for 3D Human Pose Estimation,
CVPR 2024 (arXiv 2404.00658).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from anypose.nn.checkpoints import read, renamed
from anypose.nn.space_time import (
    EIGHT_BITS,
    PAIR_NAMES,
    Attention,
    DropPath,
    FeedForward,
    Pairs,
    drop_path_rates,
    from_frames,
    from_joints,
    head,
    over_frames,
    over_joints,
)
from anypose.ops.graphs import bones_both_ways, chain, row_normalised
from anypose.ops.poses import Clips, joint_weights, sequence_losses
from anypose.skeleton import SKELETONS

__all__ = ["VARIANTS", "KTPFormer", "published", "rename"]

VARIANTS: dict[str, dict[str, Any]] = {
    "h36m": {},
    "humaneva": {"skeleton": "humaneva15", "frames": 27},
    "tiny": {"frames": 9, "width": 32, "depth": 1, "drop_path": 0.0},
}
NAMES = (
    *PAIR_NAMES,
    (r"kpattention\.attn\.kpa\.", "joints.priors.0."),
    (r"kpattention\.attn\.Spatial_pos_embed$", "joints.places"),
    (r"tpattention\.attn\.tpa\.gconv1\.", "trajectories.priors.0."),
    (r"tpattention\.attn\.tpa\.gconv2\.", "trajectories.priors.1."),
    (r"tpattention\.attn\.Temporal_pos_embed$", "trajectories.places"),
    (r"kpattention\.attn\.norm1\.", "joints.norm1."),
    (r"tpattention\.attn\.norm1\.", "trajectories.norm1."),
    (r"kpattention\.", "joints."),
    (r"tpattention\.", "trajectories."),
)


class ModulatedGraph(nn.Module):
    """A graph convolution whose weights are modulated node by node, and whose edges are learned further.

    Z. Zou and W. Tang, Modulated Graph Convolutional Network for 3D Human Pose Estimation, ICCV 2021.

    Args:
        adjacency: (N, N), to start from; it is not part of the state.
    """

    adjacency: Tensor

    def __init__(self, inputs: int, outputs: int, adjacency: Tensor) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.empty(2, inputs, outputs))
        self.M = nn.Parameter(torch.empty(len(adjacency), outputs))
        self.adj2 = nn.Parameter(torch.full_like(adjacency, 1e-6))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-(outputs**-0.5), outputs**-0.5))
        for weights in (self.W, self.M):
            nn.init.xavier_uniform_(weights, gain=1.414)
        self.register_buffer("adjacency", adjacency, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        edges = self.adjacency + self.adj2
        edges = (edges + edges.T) / 2
        own, others = (self.M * (x @ weights) for weights in self.W)
        itself = torch.eye(len(edges), dtype=edges.dtype, device=edges.device) * edges
        return itself @ own + (edges - itself) @ others + self.bias


class Prior(nn.Module):
    """A modulated graph convolution of rows (R, N, D), normalised channel by channel."""

    def __init__(self, inputs: int, outputs: int, adjacency: Tensor) -> None:
        super().__init__()
        self.gconv = ModulatedGraph(inputs, outputs, adjacency)
        self.bn = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.gconv(x).transpose(1, 2)).transpose(1, 2).relu()


class PriorBlock(nn.Module):
    """Attention of rows (R, N, D) after what the priors make of them, and a feed-forward network.

    The features that the priors make take the place of the rows where their widths differ, as at the first joints, and
    are added to them else.
    """

    def __init__(self, inputs: int, width: int, heads: int, hidden: int, adjacency: Tensor, priors: int) -> None:
        super().__init__()
        self.priors = nn.ModuleList(Prior(inputs if i == 0 else width, width, adjacency) for i in range(priors))
        self.adds = inputs == width
        self.places = nn.Parameter(torch.zeros(1, len(adjacency), width))
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = FeedForward(width, hidden)
        self.drop_path = DropPath(0.0)

    def forward(self, rows: Tensor) -> Tensor:
        x = rows
        for prior in self.priors:
            x = prior(x)
        x = (rows + x if self.adds else x) + self.places
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class KTPFormer(nn.Module):
    """Keypoints of a clip to its poses.

    Args:
        frames: of a clip.
        skeleton: name of the keypoints' skeleton, whose bones are the kinematic prior.
        width, heads, hidden: of the blocks; hidden None is twice the width.
        depth: pairs of blocks after the first one, which holds the priors.
        drop_path: rate of the last pair.
    """

    EIGHT_BITS = EIGHT_BITS

    def __init__(
        self,
        *,
        frames: int = 243,
        skeleton: str = "h36m17",
        width: int = 512,
        heads: int = 8,
        hidden: int | None = None,
        depth: int = 7,
        drop_path: float = 0.1,
    ) -> None:
        super().__init__()
        self.skeleton = SKELETONS[skeleton]
        self.frames = frames
        self.answers: Literal["all"] = "all"
        hidden = hidden or 2 * width
        bones = row_normalised(bones_both_ways(self.skeleton.bones, len(self.skeleton)))
        times = row_normalised(chain(frames))
        self.joints = PriorBlock(2, width, heads, hidden, bones.fill_diagonal_(1), 1)
        self.trajectories = PriorBlock(width, width, heads, hidden, times.fill_diagonal_(1), 2)
        self.pairs = Pairs(width, heads, hidden, drop_path_rates(depth + 1, drop_path)[1:])
        self.head = head(width)

    def forward(self, keypoints: Tensor) -> Tensor:
        """(B, T, J, 2) in screen-normalised coordinates to (B, T, J, 3) metres in the camera's frame from the root."""
        batch = keypoints.shape[0]
        x = from_joints(self.pairs.joint_norm(self.joints(over_joints(keypoints))), batch)  # B T J D
        x = from_frames(self.pairs.frame_norm(self.trajectories(over_frames(x))), batch)
        return self.head(self.pairs(x))

    def loss(self, batch: Clips) -> dict[str, Tensor]:
        """The losses of MixSTE. The authors minimise half the square of their sum; here it is the sum itself."""
        weights = joint_weights(self.skeleton.name, len(self.skeleton)).to(batch.joints)
        return sequence_losses(self(batch.keypoints), batch.joints, weights)


def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' entries under our names.

    Raises:
        ValueError: an entry is none of KTPFormer's.
    """
    return renamed(state, NAMES, "KTPFormer")


def published(path: Path, variant: str | None = None) -> tuple[str, dict[str, Tensor]]:
    """The variant ("h36m" if None) and our entries of the authors' checkpoint; ValueError where it is none."""
    return variant or "h36m", rename(read(path, ("model_pos",), "KTPFormer"))
