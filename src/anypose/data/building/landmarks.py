"""People told by a place of the picture, where nothing else tells them apart: nearest to a corner, or at a spot.

"Nearest" holds of a body's nearest pixel and of its middle, with room to everybody else who may be meant, crowds
included. A spot lies well inside the person's own mask and in nobody else's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from anypose.data.describe import Observations, own_facts, referent
from anypose.masks import Masks
from anypose.people import People

# x and y as shares of the picture's sides.
LANDMARKS = {
    "the top left corner": (0.0, 0.0),
    "the top right corner": (1.0, 0.0),
    "the bottom left corner": (0.0, 1.0),
    "the bottom right corner": (1.0, 1.0),
    "the middle of the left edge": (0.0, 0.5),
    "the middle of the right edge": (1.0, 0.5),
    "the middle of the top edge": (0.5, 0.0),
    "the middle of the bottom edge": (0.5, 1.0),
    "the centre of the picture": (0.5, 0.5),
    "the middle of the upper left quarter": (0.25, 0.25),
    "the middle of the upper right quarter": (0.75, 0.25),
    "the middle of the lower left quarter": (0.25, 0.75),
    "the middle of the lower right quarter": (0.75, 0.75),
}
_NEAREST = ("nearest to", "closest to", "nearest")
_ROOM = 0.03  # of the picture's diagonal, between the nearest and the next
_CELLS = 120  # pixels are looked at in so many columns and rows at most
# Names of shares of a side; around such a spot 1.5 % of either side must be the person's too.
_SHARES = {
    0.1: "a tenth", 0.2: "a fifth", 0.25: "a quarter", 1 / 3: "a third", 0.4: "two fifths", 0.5: "half",
    0.6: "three fifths", 2 / 3: "two thirds", 0.75: "three quarters", 0.8: "four fifths", 0.9: "nine tenths",
}  # fmt: skip
_CLEARANCE = 0.015
# For the small and the hidden: whole percents, with less room.
_PERCENT_CLEARANCE = 0.005


@dataclass(frozen=True)
class Distances:
    """How far N people and C crowds are from L landmarks, in shares of the picture's diagonal.

    nearest: (N + C, L) of the nearest pixel. middle: (N + C, L) of the middle; for a crowd its nearest pixel again,
    since somebody may stand there.
    """

    nearest: NDArray[np.float64]
    middle: NDArray[np.float64]

    @classmethod
    def of(cls, people: People, crowds: Masks | None) -> Distances:
        height, width = people.size
        diagonal = float(np.hypot(height, width))
        at = np.array(list(LANDMARKS.values())) * (width, height)
        nearest, middle = [], []
        for row in range(len(people)):
            known = people.masks is not None and people.masks.known[row]
            places = _places(people.masks.bitmap(row)) if known and people.masks is not None else None
            if places is None or not len(places):
                places = people.boxes[row].reshape(2, 2).astype(np.float64)
                low, high = places
                nearest.append(np.hypot(*np.maximum(0, np.maximum(low - at, at - high)).T))
            else:
                nearest.append(np.hypot(*(places[:, None] - at).transpose(2, 0, 1)).min(0))
            middle.append(np.hypot(*(places.mean(0) - at).T))
        for bitmap in crowds.bitmaps() if crowds is not None else ():
            far = np.hypot(*(_places(bitmap)[:, None] - at).transpose(2, 0, 1)).min(0, initial=diagonal)
            nearest.append(far)
            middle.append(far)
        return cls(np.array(nearest) / diagonal, np.array(middle) / diagonal)

    def landmarks(self, row: int, rivals: Sequence[int]) -> list[str]:
        """Those that a person is surely nearer to than each of the rivals."""
        if not rivals:
            return []
        apart = (self.nearest[rivals] > self.nearest[row] + _ROOM) & (self.middle[rivals] > self.middle[row] + _ROOM)
        return [name for name, sure in zip(LANDMARKS, apart.all(0)) if sure]


def nearest(observed: Observations, distances: Distances, row: int, rng: Generator) -> str | None:
    """Words for the person of a landmark, alone or among those in red, those who sit, ...; None where there is none."""
    own = own_facts(observed, row)
    own = [own[k] for k in rng.permutation(len(own))]
    found: list[tuple[tuple[str, ...], str]] = []
    for facts in [(), *((fact,) for fact in own), *combinations(own[:6], 2)]:
        possible = observed.truth(*facts) != 0
        rivals = [other for other in np.flatnonzero(possible).tolist() if other != row]
        landmarks = distances.landmarks(row, rivals)
        found += [(facts, landmarks[k]) for k in rng.permutation(len(landmarks))[:3]]
        if len(found) >= 12:
            break
    if not found:
        return None
    facts, landmark = found[int(rng.integers(len(found)))]
    return f"{referent(observed, row, facts, rng)} {_NEAREST[int(rng.integers(len(_NEAREST)))]} {landmark}"


def spot(observed: Observations | None, people: People, row: int, rng: Generator) -> str | None:
    """Words for a spot that is this person's alone, with what else is true of it; None where there is no such spot."""
    own = _own(people, row)
    shares = list(_SHARES)
    spots = _clear(own, shares, shares, _CLEARANCE)
    if spots:
        x, y = spots[int(rng.integers(len(spots)))]
        where = _in_words(x, y)
    else:
        percents = [percent / 100 for percent in range(1, 100)]
        spots = _clear(own, percents, percents, _PERCENT_CLEARANCE)
        if not spots:
            return None
        x, y = spots[int(rng.integers(len(spots)))]
        where = (
            f"seen {round(100 * x)} percent of the way across the picture and {round(100 * y)} percent of the way down"
        )
    facts = own_facts(observed, row) if observed is not None else []
    chosen = tuple(facts[k] for k in rng.permutation(len(facts))[: int(rng.integers(1, 3))])
    who = "the person" if observed is None else referent(observed, row, chosen, rng)
    return f"{who} {where}"


def _in_words(x: float, y: float) -> str:
    if (x, y) == (0.5, 0.5):
        return "at the exact centre of the picture"
    across = "half way across the picture" if x == 0.5 else f"{_SHARES[x]} of the way across the picture"
    down = "half way down" if y == 0.5 else f"{_SHARES[y]} of the way down"
    return f"{across} and {down}"


def _places(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(P, 2) x, y of pixels of a mask (H, W), of every few rows and columns."""
    step = max(1, max(mask.shape) // _CELLS)
    rows, columns = np.nonzero(mask[::step, ::step])
    return np.stack((columns, rows), 1).astype(np.float64) * step + 0.5


def _own(people: People, row: int) -> NDArray[np.bool_]:
    """(H, W) the mask of a person without the pixels that are somebody else's too."""
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
    return own


def _clear(
    own: NDArray[np.bool_], across: Sequence[float], down: Sequence[float], clearance: float
) -> list[tuple[float, float]]:
    """Spots, in shares of the sides, that a mask (H, W) covers with a clearance around."""
    height, width = own.shape
    spots = []
    for y in down:
        rows = own[int((y - clearance) * height) : int((y + clearance) * height) + 1]
        if not rows.any():
            continue
        for x in across:
            around = rows[:, int(max(0, x - clearance) * width) : int((x + clearance) * width) + 1]
            if around.all():
                spots.append((x, y))
    return spots
