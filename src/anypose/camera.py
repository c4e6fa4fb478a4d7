"""Camera: where a point in space falls in a picture, and back.

Frames: the world's is the user's own, in metres. The camera's has x to the right, y downwards and z forwards, in
metres. Pixels are those of the picture, x right, y down. Screen units are pixels moved and scaled so that x runs from
-1 to 1 over the picture's width and y keeps the same scale, about 0 in the middle (VideoPose3D's normalisation): what
lifting systems read.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import affine as affines
from .masks import Size, check_size

_FORMAT = ("size", "focal", "centre", "distortion", "orientation", "position", "tangential", "name")
_UNDISTORTED = 1e-9  # of the ray, per step


@dataclass(frozen=True, eq=False)
class Camera:
    """A camera with its nine intrinsics and its place in the world.

    size: (height, width) of its pictures in pixels. focal: (2,) fx fy, pixels. centre: (2,) cx cy, pixels.
    distortion: (5,) k1 k2 k3 p1 p2 (mind OpenCV's order k1 k2 p1 p2 k3). orientation: (4,) unit quaternion w x y z
    that turns the camera's axes into the world's. position: (3,) of the camera in the world, metres. tangential:
    the factor of p1 x + p2 y in the distortion, 1 as in VideoPose3D's code, 2 as in Brown's model and OpenCV's.
    name: of the camera, or None.

    A point (x, y, z) of the camera's frame falls on f (n (radial + tangential (p . n)) + p |n|^2) + c, where n is
    (x/z, y/z), p is (p1, p2) and radial is 1 + k1 |n|^2 + k2 |n|^4 + k3 |n|^6 (VideoPose3D, `project_to_2d`).

    Raises ValueError when a field has another shape, is not finite or makes no camera.
    """

    size: Size
    focal: NDArray[Any]
    centre: NDArray[Any]
    distortion: NDArray[Any] = dataclasses.field(default_factory=lambda: np.zeros(5))
    orientation: NDArray[Any] = dataclasses.field(default_factory=lambda: np.array([1.0, 0.0, 0.0, 0.0]))
    position: NDArray[Any] = dataclasses.field(default_factory=lambda: np.zeros(3))
    tangential: float = 1.0
    name: str | None = None

    def __post_init__(self) -> None:
        keep = object.__setattr__
        keep(self, "size", check_size(self.size))
        for field, length in (("focal", 2), ("centre", 2), ("distortion", 5), ("orientation", 4), ("position", 3)):
            keep(self, field, _vector(getattr(self, field), field, length))
        if (self.focal <= 0).any():
            raise ValueError(f"focal lengths of a camera are positive pixels, not {self.focal.tolist()}")
        norm = float(np.linalg.norm(self.orientation))
        if abs(norm - 1) > 1e-3:
            raise ValueError(f"orientation must be a unit quaternion w x y z; its length is {norm:g}")
        keep(self, "tangential", float(self.tangential))

    @classmethod
    def from_screen(cls, nine: ArrayLike, size: Size, **placed: Any) -> "Camera":
        """A camera of VideoPose3D's nine numbers fx fy cx cy k1 k2 k3 p1 p2 in screen units (9,)."""
        values, (height, width) = _vector(nine, "intrinsics", 9), check_size(size)
        focal, centre = values[:2] * width / 2, (values[2:4] + _corner(height, width)) * width / 2
        return cls(size=(height, width), focal=focal, centre=centre, distortion=values[4:], **placed)

    @property
    def screen(self) -> NDArray[np.float64]:
        """(9,) fx fy cx cy k1 k2 k3 p1 p2 in screen units; see `from_screen`."""
        return np.concatenate([self.focal * 2 / self.size[1], to_screen(self.centre, self.size), self.distortion])

    def to_camera(self, points: ArrayLike) -> NDArray[np.float64]:
        """World points (..., 3) in metres in the camera's frame (..., 3)."""
        return (_points(points, 3) - self.position) @ rotation_matrix(self.orientation)

    def to_world(self, points: ArrayLike) -> NDArray[np.float64]:
        """Points (..., 3) of the camera's frame, metres, in the world's (..., 3)."""
        return _points(points, 3) @ rotation_matrix(self.orientation).T + self.position

    def project(self, points: ArrayLike, *, distort: bool = True, clamp: bool = False) -> NDArray[np.float64]:
        """Pixels (..., 2) of points (..., 3) of the camera's frame, metres.

        Args:
            points: with z > 0; what lies behind the camera has no place in the picture and gives NaN.
            distort: whether the lens is taken into account.
            clamp: keep x/z and y/z within -1 and 1 first, as VideoPose3D does, where the polynomial means nothing.
        """
        places = _points(points, 3)
        depth = np.where(places[..., 2:] > 0, places[..., 2:], np.nan)
        rays = places[..., :2] / depth
        if clamp:
            rays = np.clip(rays, -1, 1)
        return (self._distorted(rays) if distort else rays) * self.focal + self.centre

    def unproject(self, pixels: ArrayLike, depth: ArrayLike, *, distort: bool = True) -> NDArray[np.float64]:
        """Points (..., 3) of the camera's frame at `depth` (...) metres along z, which fall on `pixels` (..., 2).

        Undoes `project` to about 1e-6 pixels wherever the distortion can be undone, and gives NaN elsewhere.
        """
        rays = (_points(pixels, 2) - self.centre) / self.focal
        if distort and self.distortion.any():
            rays = self._undistorted(rays)
        z = np.broadcast_to(np.asarray(depth, np.float64), rays.shape[:-1])[..., None]
        return np.concatenate([rays * z, z], -1)

    def _distorted(self, rays: NDArray[np.float64]) -> NDArray[np.float64]:
        k1, k2, k3, *p = self.distortion
        square = (rays**2).sum(-1, keepdims=True)
        radial = 1 + square * (k1 + square * (k2 + square * k3))
        slanted = self.tangential * (rays @ np.array(p))[..., None]
        return rays * (radial + slanted) + np.array(p) * square

    def _undistorted(self, bent: NDArray[np.float64], steps: int = 50) -> NDArray[np.float64]:
        """Newton's method from the bent ray, with the derivative by small differences."""
        rays, step = bent.copy(), 1e-6
        aside, below = np.array([step, 0]), np.array([0, step])
        with np.errstate(all="ignore"):
            for _ in range(steps):
                miss = self._distorted(rays) - bent
                right = (self._distorted(rays + aside) - self._distorted(rays - aside)) / (2 * step)
                down = (self._distorted(rays + below) - self._distorted(rays - below)) / (2 * step)
                stretch = right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]
                x = (miss[..., 0] * down[..., 1] - miss[..., 1] * down[..., 0]) / stretch
                y = (right[..., 0] * miss[..., 1] - right[..., 1] * miss[..., 0]) / stretch
                rays = rays - np.stack([x, y], -1)
                if not (np.abs(miss) > _UNDISTORTED).any():
                    break
            # Far outside, the polynomial folds back; only a ray on the pixel's own side, before the fold, is real.
            near = (stretch > 0) & ((rays * bent).sum(-1) >= 0)
            found = near & (np.abs(self._distorted(rays) - bent).max(-1) < 1e-7)
        return np.where(found[..., None], rays, np.nan)

    def to_screen(self, pixels: ArrayLike) -> NDArray[np.float64]:
        """Pixels (..., 2) in screen units (..., 2)."""
        return to_screen(pixels, self.size)

    def from_screen_units(self, places: ArrayLike) -> NDArray[np.float64]:
        """Screen units (..., 2) in pixels (..., 2)."""
        return from_screen(places, self.size)

    def warp(self, affine: ArrayLike, size: Size) -> "Camera":
        """The camera of the pictures that `affine` (2, 3) makes of this one's, of `size` (height, width).

        Raises ValueError when the affine turns, slants or mirrors: no camera of this kind takes such pictures
        (`mirror` is for the last).
        """
        matrix = affines.check(affine)
        (across, slant), (turn, down) = matrix[:, :2]
        if slant or turn or across <= 0 or down <= 0:
            raise ValueError(f"a camera follows pictures that are moved and scaled only, not {matrix.tolist()}")
        focal, centre = self.focal * (across, down), affines.apply(matrix, self.centre)
        return dataclasses.replace(self, size=size, focal=focal, centre=centre)

    def mirror(self) -> "Camera":
        """The camera that sees the mirrored world as this one's pictures flipped left to right.

        Its own frame is mirrored: x becomes -x in `project`. Where it stands in the world is dropped.
        """
        k1, k2, k3, p1, p2 = self.distortion
        centre = np.array([self.size[1] - self.centre[0], self.centre[1]])
        return dataclasses.replace(
            self,
            centre=centre,
            distortion=np.array([k1, k2, k3, -p1, p2]),
            orientation=np.array([1.0, 0, 0, 0]),
            position=np.zeros(3),
        )

    def equals(self, other: "Camera") -> bool:
        """Whether every field is the same, to the last bit."""
        return self.to_dict() == other.to_dict()

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON holds it, without loss; `from_dict` gives the same back."""
        values = {name: getattr(self, name) for name in _FORMAT}
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else list(value) if name == "size" else value
            for name, value in values.items()
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Camera":
        """The camera that `to_dict` wrote, or any record with size, focal and centre. ValueError says what is wrong."""
        if not isinstance(record, Mapping):
            raise ValueError(f"a camera is a record with size, focal and centre, not {type(record).__name__}")
        missing = [name for name in ("size", "focal", "centre") if name not in record]
        unknown = sorted(set(record) - set(_FORMAT))
        if missing or unknown:
            wrong = f"lacks {', '.join(missing)}" if missing else f"holds {unknown[0]!r}, which no camera has"
            raise ValueError(f"the record of a camera {wrong}; a camera has {', '.join(_FORMAT)}")
        return cls(**record)


def to_screen(pixels: ArrayLike, size: Size) -> NDArray[np.float64]:
    """Pixels (..., 2) of a picture of `size` (height, width) in screen units: 2x/w - 1, 2y/w - h/w."""
    height, width = check_size(size)
    return _points(pixels, 2) * (2 / width) - _corner(height, width)


def from_screen(places: ArrayLike, size: Size) -> NDArray[np.float64]:
    """Screen units (..., 2) in pixels (..., 2) of a picture of `size` (height, width)."""
    height, width = check_size(size)
    return (_points(places, 2) + _corner(height, width)) * (width / 2)


def _corner(height: int, width: int) -> NDArray[np.float64]:
    """(2,) screen units from the picture's upper left corner to its middle."""
    return np.array([1, height / width])


