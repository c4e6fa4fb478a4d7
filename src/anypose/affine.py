"""Affine maps between pictures.

An affine is a (2, 3) float64 array that maps points: `out = affine[:, :2] @ point + affine[:, 2]`. Points are
(..., 2) pixels, x right, y down, with the edge convention: pixel i covers [i, i + 1).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Affine = NDArray[np.float64]

IDENTITY: Affine = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
IDENTITY.flags.writeable = False


def check(affine: ArrayLike) -> Affine:
    """Return `affine` as a (2, 3) float64 array; ValueError when it has another shape or is not finite."""
    matrix = np.asarray(affine, dtype=np.float64)
    if matrix.shape != (2, 3):
        raise ValueError(f"an affine has the shape (2, 3), not {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError(f"an affine must be finite; got {matrix.tolist()}")
    return matrix


def invert(affine: ArrayLike) -> Affine:
    """The (2, 3) affine that undoes `affine`. ValueError when nothing does: it flattens the plane."""
    matrix = check(affine)
    linear = matrix[:, :2]
    if abs(np.linalg.det(linear)) < 1e-12:
        raise ValueError(f"the affine {matrix.tolist()} flattens the plane and has no inverse")
    inverse = np.linalg.inv(linear)
    return np.column_stack([inverse, -inverse @ matrix[:, 2]])


def compose(first: ArrayLike, second: ArrayLike) -> Affine:
    """The (2, 3) affine that does `first` and then `second`."""
    before, after = check(first), check(second)
    return np.column_stack([after[:, :2] @ before[:, :2], after[:, :2] @ before[:, 2] + after[:, 2]])


def apply(affine: ArrayLike, points: ArrayLike) -> NDArray[np.float64]:
    """Map `points` (..., 2) in pixels; returns (..., 2) float64."""
    matrix = check(affine)
    places = np.asarray(points, dtype=np.float64)
    if places.shape[-1:] != (2,):
        raise ValueError(f"points have the shape (..., 2), not {places.shape}")
    return places @ matrix[:, :2].T + matrix[:, 2]


def apply_to_boxes(affine: ArrayLike, boxes: ArrayLike) -> NDArray[np.float64]:
    """Map `boxes` (..., 4) x0 y0 x1 y1; returns the upright boxes (..., 4) float64 around their images."""
    rectangles = np.asarray(boxes, dtype=np.float64)
    if rectangles.shape[-1:] != (4,):
        raise ValueError(f"boxes have the shape (..., 4), not {rectangles.shape}")
    corners = apply(affine, rectangles[..., [[0, 1], [2, 1], [2, 3], [0, 3]]])  # ... 4 2
    return np.concatenate([corners.min(axis=-2), corners.max(axis=-2)], axis=-1)
