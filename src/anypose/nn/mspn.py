"""MSPN (Li et al., Rethinking on Multi-Stage Networks for Human Pose Estimation, 2019) with ResNet-50's units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from anypose.nn.checkpoints import renamed
from anypose.nn.resnet import bottlenecks, conv_norm, start


class Rise(nn.Module):
    """One level of the way up: what comes from below is doubled in size and joins what was seen on the way down.

    Args:
        inputs: channels on the way down.
        outputs: channels on the way up.
        coarsest: nothing comes from below.
        feeds: a further stage takes what was seen here, on the way down and on the way up.
    """

    def __init__(self, inputs: int, outputs: int, coarsest: bool, feeds: bool) -> None:
        super().__init__()
        self.enter = conv_norm(inputs, outputs)
        self.below = None if coarsest else conv_norm(outputs, outputs)
        self.down_to_next = conv_norm(inputs, inputs, relu=True) if feeds else None
        self.up_to_next = conv_norm(outputs, inputs, relu=True) if feeds else None

    def forward(self, seen: Tensor, below: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(B, inputs, h, w) and (B, outputs, h/2, w/2) to (B, outputs, h, w) and what the next stage adds, or None."""
        x = self.enter(seen)
        if self.below is not None and below is not None:
            x = x + self.below(F.interpolate(below, size=seen.shape[-2:], mode="bilinear", align_corners=True))
        x = F.relu(x)
        if self.down_to_next is None or self.up_to_next is None:
            return x, None
        return x, self.down_to_next(seen) + self.up_to_next(x)


class Stage(nn.Module):
    """Down through ResNet's layers and up again.

    forward: (B, width, H/4, W/4) and, of the stage before, what to add at each level, to
        the maps on the way up (B, level_width, h, w) from fine to coarse, and what the next stage adds.
    """

    def __init__(self, blocks: Sequence[int], width: int, level_width: int, feeds: bool) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(4)]
        inputs = [width, *(4 * w for w in widths)]
        self.down = nn.ModuleList(
            bottlenecks(inputs[level], widths[level], blocks[level], 2 if level else 1) for level in range(4)
        )
        self.up = nn.ModuleList(Rise(4 * widths[level], level_width, level == 3, feeds) for level in range(4))

    def forward(self, x: Tensor, added: Sequence[Tensor | None]) -> tuple[list[Tensor], list[Tensor | None]]:
        seen = []
        for layer, more in zip(self.down, added):
            x = layer(x) if more is None else layer(x) + more
            seen.append(x)
        below: Tensor | None = None
        maps: list[Tensor] = []
        handed_on: list[Tensor | None] = []
        for rise, x in zip(reversed(self.up), reversed(seen)):
            below, more = rise(x, below)
            maps.insert(0, below)
            handed_on.insert(0, more)
        return maps, handed_on


class MSPN(nn.Module):
    """Picture to maps of strides 4, 8, 16, 32, those of the last stage.

    Args:
        stages: how many; the paper has 1 to 4.
        blocks: bottlenecks of the four levels of each stage; (3, 4, 6, 3) are ResNet-50's.
        width: channels of the stem.
        level_width: channels of each map on the way up.
        inputs: channels of the picture.

    forward: (B, inputs, H, W) to [(B, level_width, H/4, W/4), ..., (B, level_width, H/32, W/32)], rounded up.
    """

    def __init__(
        self,
        *,
        stages: int = 1,
        blocks: Sequence[int] = (3, 4, 6, 3),
        width: int = 64,
        level_width: int = 256,
        inputs: int = 3,
    ) -> None:
        super().__init__()
        self.channels = (level_width,) * 4
        self.conv1 = nn.Conv2d(inputs, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.stages = nn.ModuleList(Stage(blocks, width, level_width, i < stages - 1) for i in range(stages))
        self.between = nn.ModuleList(conv_norm(level_width, width, relu=True) for _ in range(stages - 1))
        start(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        x = F.relu(self.bn1(self.conv1(images)))  # B width H/2 W/2
        x = F.max_pool2d(x, 3, 2, 1)
        maps, added = self.stages[0](x, [None] * 4)
        for between, stage in zip(self.between, self.stages[1:]):
            maps, added = stage(between(maps[0]), added)
        return maps


# The names of MMPose's MSPN, whose weights are published. It counts levels on the way up from the coarsest, and puts
# the step between two stages into the finest level of the first.
_RISES = {"in_skip": "enter", "up_conv": "below", "out_skip1": "down_to_next", "out_skip2": "up_to_next"}


def _names() -> list[tuple[str, str]]:
    """(pattern, ours) for every entry; heads are left out."""
    stage = r"(?:backbone\.)?multi_stage_mspn\.(\d+)\."
    names = [
        (r"(keypoint_)?head\..*$", ""),
        (r"(?:backbone\.)?top\.top\.0\.conv\.", "conv1."),
        (r"(?:backbone\.)?top\.top\.0\.bn\.", "bn1."),
        (stage + r"upsample\.up4\.cross_conv\.conv\.", r"between.\1.0."),
        (stage + r"upsample\.up4\.cross_conv\.bn\.", r"between.\1.1."),
    ]
    for level in range(4):
        down, ours = stage + rf"downsample\.layer{level + 1}\.(\d+)\.", rf"stages.\1.down.{level}.\2."
        names += [(down + rf"downsample\.{part}\.", ours + f"downsample.{i}.") for i, part in enumerate(("conv", "bn"))]
        names.append((down, ours))
        for theirs, name in _RISES.items():
            up, ours = stage + rf"upsample\.up{4 - level}\.{theirs}\.", rf"stages.\1.up.{level}.{name}."
            names += [(up + rf"{part}\.", ours + f"{i}.") for i, part in enumerate(("conv", "bn"))]
    return names


def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of MMPose's MSPN under our names, the heads left out; ValueError for any other."""
    return renamed(state, _names(), "MSPN")
