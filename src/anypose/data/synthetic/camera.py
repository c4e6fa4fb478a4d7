"""A perspective camera: where it stands, where it looks, and what a metre is in pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anypose.data.synthetic.turns import Array, about

# From the world (y up) to a level camera that looks along -z: x right, y down, z into the picture.
_LEVEL = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        size: height and width of the picture, pixels.
        focal: pixels.
        rotation: (3, 3) from the world to the camera (x right, y down, z forward).
        position: (3,) in the world, metres.
    """

    size: tuple[int, int]
    focal: float
    rotation: Array
    position: Array

    @classmethod
    def placed(
        cls,
        size: tuple[int, int],
        *,
        view: float,
        height: float,
        tilt: float = 0.0,
        roll: float = 0.0,
        turn: float = 0.0,
        at: tuple[float, float] = (0.0, 0.0),
    ) -> Camera:
        """A camera above the point `at` (x, z) of the ground.

        Args:
            size: height and width, pixels.
            view: angle across the longer side, degrees.
            height: above the ground, metres.
            tilt: degrees down. roll: degrees clockwise. turn: degrees to the left of -z.
        """
        focal = max(size) / 2 / np.tan(np.radians(view) / 2)
        rotation = about(2, -roll) @ about(0, tilt) @ _LEVEL @ about(1, -turn)
        return cls(size, float(focal), rotation, np.array([at[0], height, at[1]], np.float64))

    @property
    def matrix(self) -> Array:
        """(3, 3) from camera metres to pixels."""
        height, width = self.size
        return np.array([[self.focal, 0, width / 2], [0, self.focal, height / 2], [0, 0, 1]])

    def seen(self, points: Array) -> Array:
        """World (..., 3) -> camera (..., 3), metres."""
        return (points - self.position) @ self.rotation.T

    def project(self, points: Array) -> Array:
        """World (..., 3) -> x, y in pixels and depth in metres (..., 3)."""
        seen = self.seen(points)
        depth = seen[..., 2:]
        safe = np.where(np.abs(depth) < 1e-6, 1e-6, depth)
        centre = np.array([self.size[1] / 2, self.size[0] / 2])
        return np.concatenate((seen[..., :2] / safe * self.focal + centre, depth), -1)

    def rays(self) -> np.ndarray:
        """(3, H, W) float32 directions in the world through the pixels' centres, with depth 1."""
        height, width = self.size
        x = ((np.arange(width) + 0.5 - width / 2) / self.focal).astype(np.float32)
        y = ((np.arange(height) + 0.5 - height / 2) / self.focal).astype(np.float32)
        right, down, ahead = self.rotation.astype(np.float32)[..., None, None]
        return x * right + (y[:, None] * down + ahead)

    def to_dict(self) -> dict[str, object]:
        """As JSON holds it."""
        return {
            "size": list(self.size),
            "intrinsics": self.matrix.tolist(),
            "rotation": self.rotation.tolist(),
            "position": self.position.tolist(),
        }
