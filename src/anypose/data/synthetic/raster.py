"""Triangles onto pixels by a z-buffer, in numpy: no GPU and no display."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAR = 0.05
"""Triangles nearer than this to the camera, metres, are left out."""


@dataclass(frozen=True)
class Fragments:
    """P places where triangles cover the centre of a pixel, hidden ones too.

    Attributes:
        pixel: (P,) index into the flattened picture.
        face: (P,) which triangle.
        weights: (P, 3) of the triangle's corners, in space and not in the picture.
        depth: (P,) metres.
        nearest: (P,) whether nothing is nearer at that pixel.
    """

    pixel: np.ndarray
    face: np.ndarray
    weights: np.ndarray
    depth: np.ndarray
    nearest: np.ndarray


def rasterize(
    points: np.ndarray, faces: np.ndarray, size: tuple[int, int], two_sided: np.ndarray | None = None
) -> Fragments:
    """Everything that triangles cover.

    Args:
        points: (V, 3) x, y in pixels and depth in metres.
        faces: (F, 3); seen from the outside they run counter-clockwise in space.
        size: height and width of the picture.
        two_sided: (F,) bool, triangles that are seen from behind too; None for none.
    """
    height, width = size
    corners = points[faces].astype(np.float32)  # F 3 3
    x, y, z = corners[..., 0], corners[..., 1], corners[..., 2]
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    # y points down in the picture, so that outsides have a negative area.
    shown = (z.min(1) > NEAR) & ((area < -1e-9) if two_sided is None else (area < -1e-9) | (two_sided & (area > 1e-9)))
    low_x = np.clip(np.ceil(x.min(1) - 0.5), 0, width).astype(np.int32)
    high_x = np.clip(np.floor(x.max(1) - 0.5) + 1, 0, width).astype(np.int32)
    low_y = np.clip(np.ceil(y.min(1) - 0.5), 0, height).astype(np.int32)
    high_y = np.clip(np.floor(y.max(1) - 0.5) + 1, 0, height).astype(np.int32)
    which = np.flatnonzero(shown & (high_x > low_x) & (high_y > low_y))
    wide = (high_x - low_x)[which]
    counts = wide * (high_y - low_y)[which]
    row = np.repeat(np.arange(len(which), dtype=np.int32), counts)
    step = np.arange(counts.sum(), dtype=np.int32) - np.repeat(np.cumsum(counts, dtype=np.int32) - counts, counts)
    down, right = np.divmod(step, wide[row])
    down += low_y[which][row]
    right += low_x[which][row]
    # The weight of each corner is linear in the picture: a x + b y + c.
    planes = _planes(x[which], y[which], area[which])  # f 3 3
    at_x, at_y = right.astype(np.float32) + 0.5, down.astype(np.float32) + 0.5
    own = planes[row]  # P 3 3
    flat = own[:, :, 0] * at_x[:, None] + own[:, :, 1] * at_y[:, None] + own[:, :, 2]
    inside = (flat >= 0).all(1)
    row, flat = row[inside], flat[inside]
    pixel = down[inside] * width + right[inside]
    # Depth's inverse is linear in the picture; so are weights over depth.
    flat *= (1 / z[which])[row]
    depth = 1 / flat.sum(1)
    weights = flat * depth[:, None]
    buffer = np.full(height * width, np.inf, np.float32)
    np.minimum.at(buffer, pixel, depth)
    return Fragments(pixel, which[row], weights, depth, depth <= buffer[pixel])


def _planes(x: np.ndarray, y: np.ndarray, area: np.ndarray) -> np.ndarray:
    """(f, 3) corners -> (f, 3, 3) coefficients a, b, c of each corner's weight."""
    out = np.empty((len(x), 3, 3), np.float32)
    for corner in range(3):
        one, two = (corner + 1) % 3, (corner + 2) % 3
        out[:, corner, 0] = (y[:, one] - y[:, two]) / area
        out[:, corner, 1] = (x[:, two] - x[:, one]) / area
        out[:, corner, 2] = (x[:, one] * y[:, two] - x[:, two] * y[:, one]) / area
    return out
