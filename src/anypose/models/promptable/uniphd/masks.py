"""The mask branch: dynamic convolutions from the person's query, then two refinements up to the picture's pixels.

Facts: paper section 3.3, figure 3; the refiner is SgMg's (Miao et al., ICCV 2023).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anypose.models.promptable.uniphd.encoder import Ground
from anypose.models.promptable.uniphd.queries import mlp
from anypose.nn.dynamic_masks import dynamic_masks, dynamic_sizes

STRIDE = 8  # of the first masks
CHANNELS = 16  # of a mask, which become 4 x 4 pixels at last


class Refinement(nn.Module):
    """One residual step: what the mask and the backbone's map of its size show together."""

    def __init__(self, skip: int) -> None:
        super().__init__()
        self.see = nn.Conv2d(CHANNELS + skip, CHANNELS, 3, padding=1)
        self.say = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)

    def look(self, skip: Tensor) -> Tensor:
        """The part that the masks do not change: (B, skip, h, w) to (B, 16, h, w)."""
        return F.conv2d(skip.relu(), self.see.weight[:, CHANNELS:], self.see.bias, padding=1)

    def forward(self, masks: Tensor, looked: Tensor) -> Tensor:
        """masks (P, Q, 16, h, w) and looked (P, 16, h, w) to (P, Q, 16, h, w)."""
        flat = masks.flatten(0, 1)
        seen = F.conv2d(flat.relu(), self.see.weight[:, :CHANNELS], padding=1).view_as(masks)
        seen = (seen + looked[:, None]).relu().flatten(0, 1)
        return (flat + self.say(seen)).view_as(masks)


class MaskHead(nn.Module):
    """Args:
    width: of the queries and the memory.
    skips: channels of the backbone's maps at stride 8 and stride 4.
    """

    def __init__(self, width: int, skips: tuple[int, int]) -> None:
        super().__init__()
        self.controller = mlp(width, width, width, sum(dynamic_sizes(width, CHANNELS)))
        self.eighth, self.quarter = Refinement(skips[0]), Refinement(skips[1])

    def coarse(self, memory: Tensor, ground: Ground, persons: Tensor, centres: Tensor, sizes: Tensor) -> Tensor:
        """Masks by dynamic convolutions over the three finest levels of the memory, added.

        Args:
            memory: (P, S, D).
            persons: (P, Q, D), queries.
            centres: (P, Q, 2), from 0 to 1 over the picture.
            sizes: (P, 2), height and width of the picture in pixels, without padding.

        Returns: (P, Q, 16, h, w), at stride 8.
        """
        parts = memory.split([h * w for h, w in ground.shapes], 1)
        levels = [part.transpose(1, 2).unflatten(-1, shape) for part, shape in zip(parts, ground.shapes[:3])]  # P D h w
        height, width = ground.shapes[0]
        y = torch.arange(height, device=memory.device) * STRIDE + STRIDE // 2
        x = torch.arange(width, device=memory.device) * STRIDE + STRIDE // 2
        centres = (centres * sizes.flip(-1)[:, None])[..., None, None]  # P Q 2 1 1 pixels
        # Pixels as they are, up to 640 of them: the filters have learned numbers of that size.
        offsets = torch.stack(
            torch.broadcast_tensors(centres[:, :, 0] - x[None, None, None], centres[:, :, 1] - y[None, None, :, None]),
            2,
        )  # P Q 2 h w
        return dynamic_masks(levels, offsets, self.controller(persons), CHANNELS)

    def refined(self, coarse: Tensor, eighth: Tensor, quarter: Tensor) -> Tensor:
        """Args:
            coarse: (P, Q, 16, h, w).
            eighth, quarter: (P, 16, ...), what `Refinement.look` saw at strides 8 and 4.

        Returns: (P, Q, 16, 2h, 2w), each cell's 16 numbers being 4 x 4 pixels.
        """
        masks = self.eighth(coarse, eighth)
        size = quarter.shape[-2:]
        finer = F.interpolate(masks.flatten(1, 2), size, mode="bilinear", align_corners=False)  # P Q*16 2h 2w
        return self.quarter(finer.unflatten(1, (-1, CHANNELS)), quarter)


def pixels(masks: Tensor) -> Tensor:
    """Cells of 16 numbers (P, Q, 16, h, w) as pixels (P, Q, 4h, 4w)."""
    square = masks.unflatten(2, (4, 4)).permute(0, 1, 4, 2, 5, 3)  # P Q h 4 w 4
    return square.flatten(4, 5).flatten(2, 3)
