"""Crops of one person each whose keypoints may lie beyond the crop, from labelled pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from anypose import affine as affines
from anypose.boxed import MARGIN, around
from anypose.data.sample import Sample
from anypose.recipes.pointing_batch import warped


class View(NamedTuple):
    """One crop.

    crop: (H, W, 3) uint8. keypoints: (K, 2) shares of the crop less a half. known: (K,), 0 where not labelled.
    """

    crop: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    known: NDArray[np.float32]


@dataclass(frozen=True)
class Views:
    """How a person is shown.

    Attributes:
        margin: of the crop around the box.
        beyond: share of views whose box is shrunk so that three or more keypoints lie outside the crop.
        half: share of the others that show the upper or the lower body alone.
        scale, turn: standard deviations of the log of the crop's size, and of its angle in degrees.
        flip: share of views in a mirror; keypoints change places with their mirror pairs.
    """

    margin: float = MARGIN
    beyond: float = 0.4
    half: float = 0.3
    scale: float = 0.15
    turn: float = 15.0
    flip: float = 0.5


class Crowd:
    """The people of a data set who have enough labelled keypoints, each in its picture.

    Args:
        samples: the pictures.
        size: (H, W) of a crop.
        least: labelled keypoints that a person needs.

    Raises ValueError when nobody has so many.
    """

    def __init__(self, samples: Sequence[Sample], size: tuple[int, int], least: int = 6) -> None:
        self.samples, self.size = list(samples), size
        self.people = [
            (index, row)
            for index, sample in enumerate(self.samples)
            for row in np.flatnonzero((sample.people.confidence > 0).sum(1) >= least)
        ]
        if not self.people:
            raise ValueError(f"nobody in {len(self.samples)} pictures has {least} labelled keypoints")
        self._pictures: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.people)

    def labels(self, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]:
        """Box (4,), keypoints (K, 2) and whether they are known (K,) of a person, in pixels of the picture."""
        index, row = self.people[number]
        people = self.samples[index].people
        known = (people.confidence[row] > 0).astype(np.float32)
        return people.boxes[row].astype(np.float64), people.keypoints[row].astype(np.float64), known

    def view(self, number: int, views: Views, rng: Generator) -> View:
        """One person shown once, as chance has it."""
        box, keypoints, known = self.labels(number)
        region = None
        if rng.random() < views.beyond:
            region = shrunk(box, keypoints, known, rng, self.size)
        if region is None:
            box = half_body(box, keypoints, known, rng) if rng.random() < views.half else box
            region = around(
                box, self.size, views.margin * math.exp(float(np.clip(rng.normal(0, views.scale), -0.4, 0.4)))
            )
        turn = float(np.clip(rng.normal(0, views.turn), -45, 45)) if rng.random() < 0.5 else 0.0
        return self.shown(number, region, turn, rng.random() < views.flip)

    def shown(self, number: int, region: NDArray[np.float64], turn: float = 0.0, flip: bool = False) -> View:
        """A person in the crop of a region x0 y0 x1 y1 of its picture, turned by degrees about its middle."""
        index, _ = self.people[number]
        _, keypoints, known = self.labels(number)
        height, width = self.size
        step = (region[2] - region[0]) / width
        cos, sin = math.cos(math.radians(turn)) * step, math.sin(math.radians(turn)) * step
        linear = np.array([[cos, -sin], [sin, cos]])
        if flip:
            linear[:, 0] *= -1
            order = self.samples[index].people.skeleton.mirror
            keypoints, known = keypoints[order], known[order]
        middle = (region[:2] + region[2:]) / 2
        to_picture = np.column_stack((linear, middle - linear @ (width / 2, height / 2)))
        if index not in self._pictures:
            self._pictures[index] = self.samples[index].image()
        crop = warped(self._pictures[index], to_picture, self.size)
        places = affines.apply(affines.invert(to_picture), keypoints) / (width, height) - 0.5
        places = np.where(known[:, None] > 0, places, 0)  # where nothing is known files hold anything
        return View(crop, places.astype(np.float32), known)


def shrunk(
    box: NDArray[np.float64],
    keypoints: NDArray[np.float64],
    known: NDArray[np.float32],
    rng: Generator,
    size: tuple[int, int],
    least: int = 3,
) -> NDArray[np.float64] | None:
    """The region of a smaller box, of the crop's shape, that leaves out three or more known keypoints and keeps three.

    Returns None where chance finds none.
    """
    corner, sides = box[:2], box[2:] - box[:2]
    seen = known > 0
    for _ in range(12):
        kept = rng.uniform(0.3, 0.8, 2) * sides
        at = corner + rng.choice([0.0, 0.5, 1.0], 2, p=[0.4, 0.2, 0.4]) * (sides - kept)
        region = around(np.concatenate((at, at + kept)), size, 1.0)
        inside = ((keypoints >= region[:2]) & (keypoints <= region[2:])).all(1)
        if (seen & ~inside).sum() >= least and (seen & inside).sum() >= least:
            return region
    return None


def half_body(
    box: NDArray[np.float64], keypoints: NDArray[np.float64], known: NDArray[np.float32], rng: Generator
) -> NDArray[np.float64]:
    """The box of the upper or the lower half of the known keypoints, the whole where it has fewer than three."""
    rows = np.flatnonzero(known)
    rows = rows[np.argsort(keypoints[rows, 1])]
    part = rows[: len(rows) // 2] if rng.random() < 0.6 else rows[len(rows) // 2 :]
    if len(part) < 3:
        return box
    low, high = keypoints[part].min(0), keypoints[part].max(0)
    room = 0.15 * np.maximum(high - low, 8)
    return np.concatenate((low - room, high + room))


def cut(view: View) -> View:
    """The habit of heat maps: what lies beyond the crop counts as unknown."""
    inside = (np.abs(view.keypoints) <= 0.5).all(1)
    return view._replace(known=view.known * inside)
