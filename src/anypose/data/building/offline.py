"""Captions without an endpoint: true of one person by what is annotated and seen, and labelled synthetic.

The paper's three steps are the describer's: facts from the whole picture (place, size, neighbours, what is held or sat
on), facts from the person's own pixels and limbs (clothing colour, posture), and the two merged into one sentence that
is true of this person and clearly false of everybody else.

Where labels and pixels give no such sentence (in crowds above all: somebody there might be meant by almost any words),
or where not everybody is listed, the person is told by a spot of the picture that lies well inside its mask and in
nobody else's. That is stiff English, and counted apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anypose.data.describe import describe, observe
from anypose.data.sample import Sample
from anypose.people import People

NAME = "offline"
# Percent of the picture between two spots that words may name, and around a spot that must be the person's too; small
# people have spots of the second kind only.
_GRIDS = ((5, 2.0), (1, 0.5))


@dataclass(frozen=True)
class Caption:
    """Words for one person.

    Attributes:
        text: the words.
        position: whether they hold a word of position.
        by: who made them: "offline", or the model of an endpoint.
        spot: whether they only name a spot of the picture.
    """

    text: str
    position: bool
    by: str
    spot: bool = False


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
    """For each of the people `rows` of a picture (H, W, 3) what can be said of it alone."""
    observed = None
    if sample.fully_labelled:
        crowds = None if sample.crowds is None else sample.crowds.boxes()
        observed = observe(image, sample.people, crowds=crowds, captions=sample.captions)
    ids = sample.people.ids
    found = []
    for row in rows:
        rng = np.random.default_rng([0 if ids is None else int(ids[row]) % (1 << 63), seed, 3])
        both: list[Caption | None] = []
        for position in (True, False):
            made = describe(observed, row, rng, 1, position) if observed is not None else []
            both.append(Caption(made[0].text, position, NAME) if made else None)
        if both == [None, None]:
            both[0] = _spot(sample.people, row, rng)
        found.append(Candidates(*both))
    return found


def _spot(people: People, row: int, rng: np.random.Generator) -> Caption | None:
    """Words for a spot that is this person's alone; None where the mask holds none with room around it."""
    assert people.masks is not None
    own = people.masks.bitmap(row)
    for other in range(len(people)):
        if other == row or (people.boxes[other, 2:] <= people.boxes[row, :2]).any():
            continue
        if people.masks.known[other]:
            own = own & ~people.masks.bitmap(other)
        else:
            x0, y0, x1, y1 = np.clip(people.boxes[other], 0, None).astype(int)
            own = own.copy()
            own[y0 : y1 + 1, x0 : x1 + 1] = False
    spots = next(filter(None, (_clear(own, *grid) for grid in _GRIDS)), None)
    if spots is None:
        return None
    across, down = spots[int(rng.integers(len(spots)))]
    text = f"the person seen {across} percent of the way across the picture and {down} percent of the way down"
    return Caption(text, True, NAME, spot=True)


def _clear(own: NDArray[np.bool_], step: int, clearance: float) -> list[tuple[int, int]]:
    """Spots in percent across and down that a mask (H, W) covers with a clearance in percent around."""
    height, width = own.shape
    room_x, room_y = clearance * width / 100, clearance * height / 100
    spots = []
    for down in range(step, 100, step):
        rows = own[int(down * height / 100 - room_y) : int(down * height / 100 + room_y) + 1]
        if not rows.any():
            continue
        for across in range(step, 100, step):
            x = across * width / 100
            around = rows[:, int(max(0, x - room_x)) : int(x + room_x) + 1]
            if around.all():
                spots.append((across, down))
    return spots
