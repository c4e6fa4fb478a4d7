"""ResNet (He et al., Deep Residual Learning for Image Recognition, CVPR 2016), and the blocks that others build on.

Names and strides are those of torchvision's ("v1.5": a bottleneck halves the resolution in its 3x3 convolution), so
that its ImageNet weights load by `rename`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from anypose.nn.checkpoints import renamed


def conv_norm(inputs: int, outputs: int, size: int = 1, stride: int = 1, relu: bool = False) -> nn.Sequential:
    """Convolution without bias, batch normalisation and, where asked for, ReLU."""
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    layers: list[nn.Module] = [conv, nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, nn.ReLU()) if relu else nn.Sequential(*layers)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: (B, D, H, W) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + x)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut: (B, inputs, H, W) to (B, 4 width, H/stride, W/stride)."""

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = conv_norm(inputs, outputs, 1, stride) if stride > 1 or inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn3(self.conv3(y)) + shortcut)


def bottlenecks(inputs: int, width: int, count: int, stride: int = 1) -> nn.Sequential:
    """`count` bottlenecks, of which the first takes the stride."""
    return nn.Sequential(Bottleneck(inputs, width, stride), *(Bottleneck(4 * width, width) for _ in range(count - 1)))


def start(network: nn.Module) -> None:
    """Starts convolutions as He et al. do: normal, the variance 2 over the weights that one input feeds."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class ResNet(nn.Module):
    """Picture to maps of strides 4, 8, 16, 32.

    Args:
        blocks: bottlenecks of each of the four layers; (3, 4, 6, 3) is ResNet-50, (3, 4, 23, 3) ResNet-101.
        width: channels of the stem; the maps have 4, 8, 16 and 32 times as many.
        inputs: channels of the picture.

    forward: (B, inputs, H, W) to [(B, 4 width, H/4, W/4), ..., (B, 32 width, H/32, W/32)], rounded up.
    """

    def __init__(self, *, blocks: Sequence[int] = (3, 4, 6, 3), width: int = 64, inputs: int = 3) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(4)]
        self.channels = tuple(4 * w for w in widths)
        self.conv1 = nn.Conv2d(inputs, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = bottlenecks(width, widths[0], blocks[0])
        self.layer2 = bottlenecks(self.channels[0], widths[1], blocks[1], 2)
        self.layer3 = bottlenecks(self.channels[1], widths[2], blocks[2], 2)
        self.layer4 = bottlenecks(self.channels[2], widths[3], blocks[3], 2)
        start(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        x = F.relu(self.bn1(self.conv1(images)))  # B width H/2 W/2
        x = F.max_pool2d(x, 3, 2, 1)
        maps = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            maps.append(x)
        return maps


_NAMES = (
    (r"fc\..*$", ""),
    (r"((conv1|bn1)\.)", r"\1"),
    (r"(layer\d\.)", r"\1"),
)


def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of torchvision's ResNet under our names, the classifier left out; ValueError for any other."""
    return renamed(state, _NAMES, "ResNet")
