"""UniPHD: one person by words, places or a box, with keypoints and mask, end to end.

B. Miao et al., Referring Human Pose and Mask Estimation in the Wild, NeurIPS 2024 (arXiv 2410.20508).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from anypose.models.promptable.uniphd.decoder import Decoder, Layer, Within
from anypose.models.promptable.uniphd.encoder import Encoder, Ground
from anypose.models.promptable.uniphd.losses import Batch, Losses
from anypose.models.promptable.uniphd.masks import MaskHead
from anypose.models.promptable.uniphd.pictures import Pyramid, ground_of, normalised
from anypose.models.promptable.uniphd.prompts import Fusion, PlaceReader, Prompts, Told, WordReader
from anypose.models.promptable.uniphd.queries import Choice, Queries, TwoStage
from anypose.models.promptable.uniphd.weights import POSITION_IDS, authors, first_difference, rename
from anypose.nn.checkpoints import read
from anypose.nn.swin import Swin

__all__ = ["VARIANTS", "Prompts", "UniPHD", "authors", "published", "rename"]

VARIANTS: dict[str, dict[str, Any]] = {
    "swin-t": {},
    "swin-b": {
        "swin_width": 128,
        "swin_depths": (2, 2, 18, 2),
        "swin_heads": (4, 8, 16, 32),
        "swin_window": 12,
    },
    "swin-l": {
        "swin_width": 192,
        "swin_depths": (2, 2, 18, 2),
        "swin_heads": (6, 12, 24, 48),
        "swin_window": 12,
    },
    "tiny": {
        "swin_width": 16,
        "swin_depths": (1, 1, 2, 1),
        "swin_heads": (1, 2, 4, 8),
        "width": 64,
        "feedforward": 96,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "groups": 6,
        "vocabulary": 120,
        "text_positions": 40,
        "text_width": 32,
        "text_layers": 1,
        "text_heads": 4,
        "text_feedforward": 48,
    },
}


class Seen(NamedTuple):
    """What a picture shows before anybody has asked: B pictures.

    pyramid: (B, S, D), flattened. ground: where its cells stand. sixteenth: (B, C, h, w), the backbone's stride-16 map.
    eighth, quarter: (B, 16, h, w), what the mask refinements saw. sizes: (B, 2), height and width in pixels
    without padding. canvas: height and width with padding.
    """

    pyramid: Tensor
    ground: Ground
    sixteenth: Tensor
    eighth: Tensor
    quarter: Tensor
    sizes: Tensor
    canvas: tuple[int, int]

    def codes(self) -> Tensor:
        """Position codes of the stride-16 map, (B, D, h, w)."""
        h, w = self.ground.shapes[0]
        shape = self.ground.shapes[1]
        return self.ground.codes[:, h * w : h * w + shape[0] * shape[1]].transpose(1, 2).unflatten(-1, shape)


class Answer(NamedTuple):
    """What Q groups say for each of P prompts, layer by layer.

    choice: of the two-stage selection. layers: of the decoder. references: (P, Q, 1 + K, 2) after the last layer.
    memory: (P, S, D). told: the prompts as tokens, words and places, where there are such.
    """

    choice: Choice
    layers: list[Layer]
    references: Tensor
    memory: Tensor
    told: list[Told]


class UniPHD(nn.Module):
    """Args:
    swin_width, swin_depths, swin_heads, swin_window, drop_path: of the backbone.
    width, heads, points, feedforward: of encoder and decoder.
    encoder_layers, decoder_layers: their numbers of layers.
    groups: answers that compete for a prompt.
    keypoints: of the skeleton.
    vocabulary, text_positions, text_width, text_layers, text_heads, text_feedforward: of RoBERTa.
    dropout: of the prompt tokens.
    pose_head, mask_head: without one its answers are left out (table 6).
    within: how a group's queries attend to each other: "graph", "attention" or "none" (table 7).
    query_initialisation: False starts queries from learned vectors alone (table 8).
    loss_weights, cost_weights: change single weights of the losses and of the matching; see `losses.WEIGHTS`.
    position_leak: the authors' in-place position codes, which published weights need; see `DecoderLayer`.
    padding_too: the authors' choice of padded cells; see `TwoStage`.
    prompt_sampling: "corners" is the authors'; see `PlaceReader`.
    pad_together: False answers about pictures of different sizes apart (`answers.found_in`), so that no answer depends
        on the other pictures of a batch. The authors' windows, group norms and choice see the padding.
    dead_class: ranks by both of a group's scores as the authors do, though the first never learned a person.
    isotropic_oks: False measures the OKS loss as the authors do: in shares of width and height, which are not the
        same length.
    visibility_halved_again: True divides the visibility loss twice by the number of people, as the authors do.
    long_text: "error" refuses text that RoBERTa has no positions for, "cut" reads its beginning.
    """

    # Whose linear layers may run in eight bits: most of the arithmetic, and no head. See docs/uniphd.md.
    EIGHT_BITS = (
        "backbone.*",
        "words.roberta.*",
        "*coder.layers.*feedforward.*",
        "*coder.layers.*.value",
        "*coder.layers.*.output",
    )

    def __init__(
        self,
        *,
        swin_width: int = 96,
        swin_depths: tuple[int, ...] = (2, 2, 6, 2),
        swin_heads: tuple[int, ...] = (3, 6, 12, 24),
        swin_window: int = 7,
        drop_path: float = 0.2,
        width: int = 256,
        heads: int = 8,
        points: int = 4,
        feedforward: int = 2048,
        encoder_layers: int = 6,
        decoder_layers: int = 6,
        groups: int = 20,
        keypoints: int = 17,
        vocabulary: int = 50265,
        text_positions: int = 514,
        text_width: int = 768,
        text_layers: int = 12,
        text_heads: int = 12,
        text_feedforward: int = 3072,
        dropout: float = 0.1,
        pose_head: bool = True,
        mask_head: bool = True,
        within: Within = "graph",
        query_initialisation: bool = True,
        loss_weights: Mapping[str, float] | None = None,
        cost_weights: Mapping[str, float] | None = None,
        position_leak: bool = True,
        padding_too: bool = True,
        prompt_sampling: Literal["corners", "centres"] = "corners",
        pad_together: bool = True,
        dead_class: bool = False,
        isotropic_oks: bool = True,
        visibility_halved_again: bool = False,
        long_text: Literal["error", "cut"] = "error",
    ) -> None:
        super().__init__()
        self.pad_together, self.dead_class, self.long_text = pad_together, dead_class, long_text
        self.variant: str | None = None
        # Two positions are RoBERTa's padding.
        self.words_limit = text_positions - 2
        joints = keypoints if pose_head else 0
        self.backbone = Swin(
            width=swin_width, depths=swin_depths, heads=swin_heads, window=swin_window, drop_path=drop_path
        )
        channels = self.backbone.channels
        self.pyramid = Pyramid(channels[1:], width)
        self.words = WordReader(
            width,
            vocabulary=vocabulary,
            positions=text_positions,
            roberta_width=text_width,
            layers=text_layers,
            heads=text_heads,
            feedforward=text_feedforward,
            dropout=dropout,
        )
        self.places = PlaceReader(channels[2], width, dropout, prompt_sampling)
        self.fusion = Fusion(width, heads)
        sizes = {"width": width, "heads": heads, "levels": 4, "points": points, "feedforward": feedforward}
        self.encoder = Encoder(encoder_layers, **sizes)
        self.two_stage = TwoStage(width, groups, joints, padding_too=padding_too)
        self.queries = Queries(width, joints, from_prompt=query_initialisation)
        self.decoder = Decoder(decoder_layers, joints, **sizes, within=within, position_leak=position_leak)
        self.mask = MaskHead(width, (channels[1], channels[0])) if mask_head else None
        self.calibration: Tensor
        # Slope and intercept from a person's logit to how probable it is that the prompt means somebody.
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))
        self.losses = Losses(
            loss_weights,
            cost_weights,
            isotropic_oks=isotropic_oks,
            visibility_halved_again=visibility_halved_again,
        )

    @property
    def asking(self) -> dict[str, Any]:
        """What a predictor has to know to ask this model."""
        return {"words": self.words_limit, "cut": self.long_text == "cut", "variant": self.variant}

    def encode(self, pictures: Tensor, sizes: Tensor) -> Seen:
        """What no prompt changes.

        Args:
            pictures: (B, 3, H, W) RGB from 0 to 255, H and W multiples of 16, padded below and on the right.
            sizes: (B, 2), height and width of each picture in it.
        """
        maps = self.backbone(normalised(pictures, sizes))
        levels = self.pyramid(maps[1:])
        canvas = (pictures.shape[-2], pictures.shape[-1])
        ground = ground_of([(m.shape[-2], m.shape[-1]) for m in levels], sizes, canvas, levels[0].shape[1])
        eighth = quarter = maps[0].new_zeros(len(pictures), 0, 1, 1)
        if self.mask is not None:
            eighth, quarter = self.mask.eighth.look(maps[1]), self.mask.quarter.look(maps[0])
        pyramid = torch.cat([level.flatten(2) for level in levels], 2).transpose(1, 2)  # B S D
        return Seen(pyramid, ground, maps[2], eighth, quarter, sizes, canvas)

    def ask(self, seen: Seen, prompts: Prompts) -> Answer:
        """All prompts about the pictures in one batch."""
        told, fused = [], []
        if len(prompts.words):
            told.append(self.words(prompts.words))
            fused.append(self.fusion(seen.pyramid[prompts.word_pictures], told[-1], "words"))
        if len(prompts.places):
            of = prompts.place_pictures
            told.append(self.places(seen.sixteenth[of], seen.codes()[of], prompts.places, prompts.unused, seen.canvas))
            fused.append(self.fusion(seen.pyramid[of], told[-1], "places"))
        ground = seen.ground.of(prompts.pictures)
        memory = self.encoder(torch.cat(fused), ground)
        choice = self.two_stage(memory, ground)
        queries = self.queries(choice.chosen, torch.cat([part.summary for part in told]))
        layers, references = self.decoder(queries, choice.references.detach(), memory, ground)
        return Answer(choice, layers, references, memory, told)

    def masks(self, seen: Seen, prompts: Prompts, answer: Answer, groups: Tensor, layer: int = -1) -> Tensor:
        """Masks of chosen groups (P, k) before the refinement, (P, k, 16, h, w); see `MaskHead.coarse`."""
        assert self.mask is not None
        found = answer.layers[layer]
        index = groups[..., None]
        persons = found.queries[:, :, 0].gather(1, index.expand(-1, -1, found.queries.shape[-1]))
        centres = found.references[:, :, 0].gather(1, index.expand(-1, -1, 2))
        picture = prompts.pictures
        return self.mask.coarse(answer.memory, seen.ground.of(picture), persons, centres, seen.sizes[picture])

    def refined(self, seen: Seen, prompts: Prompts, coarse: Tensor) -> Tensor:
        """Masks (P, k, 16, h, w) refined to (P, k, 16, 2h, 2w); `pixels` of masks.py makes pixels of them."""
        assert self.mask is not None
        picture = prompts.pictures
        return self.mask.refined(coarse, seen.eighth[picture], seen.quarter[picture])

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Every term of the training loss, weighted; their sum is minimised."""
        return self.losses(self, batch)


def published(path: Path, variant: str | None = None) -> tuple[str, dict[str, Tensor]]:
    """The variant and our entries of the authors' checkpoint.

    Args:
        variant: that it has to be; None takes the one whose first layer has the file's width.

    Raises:
        ValueError: it is no checkpoint, is cut short, or an entry differs from the variant's.
    """
    state = read(path, ("model",), "UniPHD")
    if variant is None:
        first = state.get("backbone.0.patch_embed.proj.weight")
        width = None if first is None else len(first)
        fitting = (name for name, options in VARIANTS.items() if options.get("swin_width", 96) == width)
        variant = next(fitting, "swin-t")
    with torch.device("meta"):
        expected = authors(UniPHD(**VARIANTS[variant]).state_dict())
    given = {key: value for key, value in state.items() if key != POSITION_IDS}
    difference = first_difference(given, expected)
    if difference is not None:
        raise ValueError(f"{path} does not fit UniPHD {variant}: {difference}")
    return variant, rename(given)
