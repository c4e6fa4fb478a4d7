"""A turntable: a body from all sides, at several moments, in one picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..skeleton import Skeleton
from ..track import Track
from . import upright

LEFT, RIGHT, MIDDLE = (43, 108, 196), (214, 106, 24), (90, 90, 98)  # as in pictures: left blue, right orange
PAPER, INK = (255, 255, 255), (70, 70, 78)
CELL = 240  # pixels of one view
SHARPER = 2  # drawn larger, then made smaller
TILT = np.deg2rad(12)  # that the eye looks down


def turntable(track: Track, views: int = 6, moments: int = 3) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: a row for each of `moments` frames, from the first to the last, seen from `views` sides.

    Raises ValueError for a track in a picture.
    """
    points = upright(track)
    frames = np.unique(np.linspace(0, len(points) - 1, min(moments, len(points))).round().astype(int))
    bodies = points[frames] - points[frames].mean(1, keepdims=True)
    reach = max(float(np.linalg.norm(bodies, axis=-1).max()), 1e-6)
    scale = 0.46 * CELL * SHARPER / reach
    sheet = Image.new("RGB", (views * CELL * SHARPER, len(frames) * CELL * SHARPER), PAPER)
    pen = ImageDraw.Draw(sheet)
    for row, (frame, body) in enumerate(zip(frames, bodies)):
        for column in range(views):
            corner = np.array([column, row]) * CELL * SHARPER
            angle = 2 * np.pi * column / views
            _body(pen, seen(body, angle) * scale + (*(corner + CELL * SHARPER / 2), 0), track.skeleton)
            if column == 0:
                pen.text((*(corner + 8 * SHARPER),), f"{track.times[frame]:.2f} s", INK, font_size=13 * SHARPER)
            elif row == 0:
                pen.text((*(corner + 8 * SHARPER),), f"{np.rad2deg(angle):.0f}°", INK, font_size=13 * SHARPER)
    small = sheet.resize((views * CELL, len(frames) * CELL), Image.Resampling.LANCZOS)
    return np.asarray(small)


def seen(points: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Points (..., 3), y up, as x to the right, y down, and depth away, from a side and a little above."""
    cos, sin = np.cos(angle), np.sin(angle)
    x, y, z = np.moveaxis(points, -1, 0)
    across, ahead = cos * x - sin * z, sin * x + cos * z
    low, down = np.cos(TILT), np.sin(TILT)
    return np.stack([across, -(low * y - down * ahead), -(down * y + low * ahead)], -1)


def _body(pen: ImageDraw.ImageDraw, places: NDArray[np.float64], skeleton: Skeleton) -> None:
    """Bones from the farthest to the nearest."""
    order = sorted(skeleton.bones, key=lambda bone: -(places[bone[0], 2] + places[bone[1], 2]))
    width = 4 * SHARPER
    for first, second in order:
        colour = colour_of(skeleton.keypoints[first], skeleton.keypoints[second])
        pen.line([*places[first, :2], *places[second, :2]], fill=colour, width=width)
        for end in (first, second):
            x, y = places[end, :2]
            pen.ellipse([x - width * 0.8, y - width * 0.8, x + width * 0.8, y + width * 0.8], fill=colour)


def colour_of(*names: str) -> tuple[int, int, int]:
    """Blue for what is the person's left, orange for the right, grey between."""
    for side, colour in (("left", LEFT), ("right", RIGHT)):
        if any(name.startswith(side) for name in names):
            return colour
    return MIDDLE
