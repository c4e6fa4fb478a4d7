"""Cameras around a moving person, and a model of a 2D detector that watches through them.

Motion in the world has y up, as CMU's. A camera looks at the person from an angle, a height and a distance; where the
numbers come from stands in `Rig`. Everything follows from a `numpy.random.Generator`, so that a seed fixes it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from ..camera import Camera, quaternion
from ..skeleton import H36M17, Skeleton
from ..track import Track
from .cmu import split

SIDE = 1000  # pixels of a simulated picture
NEAREST = 1.0  # metres between the camera and the nearest keypoint


@dataclass(frozen=True)
class Rig:
    """From where cameras look: ranges of the azimuth in radians, the height over the ground and the distance from
    the person in metres, and the focal length in screen units (2 is a picture as wide as the distance to it).
    """

    azimuth: tuple[float, float] = (0.0, 2 * np.pi)
    height: tuple[float, float] = (0.5, 2.5)
    distance: tuple[float, float] = (3.0, 7.0)
    focal: tuple[float, float] = (1.8, 2.6)

    def draw(self, random: Generator, number: int) -> list[NDArray[np.float64]]:
        """(number,) each of azimuth, height, distance and focal length."""
        ranges = (self.azimuth, self.height, self.distance, self.focal)
        return [low + (high - low) * random.random(number) for low, high in ranges]


USUAL = Rig()
# Looking down from a wall or a pole through a wider lens, which no camera of `USUAL` does.
ABOVE = Rig(height=(3.0, 4.5), distance=(3.5, 6.0), focal=(1.2, 1.7))


@dataclass(frozen=True)
class Cameras:
    """N cameras: rotation (N, 3, 3) whose rows are the camera's axes in the world, position (N, 3) metres, focal (N,)
    in screen units. Centred, without distortion.
    """

    rotation: NDArray[np.float64]
    position: NDArray[np.float64]
    focal: NDArray[np.float64]

    def see(self, points: ArrayLike) -> NDArray[np.float64]:
        """World points (N, ..., 3) in metres in the frame of each row's camera."""
        places = np.asarray(points, np.float64)
        middle = (len(self.focal), *[1] * (places.ndim - 2), 3)
        return np.einsum("nij,n...j->n...i", self.rotation, places - self.position.reshape(middle))

    def screen(self, seen: NDArray[np.float64]) -> NDArray[np.float64]:
        """Screen units (N, ..., 2) of points (N, ..., 3) of each row's frame."""
        focal = self.focal.reshape(-1, *[1] * (seen.ndim - 1))
        return focal * seen[..., :2] / seen[..., 2:]

    def camera(self, row: int, name: str | None = None) -> Camera:
        """One of them, of pictures of `SIDE` x `SIDE` pixels."""
        return Camera(
            size=(SIDE, SIDE),
            focal=np.full(2, self.focal[row] * SIDE / 2),
            centre=np.full(2, SIDE / 2),
            orientation=quaternion(self.rotation[row].T),
            position=self.position[row],
            name=name,
        )


def draw_cameras(random: Generator, targets: ArrayLike, rig: Rig = USUAL, ground: ArrayLike = 0.0) -> Cameras:
    """A camera for each target (N, 3), in metres, y up, which it looks at.

    Args:
        ground: (N,) or one number, metres, the height that the cameras' heights are counted from.
    """
    places = np.asarray(targets, np.float64)
    azimuth, height, distance, focal = rig.draw(random, len(places))
    return _placed(places, azimuth, np.asarray(ground, np.float64) + height, distance, focal)


def _placed(
    targets: NDArray[np.float64],
    azimuth: NDArray[np.float64],
    height: NDArray[np.float64],
    distance: NDArray[np.float64],
    focal: NDArray[np.float64],
) -> Cameras:
    """Cameras that stand `distance` away on the plane, `height` up, and look at their targets."""
    position = targets + distance[:, None] * np.stack([np.sin(azimuth), np.zeros_like(azimuth), np.cos(azimuth)], 1)
    position[:, 1] = height
    forward = targets - position
    forward /= np.linalg.norm(forward, axis=1, keepdims=True)
    right = np.cross(forward, (0.0, 1.0, 0.0))
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    return Cameras(np.stack([right, np.cross(forward, right), forward], 1), position, focal)


