"""UniPHD as three graphs: a picture is encoded, and asked in words or by places.

All decisions are inside; who runs them scales pictures and puts answers back into their pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anypose.models.promptable.uniphd import Seen, UniPHD
from anypose.models.promptable.uniphd.answers import found
from anypose.models.promptable.uniphd.masks import CHANNELS
from anypose.models.promptable.uniphd.pictures import ground_of
from anypose.models.promptable.uniphd.prompts import STROKE, WORD_PADDING, Prompts
from anypose.nn.deformable import Shapes
from anypose.runtime.graph import Graph

FEATURES = ("pyramid", "sixteenth", "eighth", "quarter")
ANSWERS = ("groups", "scores", "presence", "boxes", "keypoints", "confidence", "masks")


class Encode(nn.Module):
    """picture (H, W, 3) uint8 RGB and size (2,), of the picture in it, to the `FEATURES`."""

    def __init__(self, model: UniPHD) -> None:
        super().__init__()
        self.model = model

    def forward(self, picture: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        seen = self.model.encode(picture.permute(2, 0, 1)[None].float(), size[None])
        return tuple(getattr(seen, name)[0] for name in FEATURES)


class Ask(nn.Module):
    """A picture's features and P prompts of one kind to whom each means, the groups at `ranks` (k,)."""

    def __init__(self, model: UniPHD) -> None:
        super().__init__()
        self.model = model

    def answers(
        self, features: tuple[Tensor, ...], size: Tensor, ranks: Tensor, prompts: Prompts
    ) -> tuple[Tensor, ...]:
        pyramid, sixteenth, eighth, quarter = features
        canvas = (int(quarter.shape[-2]) * 4, int(quarter.shape[-1]) * 4)
        ground = ground_of(_shapes(canvas), size[None], canvas, int(pyramid.shape[-1]))
        seen = Seen(pyramid[None], ground, sixteenth[None], eighth[None], quarter[None], size[None], canvas)
        return tuple(found(self.model, seen, prompts, self.model.ask(seen, prompts), ranks))


class AskWords(Ask):
    def forward(
        self, pyramid: Tensor, eighth: Tensor, quarter: Tensor, size: Tensor, ranks: Tensor, words: Tensor
    ) -> tuple[Tensor, ...]:
        """words (P, L) int64, padded with RoBERTa's padding."""
        prompts = Prompts.from_words(words, torch.zeros_like(words[:, 0]))
        return self.answers((pyramid, quarter[:0], eighth, quarter), size, ranks, prompts)


class AskPlaces(Ask):
    def forward(
        self,
        pyramid: Tensor,
        sixteenth: Tensor,
        eighth: Tensor,
        quarter: Tensor,
        size: Tensor,
        ranks: Tensor,
        places: Tensor,
        unused: Tensor,
    ) -> tuple[Tensor, ...]:
        """places (P, S, 2) pixels of the resized picture and unused (P, S) bool."""
        prompts = Prompts.from_places(places, unused, torch.zeros_like(unused[:, 0], dtype=torch.int64))
        return self.answers((pyramid, sixteenth, eighth, quarter), size, ranks, prompts)


def _shapes(canvas: tuple[int, int]) -> Shapes:
    """Height and width of the four levels of a picture's pyramid."""
    shapes = [(canvas[0] // 8, canvas[1] // 8)]
    for _ in range(3):
        shapes.append(((shapes[-1][0] + 1) // 2, (shapes[-1][1] + 1) // 2))
    return shapes


def _sides(model: UniPHD, picture: tuple[int, int]) -> list[tuple[int, ...]]:
    """Of the `FEATURES` of a picture."""
    height, width = picture
    shapes = _shapes(picture)
    pyramid = (sum(h * w for h, w in shapes), model.encoder.level_codes.shape[1])
    sixteenth = (model.backbone.channels[2], *shapes[1])
    return [pyramid, sixteenth, (CHANNELS, height // 8, width // 8), (CHANNELS, height // 4, width // 4)]


def graphs(model: UniPHD, picture: tuple[int, int] = (640, 640)) -> dict[str, Graph]:
    """The three graphs by name: encode, words, places.

    Args:
        picture: height and width, multiples of 16, that exported graphs are fixed to.
    """
    if model.mask is None or not model.decoder.keypoints:
        raise ValueError("this UniPHD has no pose head or no mask head; its answers are no People")
    model = model.eval()
    example = torch.randint(0, 256, (*picture, 3), dtype=torch.uint8)
    size = torch.tensor(picture)
    features = {name: torch.zeros(sides) for name, sides in zip(FEATURES, _sides(model, picture))}
    words = torch.full((2, 5), 5)
    words[1, 3:] = WORD_PADDING
    places = torch.rand(2, STROKE, 2) * min(picture)
    unused = torch.zeros(2, STROKE, dtype=torch.bool)
    common = {**features, "size": size, "ranks": torch.arange(2)}
    without = {name: value for name, value in common.items() if name != "sixteenth"}
    ranks = {"ranks": {0: "candidates"}}
    return {
        "encode": Graph(Encode(model), {"picture": example, "size": size}, FEATURES, {}),
        "words": Graph(
            AskWords(model), {**without, "words": words}, ANSWERS, {**ranks, "words": {0: "prompts", 1: "length"}}
        ),
        "places": Graph(
            AskPlaces(model),
            {**common, "places": places, "unused": unused},
            ANSWERS,
            {**ranks, "places": {0: "prompts", 1: "places"}, "unused": {0: "prompts", 1: "places"}},
        ),
    }
