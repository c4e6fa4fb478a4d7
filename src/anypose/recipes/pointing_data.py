"""What the pointer is trained on: pictures, prompts and crops, made from labelled photographs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from tokenizers import Tokenizer

from anypose.data.composing import View, beside, pasted
from anypose.data.describe import Observations, describe, describe_nobody, mirror_words, observe
from anypose.data.sample import Sample
from anypose.data.things import COCO_THINGS, things_in
from anypose.models.promptable.pointer.first_look import NEGATIVE, POSITIVE, STROKE
from anypose.models.promptable.pointer.losses import NOBODY, Batch
from anypose.recipes.pointing_batch import WORDS, Asked, Parts, jittered
from anypose.recipes.strokes import point_on, scribble_on

CAPTIONS = 24  # of a batch, of any picture: what do they name?
LYING, UPRIGHT = (320, 416), (416, 320)  # two shapes alone: every new shape costs a CPU seconds


class Photographs:
    """Labelled pictures, decoded once and kept in memory.

    Args:
        samples: the pictures.
        things: for each sample's name, what else a detector saw: (class, box, score), and people it saw.
    """

    def __init__(self, samples: Sequence[Sample], things: dict[str, list[tuple[str, list[float], float]]]) -> None:
        self.samples = list(samples)
        self.things = things
        self._views: dict[int, View] = {}
        self._sentences: dict[int, list[list[str]]] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def view(self, index: int) -> View:
        """One picture with its labels. Masks are unpacked anew each time: they are large."""
        sample = self.samples[index]
        if index not in self._views:
            view = View.of(sample, sample.image())
            seen = self.things.get(sample.name, [])
            people = [np.array(box, np.float32) for name, box, score in seen if name == "person" and score > 0.4]
            self._views[index] = replace(
                view,
                masks=(),
                things=tuple((name, np.array(box, np.float32), score) for name, box, score in seen if name != "person"),
                strangers=_unlisted(people, view),
            )
        kept = self._views[index]
        return replace(kept, masks=View.of(sample, kept.image).masks)

    def sentences(self, index: int) -> list[list[str]]:
        """For each person, sentences that are true of nobody else in the picture."""
        if index not in self._sentences:
            # Not from the batch's own numbers: which batch asks first depends on the workers.
            self._sentences[index] = sentences_about(self.view(index), np.random.default_rng(index), 10)
        return self._sentences[index]


def _unlisted(detected: list[np.ndarray], view: View) -> np.ndarray:
    """Detected people who are not among the labelled ones."""
    if view.everyone_listed:
        return np.zeros((0, 4), np.float32)
    return np.array([b for b in detected if _best_iou(b, view.boxes) < 0.4], np.float32).reshape(-1, 4)


def _best_iou(box: np.ndarray, boxes: np.ndarray) -> float:
    if not len(boxes):
        return 0.0
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    shared = np.clip(high - low, 0, None).prod(1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod() - shared
    return float((shared / np.maximum(union, 1e-6)).max())


def look(view: View) -> Observations:
    """What the describer sees in a view."""
    said = [caption for own in view.captions for caption in own] if len(view.boxes) == 1 else []
    return observe(view.image, view.people(), view.things, view.strangers, view.crowds, said)


def sentences_about(view: View, rng: Generator, count: int) -> list[list[str]]:
    """Describer's sentences and captions for each person; half of the former without a position word."""
    observations = look(view)
    found = []
    for i in range(len(view.boxes)):
        made: list[str] = []
        for with_position in (True, False):
            made += [s.text for s in describe(observations, i, rng, count=count // 2, with_position=with_position)]
        own = view.captions[i] if i < len(view.captions) else ()
        found.append([*made, *own])
    return found


class PointingData(torch.utils.data.IterableDataset[Batch]):
    """Endless batches.

    Args:
        photographs: pictures with people.
        athletes: pictures of one person each, for crops alone.
        tokenizer: file of the tokenizer.
        pictures, prompts_each, crops_each, crops: sizes of a batch: pictures, prompts of each, crops of each at
            most, crops in all (athletes fill up).
        paste, mosaic: probability of a pasted person, of two pictures side by side.
        seed: random state.
        start, stride: batches number `start`, `start + stride`, ... are made.
    """

    def __init__(
        self,
        photographs: Photographs,
        athletes: Photographs,
        tokenizer: Path,
        *,
        pictures: int = 8,
        prompts_each: int = 12,
        crops_each: int = 2,
        crops: int = 20,
        paste: float = 0.3,
        mosaic: float = 0.25,
        seed: int = 0,
        start: int = 0,
        stride: int = 1,
    ) -> None:
        self.photographs, self.athletes = photographs, athletes
        self.tokenizer_file = tokenizer
        self.pictures, self.prompts_each = pictures, prompts_each
        self.crops_each, self.crops = crops_each, crops
        self.paste, self.mosaic = paste, mosaic
        self.seed, self.start, self.stride = seed, start, stride
        self.upright = [i for i, s in enumerate(photographs.samples) if s.people.size[0] > s.people.size[1]]
        self.lying = [i for i, s in enumerate(photographs.samples) if s.people.size[0] <= s.people.size[1]]
        self.alone = [
            i for i, s in enumerate(photographs.samples) if len(s.people) == 1 and s.captions and s.fully_labelled
        ]
        self.alone_upright = sorted(set(self.alone) & set(self.upright))
        self.donors = [
            (i, j)
            for i, s in enumerate(photographs.samples)
            if s.people.masks is not None
            for j in range(len(s.people))
            if s.people.masks.known[j] and (s.people.confidence[j] > 0).sum() >= 8
        ]
        # Captions of other pictures by the things they name: false where none of these is seen.
        named = [(caption, things_in(caption)) for i in self.alone for caption in photographs.samples[i].captions]
        self.captions = [(caption, things) for caption, things in named if things]
        self.said = [caption for sample in photographs.samples for caption in sample.captions]
        self._tokenizer: Tokenizer | None = None

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        number = self.start + (worker.id if worker else 0) * self.stride
        step = (worker.num_workers if worker else 1) * self.stride
        while True:
            yield self.batch(number)
            number += step

    def batch(self, number: int) -> Batch:
        """Batch number `number` of this seed, whoever makes it."""
        rng = np.random.default_rng((self.seed, number))
        upright = rng.random() < len(self.upright) / max(1, len(self.photographs))
        pool = self.upright if upright else self.lying
        canvas = UPRIGHT if upright else LYING
        parts = Parts(canvas)
        for _ in range(self.pictures):
            self._add_picture(parts, pool, canvas, rng)
        source = self.athletes if len(self.athletes) else self.photographs
        while len(parts.crops) < self.crops:
            view = source.view(int(rng.integers(len(source))))
            view = view.mirrored() if rng.random() < 0.5 else view
            parts.add_crop(view, 0, NOBODY, None, rng)
        chosen = rng.choice(len(self.said), CAPTIONS) if self.said and self.prompts_each else ()
        for caption in (self.said[int(i)] for i in chosen):
            parts.add_caption(self._ids(caption), things_in(caption))
        return parts.batch(self._sigmas())

    def _sigmas(self) -> torch.Tensor:
        return torch.tensor(self.photographs.samples[0].people.skeleton.sigmas, dtype=torch.float32)

    def _add_picture(self, parts: Parts, pool: list[int], canvas: tuple[int, int], rng: Generator) -> None:
        view, sentences = varied(*self.composed(pool, canvas is LYING, rng), rng)
        fit = min(canvas[0] / view.size[0], canvas[1] / view.size[1])
        scale = fit * (rng.uniform(0.7, 1.0) if rng.random() < 0.4 else 1.0)
        first = parts.add_picture(view, scale)
        small = view.resized((max(1, round(view.size[0] * scale)), max(1, round(view.size[1] * scale))))
        for _ in range(self.prompts_each):
            asked = self._ask(small, sentences, rng)
            if asked is not None:
                parts.add_prompt(asked, first)
        labelled = np.flatnonzero((view.known > 0).sum(1) >= 1)
        # People with a mask teach both answers, so they come first.
        order = rng.random(len(labelled)) - np.array([view.masks[i] is not None for i in labelled], float)
        chosen = labelled[order.argsort()][: self.crops_each]
        for person in chosen:
            parts.add_crop(view, int(person), first + int(person), scale, rng)

    def composed(self, pool: list[int], lying: bool, rng: Generator) -> tuple[View, list[list[str]]]:
        """A picture of the pool, perhaps with somebody pasted or others beside it, and sentences about each person."""
        if lying and rng.random() < self.mosaic and len(self.alone) > 1:
            # Upright pictures fill a lying canvas; the others are let in so that all captions are read.
            pool = self.alone_upright if rng.random() < 0.7 and len(self.alone_upright) > 2 else self.alone
            chosen = rng.choice(pool, 2 if rng.random() < 0.75 else 3, replace=False)
            view = self.photographs.view(int(chosen[0]))
            for other in chosen[1:]:
                view = beside(view, self.photographs.view(int(other)))
            return view, self._told(view, rng)
        index = int(pool[rng.integers(len(pool))])
        view = self.photographs.view(index)
        if rng.random() < self.paste and self.donors:
            made = self.with_somebody(view, rng)
            if made is not None:
                return made, self._told(made, rng)
        return view, self.photographs.sentences(index) if self.prompts_each else []

    def _told(self, view: View, rng: Generator) -> list[list[str]]:
        return sentences_about(view, rng, 4) if self.prompts_each else []

    def with_somebody(self, view: View, rng: Generator) -> View | None:
        """The view with a person of another picture pasted in; None where there is no place."""
        index, person = self.donors[int(rng.integers(len(self.donors)))]
        donor = self.photographs.view(index)
        height = donor.boxes[person, 3] - donor.boxes[person, 1]
        usual = np.median(view.boxes[:, 3] - view.boxes[:, 1]) if len(view.boxes) else view.size[0] / 2
        scale = float(np.clip(usual * rng.uniform(0.7, 1.3) / max(height, 1), 0.2, 2.0))
        width = (donor.boxes[person, 2] - donor.boxes[person, 0]) * scale
        x = int(rng.uniform(-0.2 * width, max(1.0, view.size[1] - 0.8 * width)))
        y = int(rng.uniform(0, max(1.0, view.size[0] - 0.8 * height * scale)))
        return pasted(view, donor, person, scale, (x, y))

    def _ask(self, view: View, sentences: list[list[str]], rng: Generator) -> Asked | None:
        """A prompt about somebody, or about nobody."""
        if rng.random() < 0.2 or not len(view.boxes):
            return self._ask_nobody(view, rng)
        person = int(rng.integers(len(view.boxes)))
        kind = rng.choice(["point", "scribble", "box", "text", "both"], p=[0.27, 0.14, 0.07, 0.44, 0.08])
        asked = Asked(person)
        if kind == "text" or (kind == "both" and rng.random() < 0.5):
            texts = sentences[person]
            if not texts:
                kind = "point"
            else:
                asked.words = self._ids(texts[int(rng.integers(len(texts)))])
        if kind in ("point", "both"):
            for _ in range(1 if kind == "point" and rng.random() < 0.8 else 2):
                asked.points.append(point_on(view, person, rng))
                asked.kinds.append(POSITIVE)
            if rng.random() < 0.15 and len(view.boxes) > 1:
                other = (person + int(rng.integers(1, len(view.boxes)))) % len(view.boxes)
                asked.points.append(point_on(view, other, rng))
                asked.kinds.append(NEGATIVE)
        if kind == "scribble":
            asked.points = scribble_on(view, person, rng, 12)
            asked.kinds = [STROKE] * len(asked.points)
        if kind == "box":
            asked.box = jittered(view.boxes[person], rng, 0.04)
        return asked

    def _ask_nobody(self, view: View, rng: Generator) -> Asked | None:
        height, width = view.size
        if not view.everyone_listed:
            return None
        taken = np.concatenate((view.boxes, view.crowds))
        kind = rng.random()
        if kind < 0.5:
            words = self._of_nobody(view, rng)
            return None if words is None else Asked(NOBODY, words=self._ids(words))
        for _ in range(10):
            x, y = rng.uniform(0, width), rng.uniform(0, height)
            margin = 3
            inside = (
                (taken[:, 0] - margin < x)
                & (x < taken[:, 2] + margin)
                & (taken[:, 1] - margin < y)
                & (y < taken[:, 3] + margin)
            )
            if inside.any():
                continue
            if kind < 0.85:
                return Asked(NOBODY, points=[(x, y)], kinds=[POSITIVE])
            w, h = rng.uniform(0.05, 0.3, 2) * (width, height)
            box = np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2], np.float32)
            if _best_iou(box, taken) < 0.05:
                return Asked(NOBODY, box=box)
        return None

    def _of_nobody(self, view: View, rng: Generator) -> str | None:
        """Words that fit nobody here: a false description, another picture's caption, or a thing that is not there."""
        kind = rng.random()
        if kind < 0.5 or view.things is None:
            sentence = describe_nobody(look(view), rng)
            return None if sentence is None else sentence.text
        seen = {name for name, _, _ in view.things}
        if kind < 0.8 and self.captions:
            for _ in range(10):
                caption, things = self.captions[int(rng.integers(len(self.captions)))]
                if not things & seen:
                    return caption
        absent = [name for name in COCO_THINGS if name not in seen]
        return str(rng.choice(("a {}", "the {}", "one {}", "{}"))).format(rng.choice(absent))

    def _ids(self, text: str) -> list[int]:
        if self._tokenizer is None:
            self._tokenizer = Tokenizer.from_file(str(self.tokenizer_file))
        return self._tokenizer.encode(text).ids[:WORDS]


