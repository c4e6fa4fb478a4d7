"""Clicks and scribbles as a hand might make them, for training."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from anypose.data.composing import VISIBLE, View


def point_on(view: View, person: int, rng: Generator) -> tuple[float, float]:
    """A place on the person: in its mask, else on a limb, else in the middle of its box."""
    mask = view.masks[person]
    if mask is not None and mask.any():
        return tuple(_inside(mask, rng, 1)[0])
    return tuple(_on_limbs(view, person, rng, 1)[0])


def scribble_on(view: View, person: int, rng: Generator, count: int) -> list[tuple[float, float]]:
    """`count` places along a cubic Bezier curve through the person (RefHuman's kind of scribble)."""
    mask = view.masks[person]
    for _ in range(5):
        four = _inside(mask, rng, 4) if mask is not None and mask.any() else _on_limbs(view, person, rng, 4)
        t = np.linspace(0, 1, count)[:, None]
        weights = np.concatenate(((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3), 1)
        curve = weights @ four
        if mask is None:
            break
        columns = np.clip(curve[:, 0].astype(int), 0, mask.shape[1] - 1)
        rows = np.clip(curve[:, 1].astype(int), 0, mask.shape[0] - 1)
        if mask[rows, columns].mean() >= 0.9:
            break
    return [tuple(place) for place in curve]


def _inside(mask: np.ndarray, rng: Generator, count: int) -> np.ndarray:
    """Places (count, 2) in a mask, rather not at its border."""
    ys, xs = np.nonzero(mask)
    height, width = mask.shape
    chosen = rng.integers(len(ys), size=(count, 4))
    reach = max(1, int(0.1 * np.sqrt(len(ys))))
    depth = np.zeros(chosen.shape)
    for dx, dy in ((reach, 0), (-reach, 0), (0, reach), (0, -reach)):
        y, x = ys[chosen] + dy, xs[chosen] + dx
        ok = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        depth += mask[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)] & ok
    best = chosen[np.arange(count), depth.argmax(1)]
    return np.stack((xs[best] + 0.5, ys[best] + 0.5), 1)


def _on_limbs(view: View, person: int, rng: Generator, count: int) -> np.ndarray:
    """Places (count, 2) between keypoints that are seen."""
    seen = view.known[person] == VISIBLE
    bones = [(a, b) for a, b in view.skeleton.bones if seen[a] and seen[b]]
    box = view.boxes[person]
    size = box[2:] - box[:2]
    if not bones:
        return (box[:2] + box[2:]) / 2 + rng.normal(0, 0.06, (count, 2)) * size
    places = []
    for _ in range(count):
        a, b = bones[int(rng.integers(len(bones)))]
        part = rng.random()
        places.append(view.keypoints[person, a] * part + view.keypoints[person, b] * (1 - part))
    return np.clip(np.array(places) + rng.normal(0, 0.01, (count, 2)) * size, box[:2], box[2:] - 1e-3)
