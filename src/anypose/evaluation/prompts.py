"""The prompts of the evaluation: the same person gets the same point, scribble and box in every run.

Point and scribble are drawn inside the person's mask from a generator seeded by the annotation id, so that
they depend neither on the order of the file nor on who else is asked for.
"""

import numpy as np
from numpy.typing import NDArray

from ..data.scribbles import bezier
from ..people import People
from ..prompt import Prompt

SCRIBBLE_PLACES = 12
# A point keeps this share of the mask's greatest depth from the border: people do not click on outlines.
_POINT_DEPTH = 0.25
# Depth is measured on at most this many pixels a side: it needs no more, and costs by the pixel.
_DEPTH_SIDE = 256
_SCRIBBLE_TRIES = 512
_CURVE = bezier(SCRIBBLE_PLACES)


def point_prompt(person: People, seed: int = 0) -> Prompt:
    """A click on `person` (one row with its id): well inside its mask, else in its box's middle third."""
    random = _generator(person, seed, 0)
    mask = _mask(person)
    if mask is None:
        return Prompt(points=[_middle(person, random, 1, 1 / 3)[0]])
    step = -(-max(mask.shape) // _DEPTH_SIDE)
    rows, columns = np.nonzero(mask)
    y0, x0 = rows.min(), columns.min()
    coarse = mask[y0 : rows.max() + 1 : step, x0 : columns.max() + 1 : step]
    depth = _depth(coarse)
    if not depth.any():  # Thinner than the step.
        place = random.integers(len(rows))
        return Prompt(points=[(columns[place] + 0.5, rows[place] + 0.5)])
    deep = depth > (max(1.0, _POINT_DEPTH * depth.max()) if depth.max() > 1 else 0)
    inner_rows, inner_columns = np.nonzero(deep)
    place = random.integers(len(inner_rows))
    return Prompt(points=[(x0 + inner_columns[place] * step + 0.5, y0 + inner_rows[place] * step + 0.5)])


def scribble_prompt(person: People, seed: int = 0) -> Prompt:
    """A stroke over `person` (one row with its id): 12 places along a cubic Bezier curve, all inside its
    mask.

    The curve's four control points are random pixels of the mask, drawn again until all places are inside;
    where no curve is, the stroke follows the longest row of the mask. Without a mask it lies in the box's
    middle half.
    """
    random = _generator(person, seed, 1)
    mask = _mask(person)
    if mask is None:
        return Prompt(scribble=_CURVE @ _middle(person, random, 4, 1 / 2))
    rows, columns = np.nonzero(mask)
    places = np.column_stack([columns, rows]) + 0.5
    controls = places[random.integers(len(places), size=(_SCRIBBLE_TRIES, 4))]  # tries 4 2
    curves = np.einsum("pc,tcx->tpx", _CURVE, controls)
    inside = mask[curves[..., 1].astype(int), curves[..., 0].astype(int)].all(1)
    if inside.any():
        return Prompt(scribble=curves[inside.argmax()])
    start, end, row = _longest_run(mask)
    stroke = np.linspace(start + 0.25, end - 0.25, SCRIBBLE_PLACES)
    return Prompt(scribble=np.column_stack([stroke, np.full(SCRIBBLE_PLACES, row + 0.5)]))


def box_prompt(person: People) -> Prompt:
    """The box of `person` (one row), cut to the picture."""
    height, width = person.size
    x0, y0, x1, y1 = (float(value) for value in person.boxes[0])
    x0, y0 = min(max(x0, 0.0), width - 1.0), min(max(y0, 0.0), height - 1.0)
    return Prompt(box=(x0, y0, max(min(x1, width), x0 + 1.0), max(min(y1, height), y0 + 1.0)))


def _generator(person: People, seed: int, stream: int) -> np.random.Generator:
    identity = 0 if person.ids is None else int(person.ids[0]) % (1 << 63)
    return np.random.default_rng([identity, seed, stream])


def _mask(person: People) -> NDArray[np.bool_] | None:
    """(H, W), or None where it is not known or empty."""
    if person.masks is None or not person.masks.known[0]:
        return None
    bitmap = person.masks.bitmap(0)
    return bitmap if bitmap.any() else None


def _middle(person: People, random: np.random.Generator, count: int, share: float) -> NDArray[np.float64]:
    """(count, 2) random places in the middle `share` of the box, cut to the picture."""
    height, width = person.size
    corners = np.asarray(box_prompt(person).box, dtype=np.float64).reshape(2, 2)
    centre, half = corners.mean(0), (corners[1] - corners[0]) / 2
    places = centre + share * half * random.uniform(-1, 1, size=(count, 2))
    return np.clip(places, 0, (width, height))


def _depth(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(H, W) steps from each pixel of the mask to the nearest pixel outside, 1 at the border, 0 outside.

    Steps go to the four and to the eight neighbours by turns, which is near to a round distance.
    """
    depth = np.zeros(mask.shape, np.int64)
    layer = np.pad(mask, 1)
    while layer.any():
        depth += layer[1:-1, 1:-1]
        inner = layer[1:-1, 1:-1] & layer[:-2, 1:-1] & layer[2:, 1:-1] & layer[1:-1, :-2] & layer[1:-1, 2:]
        if depth.max() % 2 == 0:
            inner &= layer[:-2, :-2] & layer[:-2, 2:] & layer[2:, :-2] & layer[2:, 2:]
        layer = np.pad(inner, 1)
    return depth


def _longest_run(mask: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Start, end (exclusive) and row of the longest run of set pixels in one row."""
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    longest = int((ends - starts).argmax())
    return int(starts[longest]), int(ends[longest]), int(rows[longest])
