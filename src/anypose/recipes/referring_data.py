"""Batches of people who are meant: views of their pictures, with their labels and one kind of prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from anypose.data.refhuman import Referred
from anypose.data.refhuman_views import Augmentation, View, resized
from anypose.data.scribbles import draw_scribbles
from anypose.models.promptable.uniphd.losses import Batch
from anypose.models.promptable.uniphd.pictures import STEP
from anypose.models.promptable.uniphd.prompts import WORD_PADDING, Prompts

POINTS = (4, 8)  # a point is one of these places of a scribble, the last left out


def show(entry: Referred, rng: Generator, authors: bool = False) -> View:
    """An entry with its picture opened and one scribble, drawn where the data set has none."""
    if entry.scribbles is not None:
        return View.of(entry, int(rng.integers(len(entry.scribbles))), authors=authors)
    view = View.of(entry)
    assert view.person.masks is not None
    return replace(view, scribble=draw_scribbles(view.person.masks.bitmap(0), rng, 1)[0] + (0.0 if authors else 0.5))


def batch_of(
    entries: Sequence[Referred], kind: str, augmentation: Augmentation | None, words: Any, side: int, seed: int
) -> Batch:
    """Entries as a batch that asks in one way: "text", "scribble" or "point"."""
    rng = np.random.default_rng(seed)
    authors = augmentation is not None and augmentation.authors
    views = [show(entry, rng, authors) for entry in entries]
    views = [resized(one, 10**6, side) if augmentation is None else augmentation(one, rng) for one in views]
    people = [one.person for one in views]
    sizes = torch.tensor([one.size for one in views])
    height, width = (-(-int(longest) // STEP) * STEP for longest in sizes.amax(0))
    pictures = torch.zeros(len(views), 3, height, width)
    masks = torch.zeros(len(views), height, width)
    for i, one in enumerate(views):
        h, w = one.size
        pictures[i, :, :h, :w] = torch.tensor(np.ascontiguousarray(one.image)).permute(2, 0, 1)
        assert one.person.masks is not None
        masks[i, :h, :w] = torch.tensor(one.person.masks.bitmap(0))
    scale = sizes.flip(1).float()  # width, height
    keypoints = torch.tensor(np.concatenate([one.keypoints for one in people]), dtype=torch.float32)
    visible = np.concatenate([one.confidence > 0 for one in people])
    boxes = torch.stack([_box(mask, one.boxes[0]) for mask, one in zip(masks, people)])
    return Batch(
        pictures,
        sizes,
        _prompts(views, kind, words, rng),
        boxes / scale.repeat(1, 2),
        keypoints / scale[:, None],
        torch.tensor(visible, dtype=torch.float32),
        torch.tensor(np.concatenate([one.areas for one in people]), dtype=torch.float32) / scale.prod(1),
        masks,
        torch.ones(len(views), dtype=torch.bool),
    )


def _prompts(views: list[View], kind: str, words: Any, rng: Generator) -> Prompts:
    if kind == "text":
        said = [torch.tensor(words.encode(one.text or "person").ids) for one in views]
        return Prompts.from_words(torch.nn.utils.rnn.pad_sequence(said, True, WORD_PADDING))
    places = torch.tensor(np.stack([one.scribble for one in views if one.scribble is not None]), dtype=torch.float32)
    if kind == "point":
        chosen = int(rng.integers(*POINTS))
        places = places[:, chosen : chosen + 1]
    return Prompts.from_places(places)


def _box(mask: torch.Tensor, listed: NDArray[np.float32]) -> torch.Tensor:
    """Centre and size of a mask, in pixels; of the listed box (4,) where a small mask got lost in scaling."""
    ys, xs = mask.nonzero(as_tuple=True)
    if len(xs):
        low, high = torch.stack((xs.min(), ys.min())), torch.stack((xs.max(), ys.max())) + 1
    else:
        low, high = torch.tensor(listed).reshape(2, 2)
    return torch.cat(((low + high) / 2, (high - low).float()))
