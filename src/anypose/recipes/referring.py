"""Referring: the recipe of `promptable/uniphd` (paper section 4.2, and the settings of the release)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from anypose.data import coco, refhuman
from anypose.data.refhuman import Referred
from anypose.data.refhuman_views import Augmentation
from anypose.data.sample import Sample
from anypose.data.shards import Shards
from anypose.models.promptable.uniphd import VARIANTS, UniPHD
from anypose.models.promptable.uniphd.decoder import DecoderLayer
from anypose.models.promptable.uniphd.encoder import EncoderLayer
from anypose.models.promptable.uniphd.losses import Batch
from anypose.recipes.recipe import Recipe
from anypose.recipes.referring_data import batch_of

SWIN = {
    "swin-t": "microsoft/swin-tiny-patch4-window7-224",
    "swin-b": "microsoft/swin-base-patch4-window12-384-in22k",
    "swin-l": "microsoft/swin-large-patch4-window12-384-in22k",
}
ROBERTA = "FacebookAI/roberta-base"


class Referring(Recipe):
    """Trains UniPHD on people who are meant by words, a point or a scribble.

    Args:
        out: folder of the run.
        refhuman_data: RefHuman's file and the folder of its pictures, or None.
        people: a COCO keypoint file and its folder instead, whose people are meant by places alone; or None.
        shards: the folder or address of a packed set (`anypose data pack`) instead, of which a picture's people are
            meant in turn; or None.
        first: take only so many entries, each of another picture; None takes all.
        tokenizer: RoBERTa's tokenizer.json; None asks by places alone.
        variant: of UniPHD. model: options of it that differ.
        pretrained: start from the published Swin and RoBERTa, which are fetched once.
        weights: a safetensors file of UniPHD to go on from, or None.
        batch: pictures of a step.
        kinds: how often a step asks in each way.
        augmentation: options of `Augmentation`; None shows pictures as they are, with a long side of `side`.
        lr: peak rate of what is new; lr_backbone of Swin; lr_text of RoBERTa, which the paper trains like the rest
            and the authors' code, by the name of a module, at Swin's rate.
    """

    blocks = (EncoderLayer, DecoderLayer)

    def __init__(
        self,
        *,
        out: Path,
        refhuman_data: tuple[str, str] | None = None,
        people: tuple[str, str] | None = None,
        shards: str | None = None,
        first: int | None = None,
        tokenizer: str | None = None,
        variant: str = "swin-t",
        model: dict[str, Any] | None = None,
        pretrained: bool = True,
        weights: str | None = None,
        batch: int = 16,
        kinds: dict[str, float] | None = None,
        augmentation: dict[str, Any] | None = None,
        side: int = 640,
        lr: float = 1e-4,
        lr_backbone: float = 1e-5,
        lr_text: float = 1e-4,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        uniphd = UniPHD(**{**VARIANTS[variant], **(model or {})})
        if pretrained:
            start_from_published(uniphd, variant)
        if weights is not None:
            uniphd.load_state_dict(load_file(weights))
        super().__init__(uniphd, _groups(uniphd, lr, lr_backbone, lr_text))
        entries: Sequence[Referred] = [] if people is None else _of_coco(people)
        if refhuman_data is not None:
            # Its entries stay on the disk until their turn comes.
            named = refhuman.read(*refhuman_data)
            entries = [*named, *entries] if entries else named
        self._shards = None if shards is None else Shards(shards, seed)
        if not entries and self._shards is None:
            raise ValueError("there is nobody to learn from: give refhuman_data, people or shards")
        self.entries = entries if first is None else _of_pictures(entries, first)
        self.kinds = kinds or {"text": 0.5, "scribble": 0.25, "point": 0.25}
        self._words: Any = None
        if tokenizer is not None:
            from tokenizers import Tokenizer

            self._words = Tokenizer.from_file(tokenizer)
        else:
            self.kinds = {kind: share for kind, share in self.kinds.items() if kind != "text"}
        self._augmentation = None if augmentation is None else Augmentation(**augmentation)
        self._batch, self._seed, self._side = batch, seed, side

    def batches(self, start: int, stride: int = 1) -> Iterator[Batch]:
        step = start
        for chosen in self._streamed(start, stride) if self._shards else self._chosen(start, stride):
            # What a step learns from follows from its number alone.
            random = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
            names = list(self.kinds)
            index = int(torch.multinomial(torch.tensor(list(self.kinds.values())), 1, generator=random))
            yield batch_of(chosen, names[index], self._augmentation, self._words, self._side, random.initial_seed())
            step += stride

    def _chosen(self, start: int, stride: int) -> Iterator[list[Referred]]:
        """The entries of each batch."""
        count = len(self.entries)
        for step in itertools.count(start, stride):
            epoch, place = divmod(step * self._batch, max(count, self._batch))
            order = torch.randperm(count, generator=torch.Generator().manual_seed(self._seed + epoch)).tolist()
            yield [self.entries[order[(place + i) % count]] for i in range(min(self._batch, count))]

    def _streamed(self, start: int, stride: int) -> Iterator[list[Referred]]:
        """The same from shards: one person of each picture, another in each pass."""
        assert self._shards is not None
        local, rank = divmod(start, stride)
        samples = self._shards.stream(rank, stride, local * self._batch)
        for number in itertools.count(local):
            people = [_of_samples([next(samples)]) for _ in range(self._batch)]
            chosen = [entries[number % len(entries)] for entries in people if entries]
            if not chosen:
                raise ValueError(f"nobody in {self._batch} pictures of {self._shards.place} has a mask and 8 keypoints")
            yield chosen


def start_from_published(model: UniPHD, variant: str) -> None:
    """Takes ImageNet's Swin and RoBERTa from their hubs, or from where they were kept.

    Raises:
        ValueError: there is no published Swin of this variant, or a hub cannot be reached and holds nothing here.
    """
    from transformers import RobertaModel, SwinModel

    if variant not in SWIN:
        raise ValueError(f"there is no published Swin for the variant {variant!r}: set pretrained=False")
    parts: tuple[tuple[str, Any, nn.Module], ...] = (
        (SWIN[variant], SwinModel, model.backbone.model.swin),
        (ROBERTA, RobertaModel, model.words.roberta),
    )
    for name, kind, ours in parts:
        try:
            published = kind.from_pretrained(name)
        except OSError as error:
            raise ValueError(
                f"the weights of huggingface.co/{name} are not kept here and could not be fetched: connect once, or "
                "set pretrained=False to start from nothing"
            ) from error
        state = published.state_dict()
        ours.load_state_dict({key: state[key] for key in ours.state_dict()})


def _groups(model: UniPHD, lr: float, lr_backbone: float, lr_text: float) -> list[dict[str, Any]]:
    special = {"backbone.": lr_backbone, "words.roberta.": lr_text}
    named = dict(model.named_parameters())
    groups = [
        {"params": [value for name, value in named.items() if name.startswith(start)], "lr": rate}
        for start, rate in special.items()
    ]
    rest = [value for name, value in named.items() if not name.startswith(tuple(special))]
    return [*groups, {"params": rest, "lr": lr}]


def _of_coco(people: tuple[str, str]) -> list[Referred]:
    """Everybody with a mask and eight keypoints, as RefHuman chose its people."""
    return _of_samples(coco.read(*people))


def _of_samples(samples: Sequence[Sample]) -> list[Referred]:
    return [
        Referred(sample, row, None, None)
        for sample in samples
        for row in range(len(sample.people))
        if sample.people.masks is not None
        and sample.people.masks.areas()[row] > 0
        and (sample.people.confidence[row] > 0).sum() >= 8
    ]


def _of_pictures(entries: Sequence[Referred], count: int) -> list[Referred]:
    """The first entry of each of the first `count` pictures."""
    by_picture: dict[Path, Referred] = {}
    for entry in entries:
        by_picture.setdefault(entry.sample.path, entry)
    return list(by_picture.values())[:count]
