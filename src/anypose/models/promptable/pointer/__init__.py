"""Pointer: two small looks at a picture; the first finds whom a prompt means, the second looks closely.

Ours. The first look goes on from YOLOX-Nano, the second from PP-TinyPose (both Apache-2.0, see NOTICE).
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from anypose.models.promptable.pointer.first_look import Candidates, Choice, FirstLook, Prompts
from anypose.models.promptable.pointer.losses import Batch, pointer_losses
from anypose.models.promptable.pointer.second_look import SecondLook, Seen, sample_coarse
from anypose.nn.published import convolutions_as_built, convolutions_as_pulled, load_convolutions

VARIANTS: dict[str, dict[str, object]] = {
    "base": {},
    "tiny": {
        "width": 32,
        "trunk_width": 4,
        "candidates": 12,
        "vocabulary": 100,
        "vector": 16,
        "channels": (8, 16, 32),
        "modules": (1, 1),
        "stem": 8,
    },
}


class Pointer(nn.Module):
    """Picture and prompt in, one person's keypoints and mask out.

    Args:
        width: width of the first look's tokens.
        trunk_width: width of the first look's CSPDarknet.
        candidates: number of people a picture may hold.
        vocabulary, vector: size of the table of word vectors.
        keypoints: number of keypoints of the skeleton.
        channels, modules, stem: of the second look's Lite-HRNet.
        mask_hint: whether the second look sees the coarse mask of the first.
    """

    crop_size = (256, 192)
    crop_margin = 1.25

    def __init__(
        self,
        *,
        width: int = 96,
        trunk_width: int = 16,
        candidates: int = 40,
        vocabulary: int = 26847,
        vector: int = 64,
        keypoints: int = 17,
        channels: tuple[int, ...] = (40, 80, 160, 320),
        modules: tuple[int, ...] = (2, 4, 2),
        stem: int = 32,
        mask_hint: bool = True,
    ) -> None:
        super().__init__()
        self.mask_hint = mask_hint
        self.first = FirstLook(
            width=width,
            trunk_width=trunk_width,
            candidates=candidates,
            vocabulary=vocabulary,
            vector=vector,
        )
        self.second = SecondLook(keypoints=keypoints, channels=channels, modules=modules, stem=stem)

    def encode(self, pictures: Tensor, sizes: Tensor) -> Candidates:
        """See `FirstLook.encode`."""
        return self.first.encode(pictures, sizes)

    def choose(self, candidates: Candidates, picture: Tensor, prompts: Prompts) -> Choice:
        """See `FirstLook.choose`."""
        return self.first.choose(candidates, picture, prompts)

    def look(self, crops: Tensor, coarse: Tensor, crop_to_picture: Tensor) -> Seen:
        """The second look.

        Args:
            crops: (N, 3, H, W), RGB from 0 to 255.
            coarse: (N, h, w), logits of the first look's masks.
            crop_to_picture: (N, 2, 3), crop pixels to letterbox pixels.
        """
        size = (crops.shape[-2], crops.shape[-1])
        hint = sample_coarse(coarse, crop_to_picture, size)
        return self.second(crops, hint if self.mask_hint else torch.zeros_like(hint))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Every term of the training loss, weighted; their sum is minimised."""
        return pointer_losses(self, batch)

    def go_on_from(self, file: Path | str) -> tuple[str, ...]:
        """Takes what a safetensors file of the pointer holds; gives the parts, as in "second.outline", that it lacks.

        Raises:
            ValueError: the file holds what this pointer has not, or in another shape.
        """
        kept = {name: value.float() for name, value in load_file(file).items()}
        try:
            missing, spare = self.load_state_dict(kept, strict=False)
        except RuntimeError as error:
            raise ValueError(f"{file} is of another pointer: {error}") from error
        if spare:
            raise ValueError(f"{file} is of another pointer: it has {spare[0]}, which this one has not")
        return tuple(sorted({".".join(name.split(".")[:2]) for name in missing}))

    @torch.no_grad()
    def start_from(self, yolox: Path | str | None, tinypose: Path | str | None) -> None:
        """Takes the published weights of YOLOX-Nano and PP-TinyPose, from their ONNX files.

        Raises:
            ValueError: a file holds another network.
        """
        if yolox is not None:
            first = self.first
            parts = [first.trunk, first.neck, *first.heads]
            load_convolutions([conv for part in parts for conv in convolutions_as_built(part)], yolox)
            # YOLOX reads BGR from 0 to 255; ours reads RGB from 0 to 1, where a step of the optimiser is a
            # small one. The stem sees four pixels of three colours.
            stem = convolutions_as_built(first.trunk.stem)[0].weight
            stem.copy_(255 * stem.unflatten(1, (4, 3)).flip(2).flatten(1, 2))
        if tinypose is not None:
            pulled = convolutions_as_pulled(nn.Sequential(self.second.trunk, _Second(), self.second.heatmaps))
            first_conv = pulled[0]
            colours = nn.Conv2d(3, first_conv.out_channels, 3)
            load_convolutions([colours, *pulled[1:]], tinypose)
            first_conv.weight[:, :3].copy_(colours.weight)
            assert first_conv.bias is not None and colours.bias is not None  # noqa: PT018
            first_conv.bias.copy_(colours.bias)
            first_conv.weight[:, 3:].zero_()


class _Second(nn.Module):
    """The second of two tensors: the trunk's finest map, which PP-TinyPose's heat maps are made from."""

    def forward(self, maps: tuple[Tensor, Tensor]) -> Tensor:
        return maps[1]