def varied(view: View, sentences: list[list[str]], rng: Generator) -> tuple[View, list[list[str]]]:
    """Mirrored, in other light, zoomed, each at random; words go with the picture."""
    if rng.random() < 0.5:
        view = view.mirrored()
        sentences = [[mirror_words(s) for s in own] for own in sentences]
    view = replace(view, image=_colours(view.image, rng))
    return (_zoomed(view, rng) if rng.random() < 0.3 else view), sentences


def _colours(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Brightness, contrast, a slight cast. Hues stay, since words name them."""
    if rng.random() < 0.4:
        return image
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.96, 1.04, 3)
    shift = rng.uniform(-20, 20) + 128 * (1 - gain)
    table = np.clip(np.arange(256)[:, None] * gain + shift, 0, 255).astype(np.uint8)
    return np.stack([table[:, c][image[..., c]] for c in range(3)], -1)


def _zoomed(view: View, rng: Generator) -> View:
    """A window that holds every labelled person and stranger."""
    height, width = view.size
    boxes = np.concatenate((view.boxes, view.crowds, view.strangers))
    if not len(boxes):
        return view
    low = np.clip(boxes[:, :2].min(0), 0, (width, height))
    high = np.clip(boxes[:, 2:].max(0), 0, (width, height))
    x0, y0 = (int(rng.uniform(0, max(v, 1e-3))) for v in low)
    x1 = math.ceil(rng.uniform(high[0], width))
    y1 = math.ceil(rng.uniform(high[1], height))
    if x1 - x0 < 64 or y1 - y0 < 64:
        return view
    return view.cropped((x0, y0, min(x1, width), min(y1, height)))
