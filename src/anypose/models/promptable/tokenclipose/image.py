"""What a crop shows, as tokens: a backbone's maps of several strides on one grid."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from anypose.nn.checkpoints import read
from anypose.nn.lite_hrnet import LiteHRNet
from anypose.nn.published import convolutions_as_pulled, load_convolutions

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of pictures from 0 to 1


class Lite(nn.Module):
    """Lite-HRNet's maps of strides 4 to 32; the default model trains on the same trunk."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.trunk = LiteHRNet(**options)
        self.channels = tuple(self.trunk.widths)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        return self.trunk.levels(pictures)[1]


BACKBONES = ("lite-hrnet", "resnet-50", "hrnet-w48", "mspn-50")


def backbone_of(name: str, options: dict[str, Any]) -> Any:
    """The backbone `name` with random weights: (B, 3, H, W) to maps of strides 4, 8, ..., whose `channels` it says.

    Raises ValueError when there is no such backbone.
    """
    if name == "lite-hrnet":
        return Lite(**options)
    if name == "resnet-50":
        from anypose.nn.resnet import ResNet

        return ResNet(**options)
    if name == "hrnet-w48":
        from anypose.nn.hrnet import HRNet

        return HRNet(**options)
    if name == "mspn-50":
        from anypose.nn.mspn import MSPN

        return MSPN(**options)
    raise ValueError(f"there is no backbone {name!r}: it is {', '.join(map(repr, BACKBONES))}")


def start_backbone(backbone: nn.Module, path: Path | str) -> None:
    """Takes published weights: PP-TinyPose's ONNX file for "lite-hrnet", for the others the authors' checkpoint, or a
    safetensors file with its names.

    Raises:
        ValueError: the file is no whole checkpoint, or one of another network.
        OSError: it cannot be read.
    """
    if isinstance(backbone, Lite):
        whole = nn.Sequential(backbone.trunk, _Second(), nn.Conv2d(backbone.channels[0], 17, 1))
        load_convolutions(convolutions_as_pulled(whole), path)
        return
    rename = importlib.import_module(type(backbone).__module__).rename
    named = type(backbone).__name__
    if Path(path).suffix == ".safetensors":
        try:
            held = load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is not a whole safetensors file ({error})") from error
    else:
        held = read(Path(path), ("state_dict", "model"), named)
    state = rename(held)
    try:
        backbone.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} does not fit this {named}: {reason}") from error


class _Second(nn.Module):
    """The second of two tensors: the trunk's finest map, which PP-TinyPose's heat maps are made from."""

    def forward(self, maps: tuple[Tensor, Tensor]) -> Tensor:
        return maps[1]


def normalised(crops: Tensor) -> Tensor:
    """(B, 3, H, W) RGB from 0 to 255 as backbones read it."""
    mean = torch.tensor(MEAN, device=crops.device).view(3, 1, 1) * 255
    return (crops - mean) / (torch.tensor(DEVIATION, device=crops.device).view(3, 1, 1) * 255)


class ImageTokens(nn.Module):
    """Maps of strides 4, 8, ... to image tokens.

    A 1x1 convolution for each level, all brought to one grid, the sum. Finer levels are averaged over a cell of the
    grid or, as `patches`, cut into such cells that are projected whole, which keeps where in a cell something is;
    coarser levels are interpolated, and so are those that the grid does not divide.

    Args:
        channels: of each level.
        width: of the tokens.
        grid: (height, width) of a cell in pixels of the crop.
        patches: see above.

    A LayerNorm of each token follows (inferred), since the backbones' numbers differ by orders of magnitude.

    forward: maps as `gathered` gives them to (B, H / grid height, W / grid width, width).
    """

    def __init__(self, channels: Sequence[int], width: int, grid: tuple[int, int], *, patches: bool) -> None:
        super().__init__()
        self.cells: list[tuple[int, int] | None] = []  # of each level, in its own cells; None where interpolated
        self.grid, self.patches = grid, patches
        self.laterals = nn.ModuleList()
        for level, count in enumerate(channels):
            stride = 4 * 2**level
            divided = grid[0] % stride == 0 and grid[1] % stride == 0
            cell = (grid[0] // stride, grid[1] // stride) if divided else None
            self.cells.append(cell)
            kernel = cell if patches and cell is not None else 1
            self.laterals.append(nn.Conv2d(count, width, kernel, kernel))
        self.norm = nn.LayerNorm(width)

    def gathered(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps without what the tokens would not see of them: averaged, unless there are patches."""
        if self.patches:
            return list(maps)
        return [m if cell in (None, (1, 1)) else F.avg_pool2d(m, cell) for m, cell in zip(maps, self.cells)]

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        goal = (size[0] // self.grid[0], size[1] // self.grid[1])
        projected = [lateral(level) for lateral, level in zip(self.laterals, maps)]
        brought = [
            level if cell is not None else F.interpolate(level, goal, mode="bilinear", align_corners=False)
            for level, cell in zip(projected, self.cells)
        ]
        return self.norm(torch.stack(brought).sum(0).permute(0, 2, 3, 1))
