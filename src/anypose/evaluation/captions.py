"""What people say of whole pictures, as questions: single people side by side, and words that are true elsewhere.

A caption of a picture with one person is a person's own sentence about that person. Beside others it has to be told
from them (mosaics); in another picture, where what it names is not, it is true of nobody (refusals).
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.composing import View, beside
from ..data.sample import DataError, Sample
from ..data.things import things_in
from ..pictures import PictureError
from ..prompt import Prompt

WRONG = 0.05  # the share of true captions that may be refused


@dataclass(frozen=True)
class Mosaic(Sample):
    """Pictures of one person each, side by side; each person is asked for by a caption of its own picture."""

    parts: tuple[Sample, ...] = ()

    def _opened(self) -> NDArray[np.uint8]:
        return _side_by_side(self.parts).image


@dataclass
class Refusals:
    """Presence, or the score where a system gives none, of an answer to captions.

    Attributes:
        true: (N,) for a caption of the picture asked about.
        false: (N,) for a caption of another picture that names what this one has not.
        refused: (N, 2) whether the system, left to itself, refused the true and the false one.
        faults: one line for each picture that could not be opened.
    """

    true: list[float] = field(default_factory=list)
    false: list[float] = field(default_factory=list)
    refused: list[tuple[bool, bool]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def alone(samples: Sequence[Sample]) -> list[Sample]:
    """The pictures with captions in which one labelled person is and nobody else."""
    return [s for s in samples if len(s.people) == 1 and s.fully_labelled and s.crowds is None and s.captions]


def mosaics(samples: Sequence[Sample], seed: int = 0) -> tuple[list[Sample], list[str]]:
    """Every picture of one person beside one other, or two others where it is upright; and what could not be opened.

    Neighbours are drawn so that no caption names only what another picture's captions name too, as far as that can be
    told from the kinds of things they name.
    """
    random = np.random.default_rng([seed, 4])
    left, faults = alone(samples), list[str]()
    made: list[Sample] = []
    random.shuffle(left)
    while len(left) > 1:
        parts = [left.pop()]
        wanted = 3 if parts[0].people.size[0] > parts[0].people.size[1] else 2
        for other in [s for s in left if all(_told_apart(s, part) for part in parts)][-(wanted - 1) :]:
            parts.append(other)
            left.remove(other)
        if len(parts) < 2:
            continue
        try:
            view = _side_by_side(parts)
        except (PictureError, DataError, OSError) as error:
            faults.append(" ".join(str(error).split()))
            continue
        said = tuple(part.captions[int(random.integers(len(part.captions)))] for part in parts)
        people = replace(view.people(), ids=np.arange(len(parts)))
        name = " + ".join(part.name for part in parts)
        made.append(Mosaic(name, parts[0].path, people, person_captions=said, parts=tuple(parts)))
    return made, faults


def ask_nobody(system: Any, samples: Sequence[Sample], seed: int = 0) -> Refusals:
    """A true caption of each picture of one person, and one of another picture that is false here."""
    random = np.random.default_rng([seed, 5])
    pictures, out = alone(samples), Refusals()
    said = [(caption, things_in(caption)) for sample in pictures for caption in sample.captions]
    for sample in pictures:
        here = _named(sample)
        false = [caption for caption, things in said if things and not things & here]
        true = sample.captions[int(random.integers(len(sample.captions)))]
        if not false:
            continue
        prompts = [Prompt(text=true), Prompt(text=false[int(random.integers(len(false)))])]
        try:
            scene = system.encode(sample.image())
        except (PictureError, DataError, OSError) as error:
            out.faults.append(" ".join(str(error).split()))
        else:
            sure = _sure(scene, prompts)
            out.true.append(sure[0])
            out.false.append(sure[1])
            first, second = scene.find(prompts)
            out.refused.append((len(first) == 0, len(second) == 0))
    return out


def refused(true: NDArray[np.float64], false: NDArray[np.float64], weights: NDArray[np.int64]) -> float:
    """The share of false captions below the threshold that refuses `WRONG` of the true ones; NaN without any.

    true, false: (N,); weights: (N,) how often each picture counts.
    """
    if not weights.sum():
        return float("nan")
    order = true.argsort(kind="stable")
    below = weights[order].cumsum() / weights.sum()
    threshold = true[order][np.searchsorted(below, WRONG, side="right")]
    return float(weights[false < threshold].sum() / weights.sum())


def _sure(scene: Any, prompts: list[Prompt]) -> list[float]:
    """How sure the system is that somebody is meant: 0 where it answers nobody whatever is asked of it."""
    options = {"threshold": 0.0} if "threshold" in inspect.signature(scene.find).parameters else {}
    answers = scene.find(prompts, **options)
    sure = [people.scores if people.presence is None else people.presence for people in answers]
    return [float(values.max()) if len(values) else 0.0 for values in sure]


def _named(sample: Sample) -> frozenset[str]:
    return frozenset().union(*map(things_in, sample.captions))


def _told_apart(one: Sample, other: Sample) -> bool:
    """Whether what is named in either picture is not all named in the other."""
    mine, theirs = _named(one), _named(other)
    return not mine & theirs


def _side_by_side(parts: Sequence[Sample]) -> View:
    whole = View.of(parts[0], parts[0].image())
    for part in parts[1:]:
        whole = beside(whole, View.of(part, part.image()))
    return whole
