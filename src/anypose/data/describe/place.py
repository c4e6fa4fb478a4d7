"""Position and size of people in a picture, from their boxes alone.

Comparisons have margins: what a person looking at the picture could doubt is not known, and people
and crowd regions that were only detected take part, so that "leftmost" is leftmost of them all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anypose.data.describe.colour import Truths

LARGEST_RANK = 5
OVERLOOKED = 0.4
"""Beside somebody, people of less than this part of the height may or may not be counted."""
SIDE_BY_SIDE = 3
"""Up to so many people, "on the left" means the leftmost wherever in the picture that is."""


@dataclass(frozen=True)
class Places:
    """Pairwise comparisons of E boxes in a picture.

    Attributes:
        size: height and width of the picture, pixels.
        boxes: (E, 4) x0 y0 x1 y1.
        left: (E, E) bool, row surely left of column.
        above: (E, E) bool, row surely higher in the picture than column.
        closer: (E, E) bool, row surely closer to the camera than column.
        crowds: (E,) bool, boxes that hold an unknown number of people.
    """

    size: tuple[int, int]
    boxes: np.ndarray
    left: np.ndarray
    above: np.ndarray
    closer: np.ndarray
    crowds: np.ndarray

    @classmethod
    def of(cls, boxes: np.ndarray, crowds: np.ndarray, size: tuple[int, int]) -> Places:
        height, width = size
        x0, y0, x1, y1 = boxes.astype(np.float64).T
        wide, high = np.maximum(x1 - x0, 1), np.maximum(y1 - y0, 1)
        area = wide * high
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        # Anybody in a crowd may stand anywhere in it.
        x_low, x_high = np.where(crowds, x0, x), np.where(crowds, x1, x)
        y_low, y_high = np.where(crowds, y0, y), np.where(crowds, y1, y)
        margin = np.maximum(0.025 * width, 0.22 * np.minimum(wide[:, None], wide))
        left = x_high[:, None] + margin < x_low
        above = (y_high[:, None] + np.maximum(0.08 * height, 0.15 * np.minimum(high[:, None], high)) < y_low) & (
            y0[:, None] < y0
        )
        closer = (
            (area[:, None] > 1.5 * area)
            & (high[:, None] > 1.15 * high)
            & (y1[:, None] > y1 - 0.03 * height)
            & ~crowds[:, None]
            & ~crowds
        )
        return cls(size, boxes.astype(np.float64), left, above, closer, crowds)

    def __len__(self) -> int:
        return len(self.boxes)


def _first(before: np.ndarray) -> np.ndarray:
    """(E, E) sure precedence -> (E,) whether each is the first of all."""
    others = before | np.eye(len(before), dtype=bool)
    return np.where(others.all(1), 1, np.where(before.any(0), 0, -1)).astype(np.int8)


def _first_either_way(before: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """As `_first`, but -1 where it is a question of whether everybody (E, E) is counted."""
    facts = _first(before)
    facts[(facts == 0) & ~(before & counted).any(0)] = -1
    return facts


def _ranked(before: np.ndarray, counted: np.ndarray, rank: int) -> np.ndarray:
    """(E,) whether each is number `rank` among those that count beside it (E, E: row for column)."""
    count = counted.sum(0)
    lowest, highest = (before & counted).sum(0) + 1, count - (before.T & counted).sum(0)
    exact = (lowest == rank) & (highest == rank)
    return np.where(exact, 1, np.where((rank < lowest) | (rank > highest), 0, -1)).astype(np.int8)


def positions(places: Places) -> Truths:
    """Position facts: leftmost, rightmost, `left=k` and `right=k` (k-th from that side), `side=`,
    `row=`, middle, between, closest, farthest, top, bottom -> (E,) int8."""
    facts: Truths = _regions(places)
    count = len(places)
    if count < 2:
        return facts
    high = places.boxes[:, 3] - places.boxes[:, 1]
    everybody, conspicuous = np.ones((count, count), bool), high[:, None] >= OVERLOOKED * high
    for name, before in (("left", places.left), ("right", places.left.T)):
        facts[f"{name}most"] = _first_either_way(before, conspicuous)
    for name, before in (("top", places.above), ("bottom", places.above.T)):
        facts[name] = _first_either_way(before, conspicuous)
    facts["closest"], facts["farthest"] = _first(places.closer), _first(places.closer.T)
    # Somebody cut off by the picture's edge looks small for another reason than distance.
    facts["farthest"][_cut(places) & (facts["farthest"] == 1)] = -1
    known = not places.crowds.any()
    for side, before in (("left", places.left), ("right", places.left.T)):
        for rank in range(2, LARGEST_RANK + 1):
            fact = _ranked(before, everybody, rank)
            fact[fact != _ranked(before, conspicuous, rank)] = -1
            # In a crowd nobody can be counted, and of two people nobody says "second from the left".
            fact[(fact == 1) & ((not known) | (count < 3))] = -1
            if not known:
                fact[(fact == 0) & (rank > before.sum(0))] = -1
            facts[f"{side}={rank}"] = fact
        if count <= SIDE_BY_SIDE:
            first = facts[f"{side}most"]
            facts[f"side={side}"][(first != 0) & (facts[f"side={side}"] == 0)] = -1
            facts[f"side={side}"][first == 0] = np.minimum(facts[f"side={side}"][first == 0], 0)
    _in_the_middle(facts, places)
    return facts


def _regions(places: Places) -> Truths:
    height, width = places.size
    x = (places.boxes[:, 0] + places.boxes[:, 2]) / 2 / width
    y = (places.boxes[:, 1] + places.boxes[:, 3]) / 2 / height
    facts = {
        "side=left": _ramp(x, 0.38, 0.5),
        "side=right": _ramp(1 - x, 0.38, 0.5),
        "row=top": _ramp(y, 0.36, 0.5),
        "row=bottom": _ramp(1 - y, 0.3, 0.5),
        "middle": _ramp(np.abs(x - 0.5), 0.08, 0.2),
    }
    for fact in facts.values():
        fact[places.crowds] = -1
    return facts


def _ramp(value: np.ndarray, true: float, false: float) -> np.ndarray:
    return np.where(value < true, 1, np.where(value > false, 0, -1)).astype(np.int8)


def _in_the_middle(facts: Truths, places: Places) -> None:
    middle, second = facts["middle"], facts["left=2"]
    outermost = (facts["leftmost"] == 1) | (facts["rightmost"] == 1)
    middle[outermost & (middle == 1)] = -1
    between = np.full(len(places), -1, np.int8)
    if len(places) == 3:
        middle[:] = np.where(second == 1, 1, np.where(outermost, 0, -1))
        top, low = places.boxes[:, 1], places.boxes[:, 3]
        overlap = np.minimum(low[:, None], low) - np.maximum(top[:, None], top)
        alongside = (overlap > 0.4 * np.minimum(low - top, (low - top)[:, None])).all(1)
        between[:] = np.where((second == 1) & alongside, 1, np.where(outermost, 0, -1))
    facts["between"] = between


def _cut(places: Places) -> np.ndarray:
    """(E,) whether the box touches the edge of the picture."""
    height, width = places.size
    x0, y0, x1, y1 = places.boxes.T
    return (x0 < 3) | (y0 < 3) | (x1 > width - 3) | (y1 > height - 3)


def sizes(places: Places) -> Truths:
    """Size facts: tallest, shortest, biggest, smallest, little (a child's size beside the others)."""
    count = len(places)
    if count < 2:
        return {}
    x0, y0, x1, y1 = places.boxes.T
    high = np.maximum(y1 - y0, 1)
    area = np.maximum(x1 - x0, 1) * high
    sure = ~places.crowds[:, None] & ~places.crowds
    taller = (high[:, None] > 1.18 * high) & sure
    bigger = (area[:, None] > 1.4 * area) & (high[:, None] > 0.9 * high) & sure
    facts = {
        "tallest": _first(taller),
        "shortest": _first(taller.T),
        "biggest": _first(bigger),
        "smallest": _first(bigger.T),
    }
    whole = ~_cut(places)
    for name in ("shortest", "smallest"):
        facts[name][~whole & (facts[name] == 1)] = -1
    # Smaller than everybody though no farther away.
    level = y1[:, None] > y1 - 0.02 * places.size[0]
    less = (high[:, None] < 0.72 * high) & (area[:, None] < 0.6 * area) & level & sure
    facts["little"] = np.where((less | np.eye(count, dtype=bool)).all(1) & whole, 1, -1).astype(np.int8)
    facts["little"][taller.any(1)] = 0
    return facts


def relation(places: Places, name: str, anchor: int) -> np.ndarray:
    """(E,) int8: who is `left_of`, `right_of` or `beside` the person `anchor`."""
    count = len(places)
    if name in ("left_of", "right_of"):
        before = places.left if name == "left_of" else places.left.T
        truth = np.where(before[:, anchor], 1, np.where(before[anchor], 0, -1)).astype(np.int8)
    elif name == "beside":
        truth = _beside(places, anchor)
    else:
        raise ValueError(f"relation is {name!r}, expected left_of, right_of or beside")
    truth[anchor] = 0
    assert truth.shape == (count,)
    return truth


def _beside(places: Places, anchor: int) -> np.ndarray:
    """The one nearest neighbour of the anchor, where there is no doubt which."""
    truth = np.full(len(places), -1, np.int8)
    if len(places) < 3 or places.crowds.any():
        return truth
    x0, y0, x1, y1 = places.boxes.T
    gap = np.hypot(
        np.maximum(0, np.maximum(x0 - x1[anchor], x0[anchor] - x1)),
        np.maximum(0, np.maximum(y0 - y1[anchor], y0[anchor] - y1)),
    )
    high = y1 - y0
    gap[anchor] = np.inf
    order = np.argsort(gap)
    nearest, margin = order[0], 0.4 * high[anchor]
    level = abs(y1[nearest] - y1[anchor]) < 0.25 * high[anchor]
    alike = 0.5 < high[nearest] / high[anchor] < 2
    if gap[nearest] < 0.3 * high[anchor] and gap[order[1]] > gap[nearest] + margin and level and alike:
        truth[:] = 0
        truth[nearest] = 1
    return truth
