"""LiftingPredictor: what `load` returns for a lifting system. A 2D track in, a 3D track out."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from . import windows
from .camera import to_screen
from .gaps import at_parents
from .runtime import NotedEngine
from .skeleton import SKELETONS, Skeleton
from .track import Track

LEAST = 0.3  # confidence below which a keypoint is taken for not found
FOCAL = 2.2  # screen units: keypoints of a known camera are put as this one would have taken them
# Of a person's height: from the ankles (0.039) to the eyes (0.936), where bodies of Human3.6M and CMU have their head
# (Drillis and Contini, Body Segment Parameters, 1966).
SPAN = 0.936 - 0.039


class LiftingPredictor:
    """A lifting system.

    Attributes:
        name: of the system.
        skeleton: of the bodies it gives, and of the keypoints it reads.
        frames: that one answer looks at.
    """

    graphs = ("lift",)
    rows = ()

    def __init__(self, name: str, engine: NotedEngine) -> None:
        self.name = name
        self._engine = engine
        self._notes: dict[str, str] | None = None

    def _note(self, name: str) -> str:
        if self._notes is None:
            self._notes = dict(self._engine.notes("lift"))
        if name not in self._notes:
            raise ValueError(f"the graph of {self.name} does not say its {name}: write it anew with `anypose export`")
        return self._notes[name]

    @property
    def skeleton(self) -> Skeleton:
        return SKELETONS[self._note("skeleton")]

    @property
    def frames(self) -> int:
        return int(self._note("frames"))

    def lift(self, track: Track, *, height: float | None = None, flip: bool = True) -> Track:
        """The person in space.

        Without anything more the bodies have the size of those that the system learned from, and stand with their
        root at 0: the space "root". A height makes them as large as the person. A camera in the track puts them where
        that camera would see them, at the distance that fits their size: the space "camera".

        Args:
            track: in a picture. Its keypoints become those of the system's skeleton; uncertain ones are put between
                their neighbours in time, those never found on the keypoint before them. `note` says so.
            height: of the person in metres, standing upright without shoes.
            flip: lift the mirrored track too, and take the mean.

        Raises:
            ValueError: the track is in metres already, does not say the size of its pictures, or lacks keypoints that
                a body cannot be lifted without; or no person has that height.
        """
        if height is not None and not 0.3 <= height <= 3:
            raise ValueError(f"a height of {height:g} m is no person's: give metres, such as 1.75")
        ready, said = self.prepared(track)
        screen = self._screen(ready)
        bodies = self._bodies(screen, flip).astype(np.float64)
        bodies -= bodies[:, self.skeleton.root, None]
        if height is not None:
            bodies *= height / stature(bodies, self.skeleton)
            said += (f"as tall as {height:g} m",)
        else:
            said += ("as large as the people the system learned from, since no height is given",)
        space = "root"
        if track.camera is not None:
            bodies += placed(bodies, screen / FOCAL, ready.confidence)[:, None]
            space = "camera"
        return dataclasses.replace(ready, keypoints=bodies, space=space, note="; ".join((f"by {self.name}", *said)))

    def prepared(self, track: Track) -> tuple[Track, tuple[str, ...]]:
        """The track as the system reads it, and in words what was made, filled or missing. Raises as `lift`."""
        if track.space != "picture":
            raise ValueError(f"this track is in metres already (space {track.space!r}); lifting starts from pixels")
        if track.size is None and track.camera is None:
            raise ValueError('the track does not say the size of its pictures: add "size": [height, width] in pixels')
        mapped, made = track.to_skeleton(self.skeleton, LEAST)
        ready, never = mapped.filled_in(LEAST)
        if self.skeleton.keypoints[self.skeleton.root] in never:
            raise ValueError(
                f"the {self.skeleton.keypoints[self.skeleton.root]} is found in no frame"
                f"{' (it is made of both hips)' if made else ''}: a body is measured from there and cannot be lifted"
            )
        if len(never) > len(self.skeleton) // 2:
            raise ValueError(f"{len(never)} of {len(self.skeleton)} keypoints are found in no frame: too few to lift")
        gone = np.isin(self.skeleton.keypoints, never)
        places = at_parents(ready.keypoints, gone, self.skeleton)
        said = (*made, *(f"never found, guessed: {name.replace('_', ' ')}" for name in never))
        unsure = int(((ready.confidence < LEAST) & ~gone).sum())
        if unsure:
            said += (f"{unsure} of {ready.confidence.size} keypoints were uncertain and lie between their neighbours",)
        return dataclasses.replace(ready, keypoints=places), said

    def _screen(self, track: Track) -> NDArray[np.float64]:
        """(T, J, 2) screen units; those of a known camera as one without a lens's faults, of the focal length FOCAL."""
        if track.camera is None:
            assert track.size is not None
            return to_screen(track.keypoints, track.size)
        rays = track.camera.unproject(track.keypoints, 1.0)[..., :2]
        if not np.isfinite(rays).all():
            frame = int(np.argwhere(~np.isfinite(rays))[0][0])
            raise ValueError(f"a keypoint of frame {frame} lies where the camera's lens shows nothing")
        return rays * FOCAL

    def _bodies(self, screen: NDArray[np.float64], flip: bool) -> NDArray[np.float32]:
        keypoints = screen.astype(np.float32)

        def system(clips: NDArray[np.float32]) -> NDArray[np.float32]:
            return self._engine.run("lift", {"keypoints": clips})["joints"]

        frames = len(keypoints) if self._note("length") == "any" else self.frames
        cut: windows.Cut = "centre" if self._note("answers") == "centre" else "chunks"
        return windows.lift(system, keypoints, frames, self.skeleton, cut=cut, flip=flip)


