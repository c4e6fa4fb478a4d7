"""Simple surfaces: tubes, boxes, domes, balls. Triangles run counter-clockwise seen from outside."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from anypose.data.synthetic.turns import Array, between, unit


@dataclass
class Mesh:
    """A surface of one or several colours.

    Attributes:
        vertices: (V, 3) metres.
        faces: (F, 3).
        colours: (V, 3) sRGB 0 to 255.
        two_sided: seen from behind too.
    """

    vertices: Array
    faces: np.ndarray
    colours: np.ndarray
    two_sided: bool = False
    points: dict[str, Array] = field(default_factory=dict)

    def scaled(self, size: float) -> Mesh:
        """Larger or smaller about the origin."""
        points = {name: place * size for name, place in self.points.items()}
        return Mesh(self.vertices * size, self.faces, self.colours, self.two_sided, points)

    def moved(self, turn: Array, to: Array) -> Mesh:
        """Rotated about the origin, then shifted."""
        points = {name: place @ turn.T + to for name, place in self.points.items()}
        return Mesh(self.vertices @ turn.T + to, self.faces, self.colours, self.two_sided, points)


def joined(parts: list[Mesh]) -> Mesh:
    """Several as one."""
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    points = {name: place for part in parts for name, place in part.points.items()}
    return Mesh(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.faces + start for part, start in zip(parts, starts)]),
        np.concatenate([part.colours for part in parts]),
        any(part.two_sided for part in parts),
        points,
    )


def grid_faces(rows: int, columns: int, around: bool) -> np.ndarray:
    """Triangles of a sheet of rows x columns vertices, closed from the last column to the first where `around`."""
    wide = columns if around else columns - 1
    row, column = (part.ravel() for part in np.meshgrid(np.arange(rows - 1), np.arange(wide), indexing="ij"))
    after = (column + 1) % columns
    a, b = row * columns + column, row * columns + after
    c, d = a + columns, b + columns
    return np.concatenate((np.stack((a, c, b), 1), np.stack((b, c, d), 1)))


def rings(centres: Array, across: Array, along: Array, sides: int, colour: object, closed: bool = True) -> Mesh:
    """A tube through ellipses.

    Args:
        centres: (R, 3), from the first ring to the last, which lies further up when `across` x `along` points up.
        across, along: (R, 3) half axes of each ring.
        sides: vertices of a ring.
        closed: ends are capped.
    """
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    points = centres[:, None] + np.cos(turn)[:, None] * across[:, None] + np.sin(turn)[:, None] * along[:, None]
    vertices = points.reshape(-1, 3)
    faces = grid_faces(len(centres), sides, True)[:, ::-1]
    if closed:
        last = len(vertices)
        vertices = np.concatenate((vertices, centres[[0, -1]]))
        rim, after = np.arange(sides), (np.arange(sides) + 1) % sides
        top = (len(centres) - 1) * sides
        caps = [
            np.stack((np.full(sides, last), after, rim), 1),
            np.stack((np.full(sides, last + 1), top + rim, top + after), 1),
        ]
        faces = np.concatenate((faces, *caps))
    return Mesh(vertices, faces, np.tile(np.asarray(colour, float), (len(vertices), 1)), not closed)


def tube(start: Array, end: Array, radii: Array, colour: object, sides: int = 8) -> Mesh:
    """A round stick along a line, with radii (R,) at even distances."""
    radii = np.asarray(radii, float)
    axis = unit(end - start)
    turn = between(np.array([0.0, 0, 1]), axis)
    share = np.linspace(0, 1, len(radii))[:, None]
    centres = start + share * (end - start)
    across, along = (radii[:, None] * (turn @ direction) for direction in np.eye(3)[:2])
    return rings(centres, across, along, sides, colour)


def box(size: Array, colour: object) -> Mesh:
    """A box about the origin; flat sides, so that its edges stay sharp."""
    vertices: list[Array] = []
    faces: list[list[int]] = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            one, two = (axis + 1) % 3, (axis + 2) % 3
            corners = np.zeros((4, 3))
            corners[:, axis] = sign
            corners[:, one], corners[:, two] = (-1, 1, 1, -1), (-1, -1, 1, 1)
            start = len(vertices) * 4
            order = [(0, 1, 2), (0, 2, 3)] if sign > 0 else [(0, 2, 1), (0, 3, 2)]
            faces += [[start + k for k in triangle] for triangle in order]
            vertices.append(corners * np.asarray(size) / 2)
    points = np.concatenate(vertices)
    return Mesh(points, np.array(faces), np.tile(np.asarray(colour, float), (len(points), 1)))


def dome(centre: Array, radii: Array, colour: object, low: float = 0.0, sides: int = 16, rows: int = 6) -> Mesh:
    """An ellipsoid's top from `low` (sine of the latitude, -1 for a whole ball) to its pole; open below."""
    height = np.sin(np.linspace(np.arcsin(np.clip(low, -1, 1)), np.pi / 2 - 0.05, rows))
    wide = np.sqrt(np.maximum(0, 1 - height**2))
    centres = centre + height[:, None] * np.array([0, radii[1], 0])
    across = wide[:, None] * np.array([radii[0], 0, 0])
    along = wide[:, None] * np.array([0, 0, -radii[2]])
    return rings(centres, across, along, sides, colour, closed=True)