@dataclass(frozen=True)
class Detector:
    """What a 2D detector makes of true keypoints.

    noise: standard deviation of its error as a part of the person's height in the picture; elbows, knees, wrists and
    ankles err more. steady: the part of the error that lasts, as correlation from frame to frame. far: probability
    that a keypoint is a tenth of the height off. lost: probability that a keypoint is not found in a frame; it is
    lost for `length` frames on the average.
    """

    noise: float = 0.008
    steady: float = 0.8
    far: float = 0.005
    lost: float = 0.03
    length: float = 6.0

    def detect(
        self, random: Generator, screen: NDArray[np.float64], skeleton: Skeleton = H36M17
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Found keypoints (N, T, J, 2) and confidence (N, T, J) of true ones (N, T, J, 2) in any unit of length.

        A lost keypoint has confidence 0 and lies at 0, 0.
        """
        tall = np.ptp(screen, axis=2).max(axis=2)[:, :, None, None]  # N T 1 1
        error = _steady(random, screen.shape, self.steady) * self.noise
        error *= np.array([_CARELESS.get(name.split("_")[-1], 1.0) for name in skeleton.keypoints])[:, None]
        error += (random.random(screen.shape[:3]) < self.far)[..., None] * random.normal(0, 0.1, screen.shape)
        found = screen + error * tall
        size = np.linalg.norm(error, axis=-1)
        sure = np.clip(np.exp(-size / 0.04) + random.normal(0, 0.05, size.shape), 0.05, 1.0)
        gone = _bursts(random, screen.shape[:3], self.lost, self.length)
        return np.where(gone[..., None], 0.0, found), np.where(gone, 0.0, sure)


_CARELESS = {"elbow": 1.2, "wrist": 1.6, "knee": 1.2, "ankle": 1.6}


def _steady(random: Generator, shape: tuple[int, ...], correlation: float) -> NDArray[np.float64]:
    """Unit noise over axis 1 whose neighbours are correlated."""
    noise = random.normal(size=shape)
    fresh = np.sqrt(1 - correlation**2)
    for t in range(1, shape[1]):
        noise[:, t] = correlation * noise[:, t - 1] + fresh * noise[:, t]
    return noise


def _bursts(random: Generator, shape: tuple[int, ...], part: float, length: float) -> NDArray[np.bool_]:
    """True for about `part` of the entries, in runs along axis 1 of `length` on the average."""
    if not part:
        return np.zeros(shape, bool)
    begins = part / (1 - part) / length
    chance = random.random(shape)
    gone = np.empty(shape, bool)
    gone[:, 0] = chance[:, 0] < part
    for t in range(1, shape[1]):
        gone[:, t] = np.where(gone[:, t - 1], chance[:, t] >= 1 / length, chance[:, t] < begins)
    return gone


def film(
    motion: Track, random: Generator, rig: Rig = USUAL, detector: Detector | None = None, skeleton: Skeleton = H36M17
) -> tuple[Track, Track]:
    """A motion in the world as one camera and a detector see it: 2D track in pixels, 3D track in the camera's frame.

    The camera looks at the middle of where the pelvis goes, and steps back where a keypoint would come nearer than
    `NEAREST`. Without a detector the keypoints are the true ones.

    Raises ValueError when the motion is not in the world.
    """
    if motion.space != "world":
        raise ValueError(f"a camera films a motion in the world, not one in the space {motion.space!r}")
    body, _ = motion.to_skeleton(skeleton)
    points = body.keypoints[None].astype(np.float64)
    centre = points[:, :, skeleton.root].mean(1)
    low = points[..., 1].min()
    azimuth, height, distance, focal = rig.draw(random, 1)
    while True:
        cameras = _placed(centre, azimuth, low + height, distance, focal)
        seen = cameras.see(points)
        if seen[..., 2].min() >= NEAREST:
            break
        distance = distance + 0.5
    screen = cameras.screen(seen)
    if detector is None:
        found, sure = screen, np.ones(screen.shape[:3])
    else:
        found, sure = detector.detect(random, screen, skeleton)
    camera = cameras.camera(0, name=motion.name)
    pixels = np.where((sure > 0)[..., None], camera.from_screen_units(found), 0.0)[0]
    fields: dict[str, Any] = {"times": motion.times, "skeleton": skeleton, "camera": camera, "name": motion.name}
    return (
        Track(keypoints=pixels, confidence=sure[0], size=(SIDE, SIDE), **fields),
        Track(keypoints=seen[0], space="camera", **fields),
    )


# From where they look, and which seeds draw them.
_RIGS = {"seen": (USUAL, 0), "unseen": (USUAL, 1), "above": (ABOVE, 2)}


@dataclass(frozen=True)
class Benchmark:
    """The default benchmark over CMU: pairs of a 2D track as detected and the 3D track in its camera's frame.

    Fixed by a seed: the seen cameras are drawn from it once and stand around every clip; unseen ones are drawn from
    the same rig with other seeds, `above` from one that looks down.
    """

    clips: Mapping[str, Track]
    subject: str = "02"
    cameras: int = 8
    seed: int = 0
    detector: Detector = Detector()
    skeleton: Skeleton = H36M17

    def pairs(
        self, names: Sequence[str], which: str = "seen", number: int | None = None
    ) -> Iterator[tuple[Track, Track]]:
        """Each clip of `names` through `number` of the cameras "seen", "unseen" or "above"."""
        for i in range(self.cameras if number is None else number):
            fixed = self.camera(which, i)
            for name in names:
                noise = np.random.default_rng((self.seed, _RIGS[which][1], i, sorted(self.clips).index(name)))
                yield film(self.clips[name], noise, fixed, self.detector, self.skeleton)

    def camera(self, which: str, number: int) -> Rig:
        """Where one of the cameras "seen", "unseen" or "above" stands: a rig that draws nothing else."""
        if which not in _RIGS:
            raise ValueError(f"cameras are {', '.join(_RIGS)}, not {which!r}")
        rig, kind = _RIGS[which]
        drawn = rig.draw(np.random.default_rng((self.seed, kind, number)), 1)
        return Rig(*((float(value[0]),) * 2 for value in drawn))

    def train(self) -> tuple[str, ...]:
        """Clips that are learned from."""
        return split(self.clips, self.subject).train

    def test(self) -> tuple[str, ...]:
        """Clips of the subject that is never seen."""
        return split(self.clips, self.subject).unseen_subject
