"""A body in space over time, for other programs and for looking at: BVH, CSV, TRC, a picture, a page.

All of them have y up, x to the right of whoever looks, and z towards them: the camera's axes, half turned about x. A
track in the world is taken as it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..track import Track


def upright(track: Track) -> NDArray[np.float64]:
    """(T, J, 3) metres with y up. Raises ValueError for a track in a picture."""
    if track.space == "picture":
        raise ValueError("this track is in a picture; lift it first (`anypose lift`)")
    points = track.keypoints.astype(np.float64)
    return points if track.space == "world" else points * (1, -1, -1)


def on_floor(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (T, J, 3) moved up or down as one so that the lowest of all lies at y = 0."""
    return points - (0, points[..., 1].min(), 0)
