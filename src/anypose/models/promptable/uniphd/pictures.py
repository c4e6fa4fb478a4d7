"""From pictures to the flattened pyramid, and where its cells stand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anypose.models.promptable.uniphd.encoder import Ground
from anypose.nn.deformable import Shapes
from anypose.ops.positions import sine_places

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
TEMPERATURE = 20  # of the cells' position codes
STEP = 16  # sides of a padded picture are multiples of it


class Pyramid(nn.Module):
    """The backbone's maps at strides 8, 16 and 32 in one width, and one at stride 64 from the last."""

    def __init__(self, channels: tuple[int, ...], width: int) -> None:
        super().__init__()
        reductions = [nn.Conv2d(inputs, width, 1) for inputs in channels]
        reductions.append(nn.Conv2d(channels[-1], width, 3, stride=2, padding=1))
        for conv in reductions:
            nn.init.xavier_uniform_(conv.weight)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
        self.levels = nn.ModuleList(nn.Sequential(conv, nn.GroupNorm(32, width)) for conv in reductions)

    def forward(self, maps: tuple[Tensor, ...]) -> list[Tensor]:
        """Three maps (B, C, h, w) to four (B, D, h, w)."""
        return [level(m) for level, m in zip(self.levels, (*maps, maps[-1]))]


def normalised(pictures: Tensor, sizes: Tensor) -> Tensor:
    """(B, 3, H, W) from 0 to 255 as ImageNet's pictures are normalised, with zeros where padding is."""
    mean = pictures.new_tensor(MEAN)[:, None, None]
    deviation = pictures.new_tensor(DEVIATION)[:, None, None]
    padding = padding_of(sizes, (pictures.shape[-2], pictures.shape[-1]), (pictures.shape[-2], pictures.shape[-1]))
    return ((pictures / 255 - mean) / deviation).masked_fill(padding[:, None], 0)


def padding_of(sizes: Tensor, shape: tuple[int, int], canvas: tuple[int, int]) -> Tensor:
    """(B, h, w) bool: whether the first pixel under each cell is padding."""
    rows, columns = ((torch.arange(cells, device=sizes.device) * side) // cells for cells, side in zip(shape, canvas))
    return (rows[None, :, None] >= sizes[:, 0, None, None]) | (columns[None, None] >= sizes[:, 1, None, None])


def ground_of(shapes: Shapes, sizes: Tensor, canvas: tuple[int, int], width: int) -> Ground:
    """Args:
    shapes: height and width of each level.
    sizes: (B, 2), height and width of the pictures in pixels.
    canvas: of the padded pictures.
    width: of the position codes.
    """
    codes, paddings, ratios, centres = [], [], [], []
    for h, w in shapes:
        padding = padding_of(sizes, (h, w), canvas)
        inside = (~padding).float()
        rows, columns = inside.cumsum(1), inside.cumsum(2)
        # Counted cells over their number, so that the last valid cell of a row or column is 1.
        places = torch.stack((columns / (columns[:, :, -1:] + 1e-6), rows / (rows[:, -1:] + 1e-6)), -1)
        codes.append(sine_places(places, width, TEMPERATURE).flatten(1, 2))  # B hw D
        high, wide = inside[:, :, 0].sum(1), inside[:, 0].sum(1)  # B
        ratios.append(torch.stack((wide / w, high / h), -1))
        y = (torch.arange(h, device=sizes.device) + 0.5)[None, :, None] / high[:, None, None]
        x = (torch.arange(w, device=sizes.device) + 0.5)[None, None] / wide[:, None, None]
        centres.append(torch.stack(torch.broadcast_tensors(x, y), -1).flatten(1, 2))  # B hw 2
        paddings.append(padding.flatten(1))
    return Ground(torch.cat(codes, 1), torch.cat(paddings, 1), torch.stack(ratios, 1), torch.cat(centres, 1), shapes)
