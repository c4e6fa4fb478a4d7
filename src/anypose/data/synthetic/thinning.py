"""Fewer vertices for a mesh: edges are collapsed onto one of their ends, cheapest first, so that what is kept is a
subset of the vertices and keeps its weights and shape directions (Garland and Heckbert, 1997, with half edges)."""

from __future__ import annotations

import heapq

import numpy as np

TURNED = 0.2
"""The least cosine between a triangle's normal before and after a collapse."""
SPREAD = 3e-4
"""Weight of an edge's own length beside the distance to planes: keeps flat places from becoming needles."""


def thinned(vertices: np.ndarray, faces: np.ndarray, keep: int, worth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The `keep` vertices that matter most.

    Args:
        vertices: (V, 3).
        faces: (F, 3) triangles of a surface.
        keep: how many vertices to keep.
        worth: (V,) what a deviation at each vertex counts.

    Returns:
        Indices (keep,) of the vertices kept, ascending, and (F', 3) triangles of their places among them.
    """
    triangles = [tuple(int(v) for v in face) for face in faces]
    around: list[set[int]] = [set() for _ in vertices]
    for number, face in enumerate(triangles):
        for vertex in face:
            around[vertex].add(number)
    planes = _planes(vertices, faces)
    quadrics = np.zeros((len(vertices), 4, 4))
    for corner in range(3):
        np.add.at(quadrics, faces[:, corner], planes)
    points = np.column_stack((vertices, np.ones(len(vertices))))
    stamp = np.zeros(len(vertices), int)
    alive = [bool(own) for own in around]
    left = sum(alive)

    def cost(gone: int, kept: int) -> float:
        apart = vertices[gone] - vertices[kept]
        return float((points[kept] @ quadrics[gone] @ points[kept] + SPREAD * apart @ apart) * worth[gone])

    def neighbours(vertex: int) -> set[int]:
        return {other for face in around[vertex] for other in triangles[face]} - {vertex}

    heap: list[tuple[float, int, int, int, int]] = []

    def push(gone: int, kept: int) -> None:
        heapq.heappush(heap, (cost(gone, kept), gone, kept, int(stamp[gone]), int(stamp[kept])))

    for vertex in range(len(vertices)):
        for other in neighbours(vertex):
            push(vertex, other)
    while left > keep and heap:
        _, gone, kept, mine, theirs = heapq.heappop(heap)
        if not (alive[gone] and alive[kept]) or (mine, theirs) != (stamp[gone], stamp[kept]):
            continue
        if not _allowed(gone, kept, vertices, triangles, around, neighbours(gone) & neighbours(kept)):
            continue
        for number in list(around[gone]):
            corners = triangles[number]
            if kept in corners:
                for vertex in corners:
                    around[vertex].discard(number)
            else:
                triangles[number] = tuple(kept if vertex == gone else vertex for vertex in corners)
                around[kept].add(number)
        around[gone].clear()
        alive[gone], left = False, left - 1
        quadrics[kept] += quadrics[gone]
        stamp[kept] += 1
        for other in neighbours(kept):
            push(kept, other)
            push(other, kept)
    used = np.array([vertex for vertex in range(len(vertices)) if alive[vertex] and around[vertex]])
    place = np.full(len(vertices), -1)
    place[used] = np.arange(len(used))
    remaining = sorted({number for vertex in used for number in around[vertex]})
    return used, place[np.array([triangles[number] for number in remaining])]


def _planes(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 4, 4) squared distance to each triangle's plane, times its area."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    normal = np.cross(b - a, c - a)
    area = np.linalg.norm(normal, axis=1)
    unit = normal / np.maximum(area, 1e-12)[:, None]
    plane = np.column_stack((unit, -(unit * a).sum(1)))
    return plane[:, :, None] * plane[:, None, :] * area[:, None, None]


def _allowed(
    gone: int,
    kept: int,
    vertices: np.ndarray,
    triangles: list[tuple[int, ...]],
    around: list[set[int]],
    shared: set[int],
) -> bool:
    """Whether the surface stays a surface: both ends share just the two corners beside the edge, and no triangle
    turns over."""
    edge = [face for face in around[gone] if kept in triangles[face]]
    beside = {vertex for face in edge for vertex in triangles[face]} - {gone, kept}
    if not edge or shared != beside:
        return False
    for face in around[gone]:
        if face in edge:
            continue
        corners = vertices[list(triangles[face])]
        moved = vertices[[kept if vertex == gone else vertex for vertex in triangles[face]]]
        before = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        after = np.cross(moved[1] - moved[0], moved[2] - moved[0])
        size = np.linalg.norm(before) * np.linalg.norm(after)
        if size < 1e-14 or before @ after < TURNED * size:
            return False
    return True
