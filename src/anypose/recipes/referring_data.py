"""Batches of people who are meant: pictures flipped, cropped and scaled, with their labels and one kind of prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from anypose.data.describe.mirror import mirror_words
from anypose.data.refhuman import STROKE, Referred
from anypose.models.promptable.uniphd.losses import Batch
from anypose.models.promptable.uniphd.pictures import STEP
from anypose.models.promptable.uniphd.prompts import WORD_PADDING, Prompts
from anypose.skeleton import COCO17

POINTS = (4, 8)  # a point is one of these places of a scribble, the last left out


@dataclass(frozen=True)
class Shown:
    """One picture (H, W, 3) with the person who is meant.

    keypoints: (K, 2) pixels. visible: (K,) bool. mask: (H, W) bool. stroke: (12, 2) pixels. text: or None.
    """

    picture: NDArray[np.uint8]
    keypoints: NDArray[np.float64]
    visible: NDArray[np.bool_]
    mask: NDArray[np.bool_]
    stroke: NDArray[np.float64]
    text: str | None


@dataclass(frozen=True)
class Augmentation:
    """The paper's: flip; then, half of the time, a crop of the resized picture; then a side out of a list.

    Attributes:
        sides: of the shorter side, pixels. longest: of the longer.
        before: shorter sides before a crop, of `crop` pixels at least and at most.
        caption: "words" swaps left and right as whole words in a flip; "letters" also inside others, as the authors do
            (an upright man becomes uplefts).
        outside: keypoints that a crop leaves out become "invisible", or are "clamped" to its edge as labelled ones,
            as the authors have it.
    """

    sides: tuple[int, ...] = (360, 392, 416, 480, 512, 544, 576, 608, 640)
    longest: int = 640
    before: tuple[int, ...] = (400, 500, 600)
    crop: tuple[int, int] = (384, 600)
    caption: Literal["words", "letters"] = "words"
    outside: Literal["invisible", "clamped"] = "invisible"

    def __call__(self, shown: Shown, rng: Generator) -> Shown:
        if rng.random() < 0.5:
            shown = flipped(shown, self.caption)
        if rng.random() < 0.5:
            shown = resized(shown, int(rng.choice(self.before)), 10**6)
            shown = self._cropped(shown, rng)
        return resized(shown, int(rng.choice(self.sides)), self.longest)

    def _cropped(self, shown: Shown, rng: Generator) -> Shown:
        height, width = shown.mask.shape
        h, w = (int(rng.integers(min(self.crop[0], side), min(self.crop[1], side) + 1)) for side in (height, width))
        top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
        cut = cropped(shown, (left, top, left + w, top + h), self.outside)
        # A person of whom nothing is left cannot be meant.
        return cut if cut.mask.any() and cut.visible.any() else shown


def flipped(shown: Shown, caption: str = "words") -> Shown:
    """The mirror image; left and right change places in the keypoints and in the text."""
    width = shown.mask.shape[1]
    order = COCO17.mirror
    keypoints = shown.keypoints[order].copy()
    keypoints[:, 0] = width - keypoints[:, 0]
    stroke = shown.stroke.copy()
    stroke[:, 0] = width - stroke[:, 0]
    text = shown.text
    if text is not None:
        text = mirror_words(text) if caption == "words" else _mirrored_letters(text)
    return Shown(shown.picture[:, ::-1], keypoints, shown.visible[order], shown.mask[:, ::-1], stroke, text)


def _mirrored_letters(text: str) -> str:
    return text.replace("left", "\0").replace("right", "left").replace("\0", "right")


def cropped(shown: Shown, box: tuple[int, int, int, int], outside: str = "invisible") -> Shown:
    """The part x0 y0 x1 y1 of a picture."""
    x0, y0, x1, y1 = box
    size = np.array([x1 - x0, y1 - y0])
    keypoints = shown.keypoints - (x0, y0)
    inside = ((keypoints >= 0) & (keypoints <= size)).all(1)
    visible = shown.visible & inside if outside == "invisible" else shown.visible
    mask = shown.mask[y0:y1, x0:x1]
    stroke = shown.stroke - (x0, y0)
    lost = ((stroke < 0) | (stroke > size)).any(1)
    if lost.any() and mask.any():
        # What is left of the person is pointed at anew.
        ys, xs = np.nonzero(mask)
        stroke = stroke.copy()
        index = np.linspace(0, len(ys) - 1, int(lost.sum())).round().astype(int)
        stroke[lost] = np.stack((xs[index] + 0.5, ys[index] + 0.5), 1)
    return replace(
        shown,
        picture=shown.picture[y0:y1, x0:x1],
        keypoints=keypoints.clip(0, size),
        visible=visible,
        mask=mask,
        stroke=stroke.clip(0, size),
    )


def resized(shown: Shown, shorter: int, longest: int) -> Shown:
    """Scaled to a shorter side, unless the longer would pass `longest`."""
    height, width = shown.mask.shape
    scale = min(shorter / min(height, width), longest / max(height, width))
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    by = np.array([w / width, h / height])
    picture = Image.fromarray(np.ascontiguousarray(shown.picture)).resize((w, h), Image.Resampling.BILINEAR)
    mask = Image.fromarray(np.ascontiguousarray(shown.mask)).resize((w, h), Image.Resampling.NEAREST)
    return replace(
        shown,
        picture=np.asarray(picture),
        mask=np.asarray(mask),
        keypoints=shown.keypoints * by,
        stroke=shown.stroke * by,
    )


def show(entry: Referred, rng: Generator) -> Shown:
    """An entry with its picture opened and one scribble, drawn where the data set has none."""
    people = entry.sample.people
    assert people.masks is not None
    mask = people.masks.bitmap(entry.row)
    if entry.scribbles is not None:
        stroke = entry.scribbles[int(rng.integers(len(entry.scribbles)))].astype(np.float64)
    else:
        ys, xs = np.nonzero(mask)
        four = rng.integers(len(ys), size=4)
        t = np.linspace(0, 1, STROKE)[:, None]
        bezier = np.concatenate(((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3), 1)
        stroke = bezier @ np.stack((xs[four] + 0.5, ys[four] + 0.5), 1)
    keypoints = people.keypoints[entry.row].astype(np.float64)
    return Shown(entry.sample.image(), keypoints, people.confidence[entry.row] > 0, mask, stroke, entry.text)


def batch_of(
    entries: Sequence[Referred], kind: str, augmentation: Augmentation | None, words: Any, side: int, seed: int
) -> Batch:
    """Entries as a batch that asks in one way: "text", "scribble" or "point"."""
    rng = np.random.default_rng(seed)
    shown = [show(entry, rng) for entry in entries]
    shown = [resized(one, 10**6, side) if augmentation is None else augmentation(one, rng) for one in shown]
    sizes = torch.tensor([one.mask.shape for one in shown])
    height, width = (-(-int(longest) // STEP) * STEP for longest in sizes.amax(0))
    pictures = torch.zeros(len(shown), 3, height, width)
    masks = torch.zeros(len(shown), height, width)
    for i, one in enumerate(shown):
        h, w = one.mask.shape
        pictures[i, :, :h, :w] = torch.tensor(np.ascontiguousarray(one.picture)).permute(2, 0, 1)
        masks[i, :h, :w] = torch.tensor(np.ascontiguousarray(one.mask))
    scale = sizes.flip(1).float()  # width, height
    keypoints = torch.tensor(np.stack([one.keypoints for one in shown]), dtype=torch.float32)
    boxes = torch.stack([_box(mask) for mask in masks])
    return Batch(
        pictures,
        sizes,
        _prompts(shown, kind, words, rng),
        boxes / scale.repeat(1, 2),
        keypoints / scale[:, None],
        torch.tensor(np.stack([one.visible for one in shown]), dtype=torch.float32),
        masks.sum((1, 2)) / scale.prod(1),
        masks,
        torch.ones(len(shown), dtype=torch.bool),
    )


def _prompts(shown: list[Shown], kind: str, words: Any, rng: Generator) -> Prompts:
    if kind == "text":
        said = [torch.tensor(words.encode(one.text or "person").ids) for one in shown]
        return Prompts.from_words(torch.nn.utils.rnn.pad_sequence(said, True, WORD_PADDING))
    places = torch.tensor(np.stack([one.stroke for one in shown]), dtype=torch.float32)
    if kind == "point":
        chosen = int(rng.integers(*POINTS))
        places = places[:, chosen : chosen + 1]
    return Prompts.from_places(places)


def _box(mask: torch.Tensor) -> torch.Tensor:
    """Centre and size of a mask, in pixels."""
    ys, xs = mask.nonzero(as_tuple=True)
    low, high = torch.stack((xs.min(), ys.min())), torch.stack((xs.max(), ys.max())) + 1
    return torch.cat(((low + high) / 2, (high - low).float()))
