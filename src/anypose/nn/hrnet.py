"""HRNet (Sun et al., Deep High-Resolution Representation Learning for Human Pose Estimation, CVPR 2019).

Names are those of the published code, so that its ImageNet and pose weights load by `rename`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from anypose.nn.checkpoints import renamed
from anypose.nn.resnet import BasicBlock, bottlenecks, conv_norm, start


def path(source: int, to: int, channels: Sequence[int]) -> nn.Module:
    """From the branch `source` to the resolution and width of the branch `to`."""
    if source == to:
        return nn.Identity()
    if source > to:
        up = nn.Upsample(scale_factor=2 ** (source - to), mode="nearest")
        return nn.Sequential(*conv_norm(channels[source], channels[to]), up)
    same = channels[source]
    halvings = [conv_norm(same, same, 3, 2, relu=True) for _ in range(to - source - 1)]
    return nn.Sequential(*halvings, conv_norm(same, channels[to], 3, 2))


class Module(nn.Module):
    """Basic blocks on each branch, then every branch into every branch (the sum, ReLU).

    Args:
        channels: width of each branch, from the finest.
        blocks: basic blocks of each branch.
        finest_only: only the finest branch comes out.
    """

    def __init__(self, channels: Sequence[int], blocks: int, finest_only: bool = False) -> None:
        super().__init__()
        count = len(channels)
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(w) for _ in range(blocks))) for w in channels)
        self.fuse_layers = nn.ModuleList(  # [to][from]
            nn.ModuleList(path(source, to, channels) for source in range(count))
            for to in range(1 if finest_only else count)
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        maps = [branch(x) for branch, x in zip(self.branches, maps)]
        fused = []
        for row in self.fuse_layers:
            assert isinstance(row, nn.ModuleList)
            total = row[0](maps[0])
            for layer, x in zip(row[1:], maps[1:]):
                total = total + layer(x)
            fused.append(F.relu(total))
        return fused


def modules(channels: Sequence[int], count: int, blocks: int, finest_only: bool = False) -> nn.Sequential:
    """A stage: `count` modules, of which only the last may leave coarse branches out."""
    return nn.Sequential(*(Module(channels, blocks, finest_only and i == count - 1) for i in range(count)))


class HRNet(nn.Module):
    """Picture to maps of strides 4, 8, 16, 32, each of which has seen the others throughout.

    Args:
        width: channels of the finest map, 48 or 32 in the paper; each coarser one has twice as many.
        modules_per_stage: modules of the stages with two, three and four branches.
        blocks: basic blocks of a branch in each module, and bottlenecks before the first stage.
        stem: channels before the branches.
        multi_scale: all four maps come out. Otherwise the finest alone, as in the authors' pose networks, whose last
            module has no layers for the others.
        inputs: channels of the picture.

    forward: (B, inputs, H, W), H and W multiples of 32, to [(B, width, H/4, W/4), ..., (B, 8 width, H/32, W/32)].
    """

    def __init__(
        self,
        *,
        width: int = 48,
        modules_per_stage: Sequence[int] = (1, 4, 3),
        blocks: int = 4,
        stem: int = 64,
        multi_scale: bool = True,
        inputs: int = 3,
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(4)]
        self.channels = tuple(widths if multi_scale else widths[:1])
        self.conv1 = nn.Conv2d(inputs, stem, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.conv2 = nn.Conv2d(stem, stem, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(stem)
        self.layer1 = bottlenecks(stem, stem, blocks)
        self.transition1 = nn.ModuleList(
            (conv_norm(4 * stem, widths[0], 3, relu=True), self._coarser(4 * stem, widths[1]))
        )
        self.stage2 = modules(widths[:2], modules_per_stage[0], blocks)
        self.transition2 = self._one_more_branch(widths[:3])
        self.stage3 = modules(widths[:3], modules_per_stage[1], blocks)
        self.transition3 = self._one_more_branch(widths)
        self.stage4 = modules(widths, modules_per_stage[2], blocks, finest_only=not multi_scale)
        start(self)

    @staticmethod
    def _coarser(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(conv_norm(inputs, outputs, 3, 2, relu=True))

    def _one_more_branch(self, widths: Sequence[int]) -> nn.ModuleList:
        kept = (nn.Identity() for _ in widths[:-1])
        return nn.ModuleList((*kept, self._coarser(widths[-2], widths[-1])))

    def forward(self, images: Tensor) -> list[Tensor]:
        x = F.relu(self.bn1(self.conv1(images)))  # B stem H/2 W/2
        x = F.relu(self.bn2(self.conv2(x)))  # B stem H/4 W/4
        x = self.layer1(x)
        maps = self.stage2([enter(x) for enter in self.transition1])
        maps = self.stage3([*maps, self.transition2[-1](maps[-1])])
        return self.stage4([*maps, self.transition3[-1](maps[-1])])


_NAMES = (
    # What stands behind the trunk in the networks for ImageNet and for poses.
    (r"(incre_modules|downsamp_modules|final_layer|classifier)\..*$", ""),
    (r"((conv|bn)[12]\.)", r"\1"),
    (r"((layer1|transition\d|stage\d)\.)", r"\1"),
)


def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of the authors' HRNet, trained on ImageNet or on poses, under our names; heads are left out.

    Pose networks fill `HRNet(multi_scale=False)`.

    Raises:
        ValueError: an entry is of another network.
    """
    return renamed(state, _NAMES, "HRNet")
