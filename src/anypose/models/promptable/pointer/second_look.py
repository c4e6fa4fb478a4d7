"""The second look: the picture's own pixels in one person's box."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anypose.models.promptable.pointer.first_look import MASK_STRIDE
from anypose.nn.lite_hrnet import LiteHRNet
from anypose.ops import heatmaps

STRIDE = 4  # of the heat maps


class Seen(NamedTuple):
    """What the second look sees of N crops of size (H, W)."""

    heatmaps: Tensor  # N K H/4 W/4
    keypoints: Tensor  # N K 2, crop pixels
    confidence: Tensor  # N K, logit of "the location is right"
    state: Tensor  # N K 3, logits of visible, hidden, outside the picture
    masks: Tensor  # N H/2 W/2, logits
    quality: Tensor  # N, logit of the mean keypoint similarity to expect


class SecondLook(nn.Module):
    """Args:
    keypoints: number of keypoints K.
    channels, modules, stem: of the trunk; the defaults are PP-TinyPose's.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        *,
        keypoints: int = 17,
        channels: tuple[int, ...] = (40, 80, 160, 320),
        modules: tuple[int, ...] = (2, 4, 2),
        stem: int = 32,
    ) -> None:
        super().__init__()
        self.trunk = LiteHRNet(channels=channels, modules=modules, stem=stem, inputs=4)
        width = channels[0]
        self.heatmaps = nn.Conv2d(width, keypoints, 1)
        self.outline = Outline(width + 1 + keypoints, stem)
        self.names = nn.Parameter(torch.zeros(keypoints, 16))
        self.judge = nn.Sequential(nn.Linear(width + 16 + 3, 48), nn.GELU(), nn.Linear(48, 4))
        self.quality = nn.Linear(1, 1)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("scale", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1) * 255, persistent=False)

    def forward(self, crops: Tensor, coarse: Tensor) -> Seen:
        """Args:
        crops: (N, 3, H, W), RGB from 0 to 255, H and W multiples of 32.
        coarse: (N, H/4, W/4), logits of the person's coarse mask; 0 where nothing is known.
        """
        hint = torch.tanh(coarse / 2)[:, None]
        hint = F.interpolate(hint, scale_factor=float(STRIDE), mode="bilinear", align_corners=False)
        half, x = self.trunk(torch.cat(((crops - self.mean) / self.scale, hint), 1))
        maps = self.heatmaps(x)  # N K H/4 W/4
        # A trunk that masks teach too forgets keypoints (docs/pointer.md): they read what it sees and leave it alone.
        seen = torch.cat((x, F.avg_pool2d(hint, STRIDE), maps), 1)
        masks = self.outline(seen.detach(), half.detach())
        keypoints, peak = heatmaps.decode(maps.detach(), stride=STRIDE)
        confidence, state, quality = self._judge(x, maps.detach(), keypoints, peak, masks.detach())
        return Seen(maps, keypoints, confidence, state, masks, quality)

    def heatmaps_both_ways(self, crops: Tensor, coarse: Tensor, mirror: Tensor) -> Tensor:
        """Mean of the heat maps (N, K, H/4, W/4) and of those of the mirrored crops, turned back.

        Heat-map pixel p stands at crop pixel 4 p, so that a mirrored map comes back moved by one (UDP, Huang et al.,
        CVPR 2020, section 3).

        Args:
            crops, coarse: as `forward` takes them.
            mirror: (K,) int64, the keypoint on the other side for each.
        """
        maps = self(crops, coarse).heatmaps
        back = self(crops.flip(3), coarse.flip(2)).heatmaps.flip(3)[:, mirror]
        back = torch.cat((back[..., :1], back[..., :-1]), 3)
        return (maps + back) / 2

    def _judge(
        self, x: Tensor, maps: Tensor, keypoints: Tensor, peak: Tensor, masks: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """How far to trust each keypoint, from the features where it was found."""
        height, width = x.shape[-2:]
        cells = keypoints / STRIDE + 0.5  # N K 2
        grid = torch.stack((cells[..., 0] / width, cells[..., 1] / height), -1)[:, :, None] * 2 - 1
        at = F.grid_sample(x, grid, padding_mode="border", align_corners=False)[..., 0].transpose(1, 2)
        on_mask = F.grid_sample(masks[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
        mass = maps.clamp(min=0).mean((2, 3)) * 100  # a spread or double peak has more than 0.8
        facts = torch.stack((peak, mass, on_mask[..., 0].clamp(-6, 6) / 4), -1)
        names = self.names.expand(x.shape[0], -1, -1)
        said = self.judge(torch.cat((at, names, facts), -1))  # N K 4
        confidence = said[..., 0]
        # The mean height of the peaks that stand out ranks people better than what a network makes of features.
        clear = (peak > 0.2).to(peak.dtype)
        strength = (peak * clear).sum(1, keepdim=True) / clear.sum(1, keepdim=True).clamp(min=1)  # N 1
        quality = self.quality(strength)[:, 0]
        return confidence, said[..., 1:], quality


class Outline(nn.Module):
    """The person's mask from the trunk's features, the coarse mask and where the keypoints seem to be.

    Args:
        inputs: channels at stride 4.
        stem: channels at stride 2.
        width: channels at stride 4; 4/3 of them at stride 8, half of them at stride 2.

    forward: (N, inputs, H/4, W/4) and (N, stem, H/2, W/2) to logits (N, H/2, W/2).
    """

    def __init__(self, inputs: int, stem: int, *, width: int = 48) -> None:
        super().__init__()
        wide, narrow = width * 4 // 3, width // 2
        self.enter = nn.Conv2d(inputs, width, 1)
        self.descend = nn.Conv2d(width, wide, 1)
        self.around = nn.Sequential(Widen(wide), Widen(wide))
        self.ascend = nn.Conv2d(wide, width, 1)
        self.near = nn.Sequential(Widen(width), Widen(width))
        self.coarse = nn.Conv2d(width, narrow, 1)
        self.fine = nn.Conv2d(stem, narrow, 1)
        self.edge = nn.Sequential(nn.ReLU(), Widen(narrow, 3), Widen(narrow, 3), nn.Conv2d(narrow, 1, 1))

    def forward(self, x: Tensor, half: Tensor) -> Tensor:
        x = F.relu(self.enter(x))  # N D H/4 W/4
        around = self.around(F.relu(self.descend(F.avg_pool2d(x, 2))))  # N 4D/3 H/8 W/8
        x = self.near(x + _twice(self.ascend(around)))
        return self.edge(_twice(self.coarse(x)) + self.fine(half))[:, 0]


class Widen(nn.Module):
    """What is around, added: a depthwise convolution, one across channels, ReLU."""

    def __init__(self, width: int, size: int = 5) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, size, 1, size // 2, groups=width)
        self.across = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.relu(self.across(self.depthwise(x)))


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def sample_coarse(masks: Tensor, crop_to_picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Coarse masks as the crops see them.

    Args:
        masks: (N, h, w), logits of stride 8 over the letterboxed picture.
        crop_to_picture: (N, 2, 3), crop pixels to letterbox pixels.
        size: (H, W) of the crop.

    Returns: (N, H/4, W/4) logits.
    """
    rows, columns = size[0] // STRIDE, size[1] // STRIDE
    x = (torch.arange(columns, device=masks.device) + 0.5) * STRIDE
    y = (torch.arange(rows, device=masks.device) + 0.5) * STRIDE
    places = torch.stack((x.expand(rows, -1), y[:, None].expand(-1, columns)), -1)  # rows columns 2
    matrix = crop_to_picture.to(masks.dtype)
    places = torch.einsum("nij,rcj->nrci", matrix[:, :, :2], places) + matrix[:, None, None, :, 2]
    height, width = masks.shape[1:]
    x, y = places[..., 0] / (width * MASK_STRIDE), places[..., 1] / (height * MASK_STRIDE)
    grid = torch.stack((x, y), -1) * 2 - 1
    return F.grid_sample(masks[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
