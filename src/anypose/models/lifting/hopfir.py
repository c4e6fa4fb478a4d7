"""HopFIR, in our own reading: joints attend to what lies one, two, three bones away, and limbs are refined outwards.

K. Zhai et al., HopFIR: Hop-wise GraphFormer with Intragroup Joint Refinement for 3D Human Pose Estimation, ICCV 2023
(arXiv 2302.14581). Neither code nor weights are public, and no number of layers, widths, hops or limb groups was at
hand: the two modules are built from what the abstract says of them. Nothing here can be compared with the authors'
network; `experiments/hopfir.py` shows by leaving them out that both modules act.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anypose.nn.space_time import FeedForward
from anypose.ops.graphs import bones_both_ways, hops, row_normalised
from anypose.ops.poses import Clips, distance
from anypose.skeleton import SKELETONS, Skeleton

__all__ = ["VARIANTS", "HopFIR"]

VARIANTS: dict[str, dict[str, Any]] = {
    "h36m": {},
    "tiny": {"width": 32, "depth": 2, "heads": 4, "refine_every": 1},
}


def limbs(skeleton: Skeleton) -> Tensor:
    """(J, J) bool: which joints each one is refined from: those of its limb that are nearer the root, and itself.

    Limbs are the chains of joints that have a partner in the mirror; all others are the trunk.

    Raises:
        ValueError: the skeleton's bones are no tree.
    """
    if skeleton.parents is None:
        raise ValueError(f"the bones of {skeleton.name} are no tree, and limbs are parts of a tree")
    paired = {end for pair in skeleton.mirror_pairs for end in pair}
    limb, depth = [-1] * len(skeleton), [0] * len(skeleton)
    for joint in range(len(skeleton)):
        at = joint
        while skeleton.parents[at] >= 0:
            depth[joint], at = depth[joint] + 1, skeleton.parents[at]
        at = joint
        while at in paired:
            limb[joint], at = at, skeleton.parents[at]
    nearer = torch.tensor(depth)[:, None] >= torch.tensor(depth)
    return (torch.tensor(limb)[:, None] == torch.tensor(limb)) & nearer


class HopAttention(nn.Module):
    """Each joint of (R, J, D) asks its neighbours of 0, 1, ... hops, each ring gathered and projected by itself."""

    rings: Tensor

    def __init__(self, width: int, heads: int, rings: Tensor) -> None:
        super().__init__()
        self.heads = heads
        self.register_buffer("rings", row_normalised(rings), persistent=False)
        self.gather = nn.ModuleList(nn.Linear(width, width) for _ in rings)
        self.query = nn.Linear(width, width)
        self.keys_values = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        gathered = [linear(ring @ x) for linear, ring in zip(self.gather, self.rings)]
        rings = torch.stack(gathered, 2)  # R J K D
        keys, values = self.keys_values(rings).unflatten(-1, (2, self.heads, -1)).unbind(3)  # R J K heads D/heads
        queries = self.query(x).unflatten(-1, (self.heads, -1))  # R J heads D/heads
        likeness = torch.einsum("rjhd,rjkhd->rjhk", queries, keys) * queries.shape[-1] ** -0.5
        answer = torch.einsum("rjhk,rjkhd->rjhd", likeness.softmax(-1), values)
        return self.proj(answer.flatten(2))


class HopBlock(nn.Module):
    """Hop-wise attention and a feed-forward network, pre-norm."""

    def __init__(self, width: int, heads: int, hidden: int, rings: Tensor) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = HopAttention(width, heads, rings)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = FeedForward(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class LimbRefinement(nn.Module):
    """Joints of (R, J, D) that have others of their limb before them are corrected by these."""

    allowed: Tensor
    outer: Tensor

    def __init__(self, width: int, heads: int, allowed: Tensor) -> None:
        super().__init__()
        self.heads = heads
        self.register_buffer("allowed", allowed, persistent=False)
        self.register_buffer("outer", (allowed.sum(1, keepdim=True) > 1).float(), persistent=False)
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        answer = F.scaled_dot_product_attention(q, k, v, attn_mask=self.allowed)
        return x + self.outer * self.proj(answer.transpose(1, 2).flatten(2))


class HopFIR(nn.Module):
    """Keypoints to the pose of each frame by itself.

    Args:
        skeleton: name of the keypoints' skeleton, a tree.
        width, heads, depth: of the hop-wise blocks.
        hidden: of their feed-forward networks; None is twice the width.
        hops: K; 0 leaves a joint with itself alone.
        refine_every: blocks after which limbs are refined; 0 never does.

    Attributes:
        answers: "all" frames; each by itself, so that `frames` is 1.
    """

    def __init__(
        self,
        *,
        skeleton: str = "h36m17",
        width: int = 128,
        heads: int = 4,
        depth: int = 6,
        hidden: int | None = None,
        hops: int = 3,
        refine_every: int = 2,
    ) -> None:
        super().__init__()
        self.skeleton, self.frames = SKELETONS[skeleton], 1
        self.answers: Literal["all"] = "all"
        self.refine_every = refine_every
        rings = hop_rings(self.skeleton, hops)
        self.embed = nn.Linear(2, width)
        self.places = nn.Parameter(torch.zeros(1, len(self.skeleton), width).normal_(0, 0.02))
        self.blocks = nn.ModuleList(HopBlock(width, heads, hidden or 2 * width, rings) for _ in range(depth))
        times = depth // refine_every if refine_every else 0
        self.refinements = nn.ModuleList(LimbRefinement(width, heads, limbs(self.skeleton)) for _ in range(times))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3))

    def forward(self, keypoints: Tensor) -> Tensor:
        """(B, T, J, 2) in screen-normalised coordinates to (B, T, J, 3) metres in the camera's frame from the root."""
        x = self.embed(keypoints.flatten(0, 1)) + self.places  # (B T) J D
        for number, block in enumerate(self.blocks, 1):
            x = block(x)
            if self.refine_every and number % self.refine_every == 0:
                x = self.refinements[number // self.refine_every - 1](x)
        return self.head(x).reshape(*keypoints.shape[:3], 3)

    def loss(self, batch: Clips) -> dict[str, Tensor]:
        """The distance of joints."""
        return {"joints": distance(self(batch.keypoints), batch.joints)}


def hop_rings(skeleton: Skeleton, most: int) -> Tensor:
    """(most + 1, J, J), 1 where two joints are exactly 0, 1, ... bones apart."""
    return hops(bones_both_ways(skeleton.bones, len(skeleton)), most)
