"""Captions without an endpoint: true of one person by what is annotated and seen, and labelled synthetic.

The paper's three steps are the describer's: facts from the whole picture (place, size, neighbours, what is held or sat
on), facts from the person's own pixels and limbs (clothing colour, posture), and the two merged into one sentence that
is true of this person and clearly false of everybody else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anypose.data.describe import describe, observe
from anypose.data.sample import Sample

NAME = "offline"


@dataclass(frozen=True)
class Caption:
    """Words for one person.

    Attributes:
        text: the words.
        position: whether they hold a word of position.
        by: who made them: "offline", or the model of an endpoint.
    """

    text: str
    position: bool
    by: str


@dataclass(frozen=True)
class Candidates:
    """The sentences that one may choose from: with and without a word of position, None where none is true."""

    placed: Caption | None
    unplaced: Caption | None

    def choose(self, unplaced: bool) -> Caption | None:
        """The sentence of the kind wanted, else the other one, else None."""
        first, second = (self.unplaced, self.placed) if unplaced else (self.placed, self.unplaced)
        return first or second


def candidates(sample: Sample, image: NDArray[np.uint8], rows: list[int], seed: int) -> list[Candidates]:
    """For each of the people `rows` of a picture (H, W, 3) what can be said of it alone.

    Where not everybody is listed, nothing can be said of one person alone.
    """
    if not sample.fully_labelled:
        return [Candidates(None, None) for _ in rows]
    crowds = None if sample.crowds is None else sample.crowds.boxes()
    observed = observe(image, sample.people, crowds=crowds, captions=sample.captions)
    ids = sample.people.ids
    found = []
    for row in rows:
        rng = np.random.default_rng([0 if ids is None else int(ids[row]) % (1 << 63), seed, 3])
        both: list[Caption | None] = []
        for position in (True, False):
            made = describe(observed, row, rng, 1, position)
            both.append(Caption(made[0].text, position, NAME) if made else None)
        found.append(Candidates(*both))
    return found
