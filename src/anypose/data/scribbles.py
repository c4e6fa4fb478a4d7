"""Scribbles as RefHuman has them: cubic Bezier curves through a person's mask, sampled at 12 places."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

STROKE = 12
_TRIES = 64
# A curve between pixels far apart often leaves a thin mask; then its four pixels are drawn nearer to each other.
_REACHES = (1.0, 0.5, 0.25, 0.1, 0.0)


def bezier(places: int = STROKE) -> NDArray[np.float64]:
    """(places, 4) weights of a cubic Bezier curve's control points, at even steps of its parameter."""
    step = np.linspace(0.0, 1.0, places)
    terms = [count * (1 - step) ** (3 - power) * step**power for power, count in enumerate((1, 3, 3, 1))]
    return np.stack(terms, axis=-1)


def draw_scribbles(mask: NDArray[np.bool_], rng: Generator, count: int = 5) -> NDArray[np.int64]:
    """(count, 12, 2) pixels x, y along curves whose every place lies in the mask (H, W).

    The control points are four random pixels of the mask, drawn again until the curve stays inside; from the second
    round on they lie within a half, a quarter and a tenth of the person's extent of each other, at last on one pixel.

    Raises:
        ValueError: the mask is empty.
    """
    rows, columns = np.nonzero(mask)
    if not len(rows):
        raise ValueError("the mask marks no pixel: there is nothing to scribble on")
    pixels = np.stack((columns, rows), 1)
    extent = float(np.ptp(pixels, axis=0).max()) + 1
    weights = bezier()
    found: list[NDArray[np.int64]] = []
    for reach in _REACHES:
        controls = _controls(pixels, rng, reach * extent)
        curves = np.floor(np.einsum("pc,tcx->tpx", weights, controls + 0.5)).astype(np.int64)
        inside = mask[curves[..., 1], curves[..., 0]].all(1)
        found += list(curves[inside][: count - len(found)])
        if len(found) == count:
            break
    while len(found) < count:
        found.append(found[-1])
    return np.stack(found)


def _controls(pixels: NDArray[np.int64], rng: Generator, reach: float) -> NDArray[np.int64]:
    """(tries, 4, 2) pixels of the mask, the last three within `reach` of the first."""
    first = pixels[rng.integers(len(pixels), size=_TRIES)]
    others = pixels[rng.integers(len(pixels), size=(_TRIES, 16))]
    near = np.abs(others - first[:, None]).max(-1) <= reach
    # The three that come first among those near enough; where they are fewer, the first pixel again.
    order = np.argsort(~near, axis=1, kind="stable")[:, :3]
    chosen = np.take_along_axis(others, order[..., None], 1)
    chosen = np.where(np.take_along_axis(near, order, 1)[..., None], chosen, first[:, None])
    return np.concatenate((first[:, None], chosen), 1)
