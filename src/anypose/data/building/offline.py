"""Captions without an endpoint: true of one person by what is annotated and seen, and labelled synthetic.

The paper's three steps are the describer's: facts from the whole picture (place, size, neighbours, what is held or sat
on), facts from the person's own pixels and limbs (clothing colour, posture), and the two merged into one sentence that
is true of this person and clearly false of everybody else.

Where there is no such sentence, as in crowds, the person is told by a landmark of the picture it is nearest to, and
where that fails too, or not everybody is listed, by a spot that lies well inside its mask and in nobody else's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anypose.data.building.landmarks import Distances, nearest, spot
from anypose.data.describe import Observations, describe, observe
from anypose.data.sample import Sample

NAME = "offline"


@dataclass(frozen=True)
class Caption:
    """Words for one person.

    Attributes:
        text: the words.
        position: whether they hold a word of position.
        by: who made them: "offline", or the model of an endpoint.
        spot: whether only a spot of the picture tells the person apart.
        kinds: what they speak of (position, size, colour, posture, thing), where that is known.
    """

    text: str
    position: bool
    by: str
    spot: bool = False
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidates:
    """The sentences that one may choose from, with and without a word of position."""

    placed: tuple[Caption, ...] = ()
    unplaced: tuple[Caption, ...] = ()

    def choose(self, unplaced: bool, before: Sequence[Caption] = ()) -> Caption | None:
        """A sentence that is not among those chosen before, or None: of the kind wanted if there is one, and one that
        speaks of something else if there is one."""
        said, spoken = {caption.text.lower() for caption in before}, {caption.kinds for caption in before}
        pools = (self.unplaced, self.placed) if unplaced else (self.placed, self.unplaced)
        left = [caption for pool in pools for caption in pool if caption.text.lower() not in said]
        fresh = [caption for caption in left if caption.kinds not in spoken]
        return next(iter(fresh or left), None)


def candidates(
    sample: Sample, image: NDArray[np.uint8], rows: list[int], seed: int, count: int = 1
) -> list[Candidates]:
    """For each of the people `rows` of a picture (H, W, 3) what can be said of it alone; where `count` sentences are
    wanted of each, more to choose from."""
    observed = observed_in(sample, image)
    ids = sample.people.ids
    many = 1 if count == 1 else 4 * count
    found = []
    for row in rows:
        rng = np.random.default_rng([0 if ids is None else int(ids[row]) % (1 << 63), seed, 3])
        both: list[tuple[Caption, ...]] = []
        for position in (True, False):
            made = describe(observed, row, rng, many, position) if observed is not None else []
            both.append(tuple(Caption(one.text, position, NAME, kinds=tuple(sorted(one.kinds))) for one in made))
        found.append(Candidates(*both) if any(both) else _told_otherwise(sample, observed, row, rng))
    return found


def observed_in(sample: Sample, image: NDArray[np.uint8]) -> Observations | None:
    """Everything that labels and pixels tell of a picture's people; None where not all of them are listed."""
    if not sample.fully_labelled:
        return None
    return observe(image, sample.people, crowds=sample.crowds, captions=sample.captions, thorough=True)


def _told_otherwise(sample: Sample, observed: Observations | None, row: int, rng: np.random.Generator) -> Candidates:
    """Words for somebody whom no sentence of the describer tells apart."""
    if observed is not None:
        if observed.entities == 1:
            return Candidates(unplaced=(Caption("the only person in the picture", False, NAME),))
        text = nearest(observed, Distances.of(sample.people, sample.crowds), row, rng)
        if text is not None:
            return Candidates(placed=(Caption(text, True, NAME, kinds=("position",)),))
    text = spot(observed, sample.people, row, rng)
    return Candidates(() if text is None else (Caption(text, True, NAME, spot=True, kinds=("position",)),))