def rotation_matrix(quaternion: ArrayLike) -> NDArray[np.float64]:
    """(..., 3, 3) of quaternions (..., 4) w x y z, of any length but 0: `matrix @ v` turns v."""
    q = np.asarray(quaternion, np.float64)
    w, x, y, z = np.moveaxis(q / np.linalg.norm(q, axis=-1, keepdims=True), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def quaternion(matrix: ArrayLike) -> NDArray[np.float64]:
    """(..., 4) w x y z, w >= 0, of rotation matrices (..., 3, 3).

    By the largest of the four components, which alone is safe to divide by (Shepperd, 1978).
    """
    m = np.asarray(matrix, np.float64)
    a, b, c = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    squares = np.stack([1 + a + b + c, 1 + a - b - c, 1 - a + b - c, 1 - a - b + c], -1)  # four times each one's
    x, y, z = (m[..., i, j] - m[..., j, i] for i, j in ((2, 1), (0, 2), (1, 0)))  # 4 w x, 4 w y, 4 w z
    p, q, r = (m[..., i, j] + m[..., j, i] for i, j in ((0, 1), (0, 2), (1, 2)))  # 4 x y, 4 x z, 4 y z
    products = np.stack(
        [
            np.stack([squares[..., 0], x, y, z], -1),
            np.stack([x, squares[..., 1], p, q], -1),
            np.stack([y, p, squares[..., 2], r], -1),
            np.stack([z, q, r, squares[..., 3]], -1),
        ],
        -2,
    )
    best = squares.argmax(-1)[..., None, None]
    chosen = np.take_along_axis(products, best, -2)[..., 0, :]
    chosen = chosen / np.linalg.norm(chosen, axis=-1, keepdims=True)
    return np.where(chosen[..., :1] < 0, -chosen, chosen)


def _vector(values: Any, name: str, length: int) -> NDArray[np.float64]:
    try:
        array = np.array(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} of a camera must be {length} numbers, not {values!r}") from None
    if array.shape != (length,) or not np.isfinite(array).all():
        raise ValueError(f"{name} of a camera must be {length} finite numbers, not {array.tolist()}")
    array.flags.writeable = False
    return array


def _points(points: ArrayLike, sides: int) -> NDArray[np.float64]:
    places = np.asarray(points, np.float64)
    if places.shape[-1:] != (sides,):
        raise ValueError(f"points have the shape (..., {sides}), not {places.shape}")
    return places
