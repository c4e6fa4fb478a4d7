"""Telling: the pointer's words, learned against pictures that are encoded once.

What a sentence means of people whom the first look has found needs no pixels any more. A picture is encoded once and
asked about a thousand times, so that places in a row ("third from the left") are learned in minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from anypose.data import coco
from anypose.data.composing import View
from anypose.data.describe import describe, describe_nobody
from anypose.models.promptable.pointer import Pointer
from anypose.models.promptable.pointer.first_look import FirstLook
from anypose.ops import boxes as box_ops
from anypose.recipes.pointing_batch import WORDS, Parts
from anypose.recipes.pointing_data import LYING, UPRIGHT, Photographs, PointingData, look, varied
from anypose.recipes.recipe import Recipe

SURE = 0.5  # what a candidate's own score adds to how well words fit it
AMONG_OTHERS = 0.7  # share of views that begin with a picture of several people


class Told(NamedTuple):
    """V encoded pictures of K candidates, and P sentences about them."""

    tokens: Tensor  # V K D
    refined: Tensor  # V K 4
    scores: Tensor  # V K
    sizes: Tensor  # V 2
    picture: Tensor  # P int64
    words: Tensor  # P L int64
    good: Tensor  # P K+1 bool, the candidates who are meant; the last is nobody

    def to(self, device: torch.device | str) -> Told:
        """The batch on another device."""
        return Told(*(part.to(device) for part in self))


class Telling(Recipe):
    """Teaches words and their match with people; everything else of the pointer stands still.

    Args:
        out: folder of the run; the encoded views are kept in it as views.pt.
        people: COCO keypoint file, and the folder of its pictures.
        words: folder with tokenizer.json (experiments/words.py).
        weights: a safetensors file of the pointer to go on from.
        model: options of `Pointer`.
        views: number of views; pictures, prompts_each: of a batch.
        lr: peak learning rate; `lr_words` of the table of words.
        workers: processes that make views; 0 makes them in this one.
    """

    def __init__(
        self,
        *,
        out: Path,
        people: tuple[str, str],
        words: str,
        weights: str,
        model: dict[str, Any] | None = None,
        views: int = 3000,
        pictures: int = 32,
        prompts_each: int = 14,
        lr: float = 1.5e-3,
        lr_words: float = 3e-3,
        workers: int = 1,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        pointer = Pointer(**(model or {}))
        pointer.load_state_dict({name: value.float() for name, value in load_file(weights).items()})
        first = pointer.first
        table = first.words.table
        parts: tuple[nn.Module, ...] = (first.words, first.say, first.listen, first.be, first.be_at)
        rest = [p for part in parts for p in part.parameters() if p is not table]
        pointer.requires_grad_(requires_grad=False)
        for parameter in (table, first.counted, *rest):
            parameter.requires_grad_()
        groups: list[dict[str, Any]] = [
            {"params": [*rest, first.counted], "lr": lr},
            {"params": [table], "lr": lr_words, "weight_decay": 0.0},
        ]
        super().__init__(model=pointer, groups=groups)
        self._tokenizer = Tokenizer.from_file(str(Path(words) / "tokenizer.json"))
        self._pictures, self._prompts_each, self._seed = pictures, prompts_each, seed
        kept = out / "views.pt"
        if not kept.exists():
            out.mkdir(parents=True, exist_ok=True)
            made = encoded(pointer, Views(people, Path(words) / "tokenizer.json", views, seed), workers)
            torch.save(made, kept.with_suffix(".partial"))
            kept.with_suffix(".partial").replace(kept)
        self._views: list[dict[str, Any]] = torch.load(kept, weights_only=True)

    def batches(self, start: int, stride: int = 1) -> Iterator[Told]:
        several = [i for i, view in enumerate(self._views) if view["overlap"].shape[1] > 1]
        number = start
        while True:
            rng = np.random.default_rng((self._seed, number))
            chosen = rng.choice(several, min(self._pictures, len(several)), replace=False)
            yield self._told([self._views[i] for i in chosen], rng)
            number += stride

    def losses(self, batch: Told) -> dict[str, Tensor]:
        batch = batch.to(next(self.model.parameters()).device)
        pointer = self.model
        assert isinstance(pointer, Pointer)
        logs = fits(pointer.first, batch).log_softmax(1)
        return {"words": -torch.where(batch.good, logs, torch.full_like(logs, -1e4)).logsumexp(1).mean()}

    def _told(self, views: list[dict[str, Any]], rng: Generator) -> Told:
        picture: list[int] = []
        ids: list[list[int]] = []
        good: list[Tensor] = []
        for number, view in enumerate(views):
            for _ in range(self._prompts_each):
                asked = _asked(view, rng)
                if asked is not None:
                    picture.append(number)
                    ids.append(self._tokenizer.encode(asked[0]).ids[:WORDS])
                    good.append(asked[1])
        if not ids:
            raise ValueError("the first look finds none of the people of these views: train it first")
        words = torch.zeros(len(ids), max(map(len, ids)), dtype=torch.int64)
        for i, own in enumerate(ids):
            words[i, : len(own)] = torch.tensor(own)
        tokens, refined, scores, sizes = (
            torch.stack([view[name].float() for view in views]) for name in ("tokens", "refined", "scores", "sizes")
        )
        return Told(tokens, refined, scores, sizes, torch.tensor(picture), words, torch.stack(good))


def fits(first: FirstLook, told: Told) -> Tensor:
    """Logits (P, K + 1) of each candidate, and nobody, being the one meant."""
    place = first.placed(told.refined, told.scores, told.sizes)
    logits = first.match(told.words, first.words(told.words), told.tokens, place, told.picture)
    scores = told.scores[told.picture]
    logits = torch.where(scores > -1e3, logits + SURE * scores.clamp(-6, 6), torch.full_like(logits, -1e4))
    return F.pad(logits, (0, 1))


def _asked(view: dict[str, Any], rng: Generator) -> tuple[str, Tensor] | None:
    """A sentence and who of the candidates is meant (K + 1), nobody last; None where the first look lacks them."""
    overlap = view["overlap"].float()
    good = torch.zeros(len(overlap) + 1, dtype=torch.bool)
    if view["nobody"] and rng.random() < 0.12:
        good[-1] = True
        return str(rng.choice(view["nobody"])), good
    person = int(rng.integers(len(view["told"])))
    where, others = view["told"][person]
    sentences = where if where and (not others or rng.random() < 0.6) else others
    with_person = overlap[:, person]
    good[:-1] = (with_person >= 0.5) & (with_person >= overlap.amax(1)) & (view["scores"].float() > -1e3)
    return (str(rng.choice(sentences)), good) if sentences and good.any() else None


class Views(torch.utils.data.Dataset[dict[str, Any]]):
    """Pictures in which everybody is listed, varied, with sentences; number i is the same whoever makes it."""

    def __init__(self, people: tuple[str, str], tokenizer: Path, count: int, seed: int) -> None:
        samples = [sample for sample in coco.read(*people) if len(sample.people)]
        self._data = PointingData(Photographs(samples, {}), Photographs([], {}), tokenizer, seed=seed)
        self._several = [i for i, s in enumerate(samples) if len(s.people) > 1 and s.fully_labelled]
        self._count, self._seed = count, seed

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> dict[str, Any]:
        if number >= self._count:
            raise IndexError(number)
        rng = np.random.default_rng((self._seed, number, 1))
        view = self._view(rng)
        while not view.everyone_listed:
            view = self._view(rng)
        view, _ = varied(view, [], rng)
        observations = look(view)
        told = []
        for person, captions in zip(range(len(view.boxes)), [*view.captions, *[()] * len(view.boxes)]):
            where, others = (
                [s.text for s in describe(observations, person, rng, count=count, with_position=position)]
                for position, count in ((True, 12), (False, 6))
            )
            told.append([where, [*others, *captions]])
        lacking = [describe_nobody(observations, rng) for _ in range(3)]
        canvas = LYING if view.size[1] >= view.size[0] else UPRIGHT
        scale = min(canvas[0] / view.size[0], canvas[1] / view.size[1])
        parts = Parts(canvas)
        parts.add_picture(view, scale * (rng.uniform(0.7, 1.0) if rng.random() < 0.3 else 1.0))
        return {
            "image": parts.pictures[0],
            "size": parts.sizes[0],
            "people": np.array(parts.people, np.float32).reshape(-1, 4),
            "told": told,
            "nobody": [sentence.text for sentence in lacking if sentence is not None],
        }

    def _view(self, rng: Generator) -> View:
        data = self._data
        if not self._several or rng.random() >= AMONG_OTHERS:
            lying = rng.random() < 0.5 or not data.upright
            return data.composed(data.lying if lying and data.lying else data.upright, lying, rng)[0]
        view = data.photographs.view(int(rng.choice(self._several)))
        for chance in (0.5, 0.2):
            if data.donors and rng.random() < chance:
                view = data.with_somebody(view, rng) or view
        return view


@torch.no_grad()
def encoded(pointer: Pointer, views: Views, workers: int) -> list[dict[str, Any]]:
    """What the first look finds in each view, and the overlap (K, T) of its candidates with the people."""
    pointer = pointer.eval()
    made = []
    for view in torch.utils.data.DataLoader(views, batch_size=None, num_workers=workers):
        image, people = torch.as_tensor(view["image"]), torch.as_tensor(view["people"])
        size = torch.tensor([[float(side) for side in view["size"]]])
        found = pointer.encode(image.permute(2, 0, 1)[None].float(), size)
        kept = {"tokens": found.tokens[0], "refined": found.refined[0], "scores": found.scores[0], "sizes": size[0]}
        kept["overlap"] = box_ops.iou(found.boxes[0], people)
        halves = {name: value.half() for name, value in kept.items()}  # scores of repeats are -1e4: it fits
        made.append({**halves, "told": view["told"], "nobody": view["nobody"]})
    return made
