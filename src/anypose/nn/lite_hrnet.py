"""Lite-HRNet in its "wider naive" form (Yu et al., Lite-HRNet, CVPR 2021), as PP-TinyPose deploys it.

Batch normalisation is folded into the convolutions, which therefore carry biases.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv1x1(inputs: int, outputs: int, relu: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 1)]
    return nn.Sequential(*layers, nn.ReLU()) if relu else nn.Sequential(*layers)


def separable(inputs: int, outputs: int, stride: int = 1, relu: bool = False) -> nn.Sequential:
    """A 3x3 depthwise convolution and a 1x1 convolution, without anything between them."""
    depthwise = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs)
    return nn.Sequential(depthwise, *conv1x1(inputs, outputs, relu))


def shuffle(left: Tensor, right: Tensor) -> Tensor:
    """Concatenates (B, D/2, H, W) twice and shuffles channels by 2: (B, D, H, W), in one copy."""
    return torch.stack((left, right), 2).flatten(1, 2)


class ShuffleUnit(nn.Module):
    """Half of the channels pass, the other half is convolved."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(*conv1x1(half, half, relu=True), *separable(half, half, relu=True))

    def forward(self, x: Tensor) -> Tensor:
        kept, changed = x.chunk(2, 1)
        return shuffle(kept, self.branch(changed))


class StridedShuffleUnit(nn.Module):
    """Halves the resolution: both halves of the channels are convolved."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.shortcut = separable(half, half, stride=2, relu=True)
        self.branch = nn.Sequential(
            *conv1x1(half, channels, relu=True), *separable(channels, half, stride=2, relu=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, 1)
        return shuffle(self.shortcut(left), self.branch(right))


class Fusion(nn.Module):
    """Every branch into every branch (a convolution between different ones, the sum, ReLU)."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.paths = nn.ModuleList()  # paths[to][from]
        for to, width in enumerate(channels):
            row = nn.ModuleList()
            for source, from_width in enumerate(channels):
                if source > to:
                    up = nn.Upsample(scale_factor=2 ** (source - to), mode="nearest")
                    row.append(nn.Sequential(*conv1x1(from_width, width), up))
                elif source == to:
                    row.append(nn.Identity())
                else:
                    steps = [separable(from_width, from_width, 2, relu=True) for _ in range(to - source - 1)]
                    row.append(nn.Sequential(*steps, separable(from_width, width, 2)))
            self.paths.append(row)

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        # The published code counts the first branch twice, and writes its sum over the first branch
        # before the other outputs are formed from it; the published weights were trained with both.
        first = branches[0]
        fused = []
        for to, row in enumerate(self.paths):
            assert isinstance(row, nn.ModuleList)
            start = row[0](first)
            total = start + start
            for source in range(1, len(branches)):
                total = total + row[source](branches[source])
            first = total if to == 0 else first
            fused.append(F.relu(total))
        return fused


class LiteHRNet(nn.Module):
    """Picture to one map of the finest resolution.

    Args:
        channels: width of each branch, from the finest; the branches have strides 4, 8, 16, 32.
        modules: number of modules (two shuffle units a branch and a fusion) of the stages, the first of
            which has two branches and each further one has one more.
        stem: width of the stem.
        inputs: channels of the picture.

    forward: (B, inputs, H, W), H and W multiples of 32, to
        (B, stem, H/2, W/2), the map after the first convolution, and (B, channels[0], H/4, W/4).

    Attributes:
        widths: channels of the maps that `levels` gives, from the finest.
    """

    def __init__(
        self,
        *,
        channels: Sequence[int] = (40, 80, 160, 320),
        modules: Sequence[int] = (2, 4, 2),
        stem: int = 32,
        inputs: int = 3,
    ) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inputs, stem, 3, 2, 1), nn.ReLU())
        self.stem = StridedShuffleUnit(stem)
        self.enter = separable(stem, channels[0], relu=True)
        self.descend = nn.ModuleList()  # a new, coarser branch for each stage
        self.units = nn.ModuleList()  # units[module][branch]
        self.fusions = nn.ModuleList()
        self.modules_per_stage = tuple(modules)
        for stage, count in enumerate(modules):
            source = stem if stage == 0 else channels[stage]
            self.descend.append(separable(source, channels[stage + 1], 2, relu=True))
            widths = channels[: stage + 2]
            for _ in range(count):
                self.units.append(nn.ModuleList(nn.Sequential(ShuffleUnit(w), ShuffleUnit(w)) for w in widths))
                self.fusions.append(Fusion(widths))
        # From the coarsest branch up: the last keeps its width.
        outputs = (channels[0], *channels)[: len(channels)]
        self.widths = outputs
        self.ascend = nn.ModuleList(separable(w, o, relu=True) for w, o in zip(channels, outputs))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        half, levels = self.levels(pictures)
        return half, levels[0]

    def levels(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The map after the first convolution, and one of each stride from 4 to 32, all of which know the coarser."""
        half = self.first(pictures)  # B stem H/2 W/2
        quarter = self.stem(half)  # B stem H/4 W/4
        branches = [self.enter(quarter)]
        module = 0
        for stage, count in enumerate(self.modules_per_stage):
            branches.append(self.descend[stage](quarter if stage == 0 else branches[-1]))
            for _ in range(count):
                units = self.units[module]
                assert isinstance(units, nn.ModuleList)
                branches = self.fusions[module]([unit(x) for unit, x in zip(units, branches)])
                module += 1
        levels = [self.ascend[-1](branches[-1])]
        for level in range(len(branches) - 2, -1, -1):
            x = F.interpolate(levels[0], scale_factor=2.0, mode="bilinear", align_corners=True)
            levels.insert(0, self.ascend[level](branches[level] + x))
        return half, levels
