"""Rotations in numpy: about an axis, between directions, in between two others."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def about(axis: int, degrees: ArrayLike) -> Array:
    """(...) degrees about x, y or z (0, 1, 2) -> (..., 3, 3)."""
    angle = np.radians(np.asarray(degrees, np.float64))
    cos, sin = np.cos(angle), np.sin(angle)
    out = np.zeros((*angle.shape, 3, 3))
    one, two = (axis + 1) % 3, (axis + 2) % 3
    out[..., axis, axis] = 1
    out[..., one, one] = out[..., two, two] = cos
    out[..., two, one], out[..., one, two] = sin, -sin
    return out


def between(start: ArrayLike, end: ArrayLike) -> Array:
    """(..., 3) and (..., 3) -> (..., 3, 3), the smallest rotation of one direction to the other."""
    a, b = unit(start), unit(end)
    axis = np.cross(a, b)
    cos = (a * b).sum(-1)[..., None, None]
    cross = _cross(axis)
    turned = np.eye(3) + cross + cross @ cross / np.maximum(1 + cos, 1e-6)
    # Opposite directions: half a turn about any axis across them.
    across = unit(np.cross(a, np.where(np.abs(a[..., :1]) < 0.9, [1.0, 0, 0], [0, 1.0, 0])))
    half = 2 * across[..., :, None] * across[..., None, :] - np.eye(3)
    return np.where(cos < -1 + 1e-6, half, turned)


def unit(vectors: ArrayLike) -> Array:
    """(..., 3) of length 1."""
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def axis_angle(turns: Array) -> Array:
    """(..., 3, 3) -> (..., 3) axis times angle in radians."""
    trace = np.clip((turns[..., 0, 0] + turns[..., 1, 1] + turns[..., 2, 2] - 1) / 2, -1, 1)
    angle = np.arccos(trace)
    off = np.stack(
        (
            turns[..., 2, 1] - turns[..., 1, 2],
            turns[..., 0, 2] - turns[..., 2, 0],
            turns[..., 1, 0] - turns[..., 0, 1],
        ),
        -1,
    )
    size = np.linalg.norm(off, axis=-1)
    vector = off / np.maximum(size, 1e-9)[..., None] * angle[..., None]
    # Near half a turn the antisymmetric part vanishes; the axis is then the largest column of R + I.
    column = (turns + np.eye(3))[..., :, :]
    best = np.argmax(np.linalg.norm(column, axis=-2), -1)
    axis = unit(np.take_along_axis(column, best[..., None, None], -1)[..., 0])
    return np.where((angle > 3.13)[..., None], axis * angle[..., None], vector)


def rotation(vectors: Array) -> Array:
    """(..., 3) axis times angle in radians -> (..., 3, 3)."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    cross = _cross(unit(vectors))
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)


def part_way(start: Array, end: Array, share: ArrayLike) -> Array:
    """Rotations (..., 3, 3) a share of the way from `start` to `end`, along the shortest arc."""
    vector = axis_angle(np.swapaxes(start, -1, -2) @ end)
    return start @ rotation(vector * np.asarray(share)[..., None])


def _cross(axis: Array) -> Array:
    x, y, z = axis[..., 0], axis[..., 1], axis[..., 2]
    zero = np.zeros_like(x)
    return np.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1).reshape(*axis.shape[:-1], 3, 3)
