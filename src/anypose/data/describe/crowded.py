"""What tells somebody apart among many: how large a person is in the picture, its edges, and what no crowd shows.

These facts are for data sets that want a sentence for nearly everybody. A crowd is bounded by its mask: nobody in it
can be where it is not, be larger than half of it (it holds two people at least), or wear what is not seen in it.
"""

from __future__ import annotations

import numpy as np

from anypose.data.describe.colour import COLOURS, TONES, Truths, lch, possible_shares
from anypose.data.describe.place import Places
from anypose.masks import Masks

# Shares of the picture's height, of its area, and of its width.
TALL = (0.6, 0.42)
LARGE = (0.14, 0.07)
SMALL = (0.3, 0.45)
EDGE = (0.012, 0.06)
# A garment of a smaller share of the picture is not noticed.
NOTICED = 0.0002
_REGIONS = {"side=left": (0, 0.5), "side=right": (0, -0.5), "row=top": (1, 0.5), "row=bottom": (1, -0.5)}


def among_many(places: Places) -> Truths:
    """`foreground`, `large`, `distant` and `edge=left|right` for E boxes, each (E,) int8."""
    height, width = places.size
    x0, y0, x1, y1 = places.boxes.T
    tall, area = (y1 - y0) / height, (x1 - x0) * (y1 - y0) / (height * width)
    near = _graded(tall, *TALL)
    # Somebody cut off by the picture may be near and yet low in it.
    near[(near == 0) & (area > LARGE[1])] = -1
    facts = {
        "foreground": near,
        "large": _graded(area, *LARGE),
        "distant": _graded(-tall, -SMALL[0], -SMALL[1]),
        "edge=left": _graded(-x0 / width, -EDGE[0], -EDGE[1]),
        "edge=right": _graded(-(1 - x1 / width), -EDGE[0], -EDGE[1]),
    }
    crowds = places.crowds
    for name, fact in facts.items():
        # What a whole crowd is too small or too far inside for, everybody in it is.
        fact[crowds & ((fact != 0) | (name == "distant"))] = -1
    facts["distant"][crowds & (tall > SMALL[1])] = -1
    return facts


def beyond_crowds(facts: Truths, places: Places) -> None:
    """Marks as false of a crowd the sides and rows of the picture that it does not reach."""
    height, width = places.size
    for fact, (axis, bound) in _REGIONS.items():
        low, high = places.boxes[:, axis] / (width, height)[axis], places.boxes[:, axis + 2] / (width, height)[axis]
        outside = low > bound if bound > 0 else high < -bound
        facts[fact][places.crowds & outside] = 0


def colours_of_crowds(image: np.ndarray, crowds: Masks) -> Truths:
    """`torso=` and `legs=` each colour -> (C,) int8 for C crowds: 0 where so little of it is seen that nobody can
    be noticed to wear it, else -1."""
    least = NOTICED * image.shape[0] * image.shape[1]
    truths: Truths = {}
    for which, mask in enumerate(crowds.bitmaps()):
        pixels = image[mask]
        step = max(1, len(pixels) // 20000)
        shares = possible_shares(lch(pixels[::step])) if len(pixels) else np.zeros(len(COLOURS))
        absent = {name for name, share in zip(COLOURS, shares) if share * len(pixels) < least}
        absent |= {f"{tone} {name}" for name, tone in TONES if name in absent}
        for part in ("torso", "legs"):
            for name in absent:
                truths.setdefault(f"{part}={name}", np.full(len(crowds), -1, np.int8))[which] = 0
    return truths


def _graded(value: np.ndarray, true: float, false: float) -> np.ndarray:
    """1 at `true` or more, 0 at `false` or less, -1 between."""
    return np.where(value >= true, 1, np.where(value <= false, 0, -1)).astype(np.int8)
