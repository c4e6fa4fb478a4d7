"""RefHuman's pictures as training sees them: mirrored, cropped and scaled, with everything that is said of them.

The paper's way is the default where the authors' code differs; `authors=True` takes the code's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from anypose import affine as affines
from anypose.data.describe.mirror import mirror_words
from anypose.data.refhuman import Referred
from anypose.data.scribbles import draw_scribbles
from anypose.people import People

LONG_SIDE = 640
_AUTHORS_TRIES = 10


@dataclass(frozen=True)
class View:
    """One picture with the person who is meant.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        person: one row, in pixels of the image.
        scribble: (12, 2) float64 pixels, the centres of those meant (the authors': their corners), or None.
        text: or None.
        affine: (2, 3), from pixels of the data set's picture to pixels of the image.
    """

    image: NDArray[np.uint8]
    person: People
    scribble: NDArray[np.float64] | None
    text: str | None
    affine: NDArray[np.float64]

    @classmethod
    def of(cls, entry: Referred, scribble: int = 0, *, authors: bool = False) -> View:
        """An entry with its picture opened and one of its five scribbles."""
        stroke = None
        if entry.scribbles is not None:
            stroke = entry.scribbles[scribble].astype(np.float64) + (0.0 if authors else 0.5)
        person = entry.sample.people[[entry.row]]
        return cls(entry.sample.image(), person, stroke, entry.text, np.array(affines.IDENTITY))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.person.size


@dataclass(frozen=True)
class Augmentation:
    """The paper's: a flip half of the time; then either a resize to one of nine short sides, or a resize, a random crop
    and that resize.

    Attributes:
        sides: of the shorter side, pixels. longest: of the longer.
        before: shorter sides before a crop, whose sides are of `crop` pixels at least and at most.
        authors: as their code has it, where that differs from the paper.
    """

    sides: tuple[int, ...] = (360, 392, 416, 480, 512, 544, 576, 608, 640)
    longest: int = LONG_SIDE
    before: tuple[int, ...] = (400, 500, 600)
    crop: tuple[int, int] = (384, 600)
    authors: bool = False

    def __call__(self, view: View, rng: Generator) -> View:
        if rng.random() < 0.5:
            view = mirrored(view, authors=self.authors)
        if rng.random() < 0.5:
            larger = resized(view, int(rng.choice(self.before)), None, authors=self.authors)
            # A person of whom nothing is left cannot be meant.
            view = cropped(larger, self._window(larger.size, rng), rng, authors=self.authors) or view
        return resized(view, int(rng.choice(self.sides)), self.longest, authors=self.authors)

    def _window(self, size: tuple[int, int], rng: Generator) -> tuple[int, int, int, int]:
        h, w = (int(rng.integers(min(self.crop[0], side), min(self.crop[1], side) + 1)) for side in size)
        top, left = int(rng.integers(size[0] - h + 1)), int(rng.integers(size[1] - w + 1))
        return left, top, left + w, top + h


def evaluation_view(view: View, *, authors: bool = False) -> View:
    """The picture at test time: short side 640 unless the long side would pass 640."""
    return resized(view, LONG_SIDE, authors=authors)


def mirrored(view: View, *, authors: bool = False) -> View:
    """Left and right exchanged, in the keypoints and the words too.

    The authors move keypoints and scribbles to w - 1 - x, but boxes to w - x, and exchange the letters "left" and
    "right" inside longer words as well (bright becomes bleft).
    """
    width = view.size[1]
    edge = width - 1 if authors else width
    person = view.person.mirror()
    if authors:
        person = replace(person, keypoints=person.keypoints - (1, 0))
    scribble = None if view.scribble is None else np.stack((edge - view.scribble[:, 0], view.scribble[:, 1]), 1)
    text = view.text
    if text is not None:
        text = _mirrored_letters(text) if authors else mirror_words(text)
    flip = np.array([[-1.0, 0, width], [0, 1, 0]])
    image = np.ascontiguousarray(view.image[:, ::-1])
    return View(image, person, scribble, text, affines.compose(view.affine, flip))


def cropped(view: View, window: tuple[int, int, int, int], rng: Generator, *, authors: bool = False) -> View | None:
    """The part x0 y0 x1 y1 (whole pixels) of a view; None where nothing of the person is left in it.

    Keypoints outside become unlabelled; a scribble that is cut is drawn anew in what is left of the mask. The authors
    move such keypoints to the border and keep them labelled, take the box's area for the person's, and look whether a
    scribble is inside with x and y exchanged, so that after ten tries it may lie outside the mask.
    """
    x0, y0, x1, y1 = window
    size = (y1 - y0, x1 - x0)
    shift = np.array([[1.0, 0, -x0], [0, 1, -y0]])
    person = view.person.warp(shift, size)
    corner = np.array([size[1], size[0]], np.float32)
    boxes = person.boxes.clip(0, np.tile(corner, 2))
    inside = np.asarray(((person.keypoints >= 0) & (person.keypoints < corner)).all(-1))
    mask = None if person.masks is None else person.masks.bitmap(0)
    if not ((boxes[:, 2:] - boxes[:, :2]) > 0).all() or (mask is not None and not mask.any()):
        return None
    if authors:
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        person = replace(person, boxes=boxes, keypoints=person.keypoints.clip(0, corner), stated_areas=areas)
    else:
        if not (inside & (person.confidence > 0)).any():
            return None
        outside = np.where(inside[..., None], person.state, np.array([0, 0, 1.0]))
        share = 1.0 if mask is None else float(mask.sum()) / max(1.0, float(view.person.areas[0]))
        person = replace(
            person,
            boxes=boxes,
            confidence=person.confidence * inside,
            state=np.where(view.person.confidence[..., None] > 0, outside, person.state),
            stated_areas=None if person.stated_areas is None else person.stated_areas * min(1.0, share),
        )
    scribble = None
    if view.scribble is not None:
        scribble = _kept(view.scribble - (x0, y0), mask, size, rng, authors)
    image = np.ascontiguousarray(view.image[y0:y1, x0:x1])
    return View(image, person, scribble, view.text, affines.compose(view.affine, shift))


def resized(view: View, short_side: int, long_side: int | None = LONG_SIDE, *, authors: bool = False) -> View:
    """Scaled to a short side in pixels, unless the long one would pass `long_side`.

    The authors cut the places of a scribble down to whole pixels, and the long side after rounding the short one.
    """
    height, width = view.size
    size = _authors_size(view.size, short_side, long_side) if authors else _size(view.size, short_side, long_side)
    grow = np.array([[size[1] / width, 0, 0], [0, size[0] / height, 0]])
    image = np.asarray(Image.fromarray(view.image).resize(size[::-1], Image.Resampling.BILINEAR))
    scribble = None if view.scribble is None else affines.apply(grow, view.scribble)
    if scribble is not None and authors:
        scribble = np.floor(scribble)
    return View(image, view.person.warp(grow, size), scribble, view.text, affines.compose(view.affine, grow))


def _size(size: tuple[int, int], short_side: int, long_side: int | None) -> tuple[int, int]:
    scale = short_side / min(size)
    if long_side is not None:
        scale = min(scale, long_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _authors_size(size: tuple[int, int], short_side: int, long_side: int | None) -> tuple[int, int]:
    low, high = min(size), max(size)
    if long_side is not None and high / low * short_side > long_side:
        short_side = round(long_side * low / high)
    long = int(short_side * high / low)
    return (short_side, long) if size[0] <= size[1] else (long, short_side)


def _kept(
    scribble: NDArray[np.float64], mask: NDArray[np.bool_] | None, size: tuple[int, int], rng: Generator, authors: bool
) -> NDArray[np.float64]:
    """A scribble of the whole picture in the crop: as it is where all of it is left, else another one."""
    # The authors' places are whole pixels, ours the centres of them.
    limit = np.array(size[::-1]) - (1 if authors else 0)
    if ((scribble >= 0) & (scribble <= limit)).all() or mask is None:
        return scribble.clip(0, limit)
    if not authors:
        return draw_scribbles(mask, rng, 1)[0] + 0.5
    curve = scribble
    for _ in range(_AUTHORS_TRIES):
        curve = draw_scribbles(mask, rng, 1)[0].astype(np.float64)
        turned = curve.astype(np.int64)[:, ::-1]
        if (turned <= limit).all() and mask[turned[:, 1], turned[:, 0]].all():
            return curve[:, ::-1].copy()
    return curve[:, ::-1].copy()


def _mirrored_letters(text: str) -> str:
    return text.replace("left", "\0").replace("right", "left").replace("\0", "right")