def stature(bodies: NDArray[np.float64], skeleton: Skeleton) -> float:
    """The height in metres of a person whose bones are those of bodies (T, J, 3): the middle over the frames.

    From the lengths of leg, trunk, neck and head, however the body is bent.

    Raises ValueError for a skeleton without them.
    """
    missing = [name for name in ("left_ankle", "right_ankle", "head") if name not in skeleton.keypoints]
    if missing:
        raise ValueError(f"the height of {skeleton.name} is not known: it has no {missing[0]}")

    def length(*names: str) -> NDArray[np.float64]:
        path = bodies[:, [skeleton.index(name) for name in names]]
        return np.linalg.norm(np.diff(path, axis=1), axis=-1).sum(1)

    hips = bodies[:, [skeleton.index("left_hip"), skeleton.index("right_hip")]].mean(1)
    leg = (length("left_hip", "left_knee", "left_ankle") + length("right_hip", "right_knee", "right_ankle")) / 2
    trunk = length("pelvis", "spine", "thorax", "upper_neck", "head")
    low = np.linalg.norm(bodies[:, skeleton.root] - hips, axis=-1)
    return float(np.median(leg + trunk + low) / SPAN)


def placed(
    bodies: NDArray[np.float64], rays: NDArray[np.float64], confidence: NDArray[np.float32]
) -> NDArray[np.float64]:
    """(T, 3) metres in the camera's frame, where the roots of bodies (T, J, 3) stand, seen along rays (T, J, 2).

    The least squares of x + X = u (z + Z) and y + Y = v (z + Z) over the joints, weighted by confidence, and again by
    the depths found, so that errors count in the picture.
    """
    weights = np.maximum(confidence.astype(np.float64), 1e-3)
    one, zero = np.ones_like(rays[..., 0]), np.zeros_like(rays[..., 0])
    across = np.stack([one, zero, -rays[..., 0]], -1)
    down = np.stack([zero, one, -rays[..., 1]], -1)
    matrix = np.stack([across, down], 2)  # T J 2 3
    goal = rays * bodies[..., 2:] - bodies[..., :2]  # T J 2
    root = np.zeros((len(bodies), 3))
    for _ in range(2):
        depth = np.maximum(bodies[..., 2] + root[:, None, 2], 0.1) if root.any() else 1.0
        weighted = matrix * (weights / depth)[..., None, None]
        normal = np.einsum("tjki,tjkl->til", weighted, weighted)
        aim = np.einsum("tjki,tjk->ti", weighted, goal * (weights / depth)[..., None])
        root = np.linalg.solve(normal, aim[..., None])[..., 0]
    return root
