"""Outlines of bitmaps as COCO polygons that rasterise to the same bitmap."""

import numpy as np
from numpy.typing import NDArray

Loop = NDArray[np.int64]

# Right, down, left, up, so that adding one is a turn to the right (y points down).
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def outlines(bitmap: NDArray[np.bool_]) -> list[list[float]]:
    """Polygons [x0, y0, x1, y1, ...] along the pixels' edges of `bitmap` (H, W), one for each region.

    Regions are 4-connected. A hole belongs to the polygon around it: the outline goes to the hole and comes
    back by the same way, and the even-odd rule cuts it out.
    """
    loops = _loops(bitmap)
    rings = [loop for loop in loops if _area(loop) > 0]
    outer = list(rings)
    for hole in (loop for loop in loops if _area(loop) < 0):
        around = [place for place, ring in enumerate(outer) if _contains(ring, hole[0] + (0.5, -0.5))]
        home = min(around, key=lambda place: _area(outer[place]))
        rings[home] = _cut(rings[home], hole)
    return [ring.ravel().astype(float).tolist() for ring in rings]


def _loops(bitmap: NDArray[np.bool_]) -> list[Loop]:
    """Closed loops of corners (L, 2) along pixels' edges; set pixels lie to the right of the way."""
    inside = np.pad(bitmap, 1).astype(np.int8)
    below, beside = np.diff(inside, axis=0)[:, 1:-1], np.diff(inside, axis=1)[1:-1]
    edges: dict[tuple[int, int, int], None] = {}  # (x, y, direction) of where an edge starts, in reading order
    for direction, (where, x, y) in enumerate(
        ((below == 1, 0, 0), (beside == -1, 0, 0), (below == -1, 1, 0), (beside == 1, 0, 1))
    ):
        edges.update(((at_x + x, at_y + y, direction), None) for at_y, at_x in np.argwhere(where).tolist())
    loops = []
    while edges:
        # Every loop has an edge to the right; those were entered first, and the first starts at a turn.
        x, y, direction = next(iter(edges))
        loop: list[tuple[int, int]] = []
        heading = -1
        while (x, y, direction) in edges:
            del edges[x, y, direction]
            if direction != heading:
                loop.append((x, y))
            heading = direction
            x, y = x + _STEPS[direction][0], y + _STEPS[direction][1]
            # Turning right first keeps to the same pixel where two touch at a corner.
            direction = next((d % 4 for d in (heading + 1, heading, heading + 3) if (x, y, d % 4) in edges), -1)
        loops.append(np.array(loop, dtype=np.int64))
    return loops


def _area(loop: Loop) -> float:
    """Signed area; positive around set pixels, negative around holes."""
    x, y = loop.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def _contains(loop: Loop, point: NDArray[np.float64]) -> bool:
    """Whether `point`, which lies on no edge, is inside: a ray to the right meets an odd number of edges."""
    ends = np.roll(loop, -1, axis=0)
    spans = (loop[:, 1] > point[1]) != (ends[:, 1] > point[1])
    return bool((spans & (loop[:, 0] > point[0])).sum() % 2)


def _cut(ring: Loop, hole: Loop) -> Loop:
    """`ring` with a seam from its nearest corner to `hole`, around the hole and back."""
    distances = np.abs(ring[:, None] - hole[None]).sum(axis=-1)
    at, start = np.unravel_index(distances.argmin(), distances.shape)
    round_trip = np.roll(hole, -start, axis=0)
    return np.concatenate([ring[: at + 1], round_trip, round_trip[:1], ring[at:]])
