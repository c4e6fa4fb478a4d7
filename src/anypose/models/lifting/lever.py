"""Lever: keypoints of any number of frames to bodies in space, small enough to come along.

The default lifter, made here. Convolutions over time as in VideoPose3D (Pavllo et al., CVPR 2019), over keypoints that
are measured in body sizes from the root; with one frame it is the residual network of Martinez et al. (ICCV 2017).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from anypose.ops.poses import Clips, distance, velocity_distance
from anypose.skeleton import SKELETONS

__all__ = ["VARIANTS", "Lever"]

VARIANTS: dict[str, dict[str, Any]] = {
    "clip": {},
    "single": {"frames": 1, "width": 192},
    "tiny": {"frames": 9, "width": 24, "dropout": 0.0},
}


class Lever(nn.Module):
    """Keypoints of a clip to its poses.

    Args:
        frames: that one answer looks at, half of them before and half after, a power of 3.
        skeleton: name of the keypoints' skeleton, a tree.
        width: of the layers.
        dropout: while learning.

    Attributes:
        answers: "all" frames of a clip.
        any_length: clips may have any number of frames.
    """

    any_length = True

    def __init__(self, *, frames: int = 27, skeleton: str = "h36m17", width: int = 160, dropout: float = 0.05) -> None:
        super().__init__()
        powers = [3**i for i in range(8)]
        if frames not in powers:
            raise ValueError(f"frames of Lever are a power of 3, not {frames}")
        self.frames, self.skeleton = frames, SKELETONS[skeleton]
        self.answers: Literal["all"] = "all"
        joints = len(self.skeleton)
        kernel = 1 if frames == 1 else 3
        self.read = Step(2 * joints + 3, width, kernel)
        later = (3,) * (powers.index(frames) - 1) if frames > 1 else ()
        kernels = later + (1,) * (2 - len(later))
        self.blocks = nn.ModuleList(Block(width, kernel, dropout) for kernel in kernels)
        self.dilations = [3 ** (i + 1) for i in range(len(kernels))]
        self.write = nn.Conv1d(width, 3 * joints, 1)

    def forward(self, keypoints: Tensor) -> Tensor:
        """(B, T, J, 2) in screen units to (B, T, J, 3) metres along the camera's axes, from the root.

        T is any number from 1; the first and the last frame are repeated for what an answer looks at beyond them.
        """
        features = self.measured(keypoints).transpose(1, 2)  # B D T
        aside = self.frames // 2
        if aside:
            features = functional.pad(features, (aside, aside), mode="replicate")
        features = self.read(features)
        for block, dilation in zip(self.blocks, self.dilations):
            features = block(features, dilation)
        return self.bodies(features)

    def middle(self, keypoints: Tensor) -> Tensor:
        """(B, frames, J, 2) to (B, 1, J, 3) of the middle frame.

        What `forward` finds there, for a tenth of the work: each layer computes the places alone that the next one
        reads (Pavllo et al., section 5).
        """
        features = self.read(self.measured(keypoints).transpose(1, 2), stride=True)
        for block in self.blocks:
            features = block(features)
        return self.bodies(features)

    def bodies(self, features: Tensor) -> Tensor:
        """(B, D, T) to (B, T, J, 3), the root at 0."""
        joints = self.write(features).transpose(1, 2).unflatten(2, (-1, 3))  # B T J 3
        root = self.skeleton.root
        return joints - joints[:, :, root : root + 1]

    def measured(self, keypoints: Tensor) -> Tensor:
        """(B, T, 2 J + 3): the keypoints from the root in body sizes, where the root is, and the body's size.

        A body's size is the mean distance of its keypoints from the root in that frame.
        """
        root = self.skeleton.root
        centre = keypoints[:, :, root]  # B T 2
        body = keypoints - centre[:, :, None]
        size = body.norm(dim=-1).mean(-1, keepdim=True).clamp(min=1e-4)  # B T 1
        return torch.cat(((body / size[..., None]).flatten(2), centre, size.log()), -1)

    def loss(self, batch: Clips) -> dict[str, Tensor]:
        """The mean distance of the joints, and of their steps from frame to frame.

        Of every frame that has all the frames about it that an answer looks at; of all frames of shorter clips.
        """
        spare = batch.keypoints.shape[1] - self.frames
        if spare < 0:
            found, expected = self(batch.keypoints), batch.joints
        else:
            windows = [batch.keypoints[:, i : i + self.frames] for i in range(spare + 1)]
            middle = self.frames // 2
            found = self.middle(torch.cat(windows)).view(spare + 1, -1, *batch.joints.shape[2:]).transpose(0, 1)
            expected = batch.joints[:, middle : middle + spare + 1]
        losses = {"joints": distance(found, expected)}
        if found.shape[1] > 1:
            losses["velocity"] = velocity_distance(found, expected)
        return losses


class Step(nn.Module):
    """A convolution over time, normalised and cut at zero. (B, D, T) to (B, D, T less what it needs at the ends)."""

    def __init__(self, inputs: int, width: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.convolution = nn.Conv1d(inputs, width, kernel, bias=False)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, features: Tensor, dilation: int = 1, stride: bool = False) -> Tensor:
        steps = self.kernel if stride else 1
        found = functional.conv1d(features, self.convolution.weight, stride=steps, dilation=dilation)
        return self.normalised(found).relu()

    def normalised(self, features: Tensor) -> Tensor:
        """Batch normalisation, written out where nothing is learned.

        Exporters fold a layer of it into the convolution, whose weights would then no longer be the float16 numbers
        that the package ships, and the file twice as large.
        """
        norm = self.norm
        if self.training or norm.running_mean is None or norm.running_var is None:
            return norm(features)
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        return (features - norm.running_mean[:, None]) * scale[:, None] + norm.bias[:, None]


class Block(nn.Module):
    """Two steps and a way around them, from the frame in their middle."""

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.kernel = kernel
        self.across, self.within = Step(width, width, kernel), Step(width, width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor, dilation: int | None = None) -> Tensor:
        """Over every frame with a `dilation`, or in strides of the kernel without."""
        half = self.kernel // 2
        if dilation is None:
            straight = features[:, :, half :: self.kernel]
            found = self.across(features, stride=True)
        else:
            edge = half * dilation
            straight = features[:, :, edge : features.shape[2] - edge]
            found = self.across(features, dilation)
        return straight + self.dropout(self.within(self.dropout(found)))
