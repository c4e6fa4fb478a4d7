"""GLA-GCN: a graph convolution network that learns its skeleton, over ever fewer frames, to the middle pose of a clip.

B. Yu et al., GLA-GCN: Global-Local Adaptive Graph Convolutional Network for 3D Human Pose Estimation from Monocular
Video, ICCV 2023 (arXiv 2307.05853). Its unit is that of L. Shi et al., 2s-AGCN, CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from anypose.nn.checkpoints import read, renamed
from anypose.ops.graphs import column_normalised
from anypose.ops.poses import Clips, distance
from anypose.skeleton import SKELETONS

__all__ = ["GLAGCN", "VARIANTS", "published", "rename"]

VARIANTS: dict[str, dict[str, Any]] = {
    "h36m": {},
    "h36m-81": {"widths": (3, 3, 3, 3)},
    "h36m-27": {"widths": (3, 3, 3)},
    "humaneva": {"widths": (3, 3, 3), "skeleton": "humaneva15"},
    "3dhp": {"widths": (3, 3, 3, 3), "skeleton": "mpi_inf_3dhp17", "channels": 256},
    "tiny": {"widths": (3, 3), "channels": 16, "dropout": 0.0},
}
SUBSETS = 3  # of edges: a joint itself, towards the root, away from it
# The authors list HumanEva's bones from the head down, each from parent to child, unlike Human3.6M's, which run from
# child to parent: "inward" and "outward" change places, and published weights depend on it.
AS_LISTED = {
    "humaneva15": (
        *((14, 1), (1, 0), (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7)),
        *((0, 8), (8, 9), (9, 10), (0, 11), (11, 12), (12, 13)),
    )
}
NAMES = (
    (r"data_bn\.", "input_norm."),
    (r"expand_gcn\.", "expand."),
    (r"layers_tcngcn\.", "units."),
    (r"fc\.", "head."),
)


def edges(skeleton: str) -> Tensor:
    """Where the three subsets have edges, (3, J, J), each column of the last two summing to 1."""
    body = SKELETONS[skeleton]
    inward = torch.zeros(len(body), len(body))
    for child, parent in AS_LISTED.get(skeleton, [(child, parent) for parent, child in body.bones]):
        inward[parent, child] = 1
    return torch.stack((torch.eye(len(body)), column_normalised(inward), column_normalised(inward.T)))


def pointwise(convolutions: Iterable[nn.Module], side: int) -> Tensor:
    """Weights of convolutions of one place, (outputs, inputs), put together as outputs (0) or inputs (1)."""
    return torch.cat([convolution.get_parameter("weight")[..., 0, 0] for convolution in convolutions], side)


def biases(convolutions: Iterable[nn.Module]) -> Tensor:
    """(N, outputs)."""
    return torch.stack([convolution.get_parameter("bias") for convolution in convolutions])


def as_pictures(layers: nn.Module, x: Tensor) -> Tensor:
    """Two-dimensional layers over (B, T, J, C), which is a picture in PyTorch's "channels last"."""
    return layers(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class AdaptiveGraph(nn.Module):
    """A convolution over the joints of (B, T, J, C) on three graphs: given edges, learned ones, and alike joints'.

    The authors' features are (B, C, T, J). Here the channels of a joint lie side by side: joints are gathered, and
    their channels mixed, by matrix products that need nothing laid out anew in between.
    """

    edges: Tensor

    def __init__(self, inputs: int, outputs: int, given: Tensor, dropout: float) -> None:
        super().__init__()
        self.inner = outputs // 4
        self.PA = nn.Parameter(torch.full_like(given, 1e-6))
        self.register_buffer("edges", given, persistent=False)
        self.conv_a = nn.ModuleList(nn.Conv2d(inputs, self.inner, 1) for _ in range(SUBSETS))
        self.conv_b = nn.ModuleList(nn.Conv2d(inputs, self.inner, 1) for _ in range(SUBSETS))
        self.conv_d = nn.ModuleList(nn.Conv2d(inputs, outputs, 1) for _ in range(SUBSETS))
        same = inputs == outputs
        self.down = nn.Identity() if same else nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs))
        self.bn = nn.BatchNorm2d(outputs)
        nn.init.constant_(self.bn.weight, 1e-6)
        self.dropout = nn.Dropout(dropout)

    def alike(self, x: Tensor) -> Tensor:
        """How much the joints of each clip are alike by each subset's measure, (B, 3, J, J), columns summing to 1."""
        batch, frames, joints, _ = x.shape
        convolutions = (*self.conv_a, *self.conv_b)
        both = nn.functional.linear(x, pointwise(convolutions, 0), biases(convolutions).flatten())
        both = both.reshape(batch, frames, joints, 2, SUBSETS, self.inner).permute(3, 0, 4, 2, 1, 5)
        one, other = both.reshape(2, batch, SUBSETS, joints, frames * self.inner)
        return (one @ other.transpose(2, 3) / (self.inner * frames)).softmax(-2)

    def forward(self, x: Tensor) -> Tensor:
        graphs = self.alike(x) + self.edges + self.PA  # B 3 J J
        each = graphs.permute(0, 3, 1, 2).flatten(1, 2)  # B (J 3) J, what each joint gathers from all
        gathered = (each[:, None] @ x).reshape(*x.shape[:3], -1)  # B T J (3 C)
        y = nn.functional.linear(gathered, pointwise(self.conv_d, 1), biases(self.conv_d).sum(0))
        y = self.dropout(as_pictures(self.bn, y))
        return (y + self.bypass(x)).relu()

    def bypass(self, x: Tensor) -> Tensor:
        if isinstance(self.down, nn.Identity):
            return x
        convolution, norm = self.down
        return as_pictures(norm, nn.functional.linear(x, pointwise([convolution], 0), biases([convolution])[0]))


