"""CSPDarknet, its feature pyramid and heads, with depthwise convolutions (Ge et al., YOLOX, 2021).

Batch normalisation is folded into the convolutions, which therefore carry biases.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDES = (8, 16, 32)


class Conv(nn.Sequential):
    """Convolution and SiLU."""

    def __init__(self, inputs: int, outputs: int, size: int = 1, stride: int = 1, groups: int = 1) -> None:
        conv = nn.Conv2d(inputs, outputs, size, stride, (size - 1) // 2, groups=groups)
        super().__init__(conv, nn.SiLU())


class SeparableConv(nn.Sequential):
    """3x3 depthwise convolution, SiLU, 1x1 convolution, SiLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(Conv(inputs, inputs, 3, stride, groups=inputs), Conv(inputs, outputs))


class Bottleneck(nn.Module):
    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.shortcut = shortcut
        self.layers = nn.Sequential(Conv(channels, channels), SeparableConv(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        return y + x if self.shortcut else y


class CSPLayer(nn.Module):
    """Cross-stage partial layer: half of the width passes the bottlenecks."""

    def __init__(self, inputs: int, outputs: int, blocks: int = 1, shortcut: bool = True) -> None:
        super().__init__()
        half = outputs // 2
        self.main = Conv(inputs, half)
        self.side = Conv(inputs, half)
        self.blocks = nn.Sequential(*(Bottleneck(half, shortcut) for _ in range(blocks)))
        self.merge = Conv(2 * half, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.merge(torch.cat((self.blocks(self.main(x)), self.side(x)), 1))


class SpatialPyramidPooling(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = Conv(channels, channels // 2)
        self.merge = Conv(channels * 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        pooled = [F.max_pool2d(x, size, 1, size // 2) for size in (5, 9, 13)]
        return self.merge(torch.cat((x, *pooled), 1))


class CSPDarknet(nn.Module):
    """Picture to maps of strides 8, 16, 32.

    Args:
        width: channels after the first layer; 16 is YOLOX-Nano.

    forward: (B, 3, H, W), BGR from 0 to 255, H and W multiples of 32, to
        (B, 4 width, H/8, W/8), (B, 8 width, H/16, W/16), (B, 16 width, H/32, W/32).
    """

    def __init__(self, *, width: int = 16) -> None:
        super().__init__()
        w = width
        self.stem = Conv(12, w, 3)
        self.stage2 = nn.Sequential(SeparableConv(w, 2 * w, 2), CSPLayer(2 * w, 2 * w))
        self.stage3 = nn.Sequential(SeparableConv(2 * w, 4 * w, 2), CSPLayer(4 * w, 4 * w, 3))
        self.stage4 = nn.Sequential(SeparableConv(4 * w, 8 * w, 2), CSPLayer(8 * w, 8 * w, 3))
        self.stage5 = nn.Sequential(
            SeparableConv(8 * w, 16 * w, 2),
            SpatialPyramidPooling(16 * w),
            CSPLayer(16 * w, 16 * w, shortcut=False),
        )

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        even, odd = pictures[..., ::2, :], pictures[..., 1::2, :]
        x = torch.cat((even[..., ::2], odd[..., ::2], even[..., 1::2], odd[..., 1::2]), 1)  # B 12 H/2 W/2
        fine = self.stage3(self.stage2(self.stem(x)))
        middle = self.stage4(fine)
        return fine, middle, self.stage5(middle)


class PathAggregation(nn.Module):
    """Feature pyramid, top down and bottom up again; widths stay as they come from CSPDarknet."""

    def __init__(self, *, width: int = 16) -> None:
        super().__init__()
        w = width
        self.lateral_coarse = Conv(16 * w, 8 * w)
        self.down_middle = CSPLayer(16 * w, 8 * w, shortcut=False)
        self.lateral_middle = Conv(8 * w, 4 * w)
        self.down_fine = CSPLayer(8 * w, 4 * w, shortcut=False)
        self.stride_fine = SeparableConv(4 * w, 4 * w, 2)
        self.up_middle = CSPLayer(8 * w, 8 * w, shortcut=False)
        self.stride_middle = SeparableConv(8 * w, 8 * w, 2)
        self.up_coarse = CSPLayer(16 * w, 16 * w, shortcut=False)

    def forward(self, maps: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        fine, middle, coarse = maps
        top = self.lateral_coarse(coarse)
        middle = self.down_middle(torch.cat((F.interpolate(top, scale_factor=2.0), middle), 1))
        lateral = self.lateral_middle(middle)
        fine = self.down_fine(torch.cat((F.interpolate(lateral, scale_factor=2.0), fine), 1))
        middle = self.up_middle(torch.cat((self.stride_fine(fine), lateral), 1))
        coarse = self.up_coarse(torch.cat((self.stride_middle(middle), top), 1))
        return fine, middle, coarse


class DetectionHead(nn.Module):
    """One level's decoupled head.

    forward: (B, inputs, h, w) to what the level's cells say:
        class logits (B, classes, h, w), box (B, 4, h, w) as offsets of the centre in cells and logarithms of
        the size in cells, objectness logit (B, 1, h, w), and the features (B, width, h, w) that classes
        and boxes were read from.
    """

    def __init__(self, inputs: int, *, width: int = 64, classes: int = 80) -> None:
        super().__init__()
        self.enter = Conv(inputs, width)
        self.class_layers = nn.Sequential(SeparableConv(width, width), SeparableConv(width, width))
        self.classes = nn.Conv2d(width, classes, 1)
        self.box_layers = nn.Sequential(SeparableConv(width, width), SeparableConv(width, width))
        self.box = nn.Conv2d(width, 4, 1)
        self.objectness = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        x = self.enter(x)
        what, where = self.class_layers(x), self.box_layers(x)
        return self.classes(what), self.box(where), self.objectness(where), what, where