class TemporalConvolution(nn.Module):
    """Nine frames of (B, T, J, C) to one, every `stride` frames."""

    def __init__(self, inputs: int, outputs: int, length: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, (length, 1), padding=((length - 1) // 2, 0), stride=(stride, 1))
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return as_pictures(self.bn, as_pictures(self.conv, x))


class Unit(nn.Module):
    """Over joints, then over frames of (B, T, J, C)."""

    def __init__(
        self, inputs: int, outputs: int, given: Tensor, *, stride: int = 1, residual: bool = True, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.gcn1 = AdaptiveGraph(inputs, outputs, given, dropout)
        self.tcn1 = TemporalConvolution(outputs, outputs, 9, stride)
        self.keeps = residual and inputs == outputs and stride == 1
        self.residual = (
            TemporalConvolution(inputs, outputs, 1, stride) if residual and not self.keeps else nn.Identity()
        )
        self.adds = residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.tcn1(self.gcn1(x))
        return (y + self.residual(x) if self.adds else y).relu()


class GLAGCN(nn.Module):
    """Keypoints of a clip to the pose of its middle frame.

    Args:
        widths: of the filters that shorten the clip; their product is its number of frames.
        skeleton: name of the keypoints' skeleton, whose bones are edges to start from.
        channels: of the features.
        dropout: between units and inside them.

    Attributes:
        answers: "centre": one pose a clip.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (3, 3, 3, 3, 3),
        skeleton: str = "h36m17",
        channels: int = 96,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.skeleton = SKELETONS[skeleton]
        self.frames, self.widths = prod(widths), tuple(widths)
        self.answers: Literal["centre"] = "centre"
        given = edges(skeleton)
        self.input_norm = nn.BatchNorm1d(2 * len(self.skeleton))
        self.expand = Unit(2, channels, given, dropout=dropout)
        self.units = nn.ModuleList()
        for width in widths:
            self.units.append(Unit(channels, channels, given, dropout=dropout))
            self.units.append(Unit(channels, channels, given, stride=width, residual=False, dropout=dropout))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv1d(channels, 3, 1)

    def forward(self, keypoints: Tensor) -> Tensor:
        """(B, T, J, 2) in screen-normalised coordinates to the middle pose, (B, 1, J, 3).

        Metres in the camera's frame, relative to the root.
        """
        x = self.input_norm(keypoints.flatten(2).transpose(1, 2))  # B 2J T
        x = x.reshape(x.shape[0], -1, 2, x.shape[2]).permute(0, 3, 1, 2).contiguous()  # B T J 2
        x = self.expand(x)
        for i, width in enumerate(self.widths):
            kept = x[:, width // 2 :: width]
            x = self.dropout(self.units[2 * i](x))
            x = kept + self.dropout(self.units[2 * i + 1](x))
        return (x.mean(1) @ self.head.weight[..., 0].T + self.head.bias)[:, None]

    def loss(self, batch: Clips) -> dict[str, Tensor]:
        """The distance of the middle pose."""
        middle = batch.joints.shape[1] // 2
        return {"joints": distance(self(batch.keypoints), batch.joints[:, middle : middle + 1])}


def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' entries under our names; ValueError where one is none of GLA-GCN's."""
    return renamed(state, NAMES, "GLA-GCN")


def published(path: Path, variant: str | None = None) -> tuple[str, dict[str, Tensor]]:
    """The variant ("h36m" if None) and our entries of the authors' checkpoint; ValueError where it is none."""
    return variant or "h36m", rename(read(path, ("model_pos",), "GLA-GCN"))
