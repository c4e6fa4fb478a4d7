"""Human3.6M and HumanEva as VideoPose3D keeps them: `data_3d_NAME.npz` and `data_2d_NAME_DETECTIONS.npz`.

`positions_3d` is a dict of subjects, of dicts of actions, of (T, J, 3) float32 metres in the world; `positions_2d` of
lists with (T, J, 2) pixels for each camera, beside `metadata`. The cameras are in neither file: whoever has the data
set has them too, and gives them by subject.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..skeleton import H36M17, HUMANEVA15, Skeleton
from ..track import Track
from .archives import ArchiveError, open_archive
from .takes import Take, times

# Of Human3.6M's 32 joints the 17 that are kept.
_KEPT = tuple(joint for joint in range(32) if joint not in {4, 5, 9, 10, 11, 16, *range(20, 25), *range(28, 32)})
_RENAMED = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog"}


@dataclass(frozen=True)
class Layout:
    """How a data set is kept: its skeleton, frames a second, sizes (H, W) of its cameras' pictures in order."""

    skeleton: Skeleton
    rate: float
    sizes: tuple[tuple[int, int], ...]


H36M = Layout(H36M17, 50.0, ((1002, 1000), (1000, 1000), (1000, 1000), (1002, 1000)))
HUMANEVA = Layout(HUMANEVA15, 60.0, ((480, 640),) * 3)


def h36m(
    motion: str | Path, detections: str | Path | None = None, cameras: Mapping[str, Sequence[Camera]] | None = None
) -> Iterator[Take]:
    """Human3.6M: `data_3d_h36m.npz`, and `data_2d_h36m_gt.npz` or `data_2d_h36m_cpn_ft_h36m_dbb.npz`.

    Args:
        detections: without them there are no pictures, and one take a motion, in the world.
        cameras: four of each subject, such as "S9"; without them bodies stay in the world.

    S11's Directions, which is broken, is left out; actions have VideoPose3D's names; detections that go on after the
    motion are cut.

    Raises:
        FileNotFoundError: a file is not there.
        ArchiveError: a file is not what it should be.
    """
    return _takes(motion, detections, cameras, H36M, drop=("S11", "Directions"))


def humaneva(
    motion: str | Path, detections: str | Path | None = None, cameras: Mapping[str, Sequence[Camera]] | None = None
) -> Iterator[Take]:
    """HumanEva-I: `data_3d_humaneva15.npz`, `data_2d_humaneva15_gt.npz` and others; as `h36m`.

    Subjects are "Train/S1" to "Validate/S3", actions "Walking 1 chunk0" and so on.
    """
    return _takes(motion, detections, cameras, HUMANEVA)


def _takes(
    motion: str | Path,
    detections: str | Path | None,
    cameras: Mapping[str, Sequence[Camera]] | None,
    layout: Layout,
    drop: tuple[str, str] | None = None,
) -> Iterator[Take]:
    bodies = _actions(motion, "positions_3d")
    pictures = None if detections is None else _pictures(detections, layout)
    for subject, actions in bodies.items():
        for said, points in actions.items():
            action = _renamed(said)
            if drop == (subject, action.split(" ")[0]):
                continue
            where = f"{motion}: {subject} {said}"
            world = Track(
                times=times(len(points), layout.rate),
                keypoints=_kept(points, layout.skeleton, where),
                skeleton=layout.skeleton,
                space="world",
            )
            if pictures is None:
                yield Take(subject, action, body=world)
                continue
            if action not in pictures.get(subject, {}):
                raise ArchiveError(f"{detections}: holds nothing of {subject} {action}, which {motion} has")
            views = pictures[subject][action]
            taken_by = None if cameras is None else cameras.get(subject)
            if cameras is not None and (taken_by is None or len(taken_by) != len(views)):
                have = 0 if taken_by is None else len(taken_by)
                raise ArchiveError(f"{detections}: {subject} has {len(views)} cameras; {have} were given")
            for view, pixels in enumerate(views):
                camera = None if taken_by is None else taken_by[view]
                yield _view(subject, action, world, pixels, layout.sizes[view], camera, f"{detections}: {where}")


def _view(
    subject: str,
    action: str,
    world: Track,
    pixels: NDArray[Any],
    size: tuple[int, int],
    camera: Camera | None,
    where: str,
) -> Take:
    """What one camera saw of a motion."""
    joints = len(world.skeleton)
    if pixels.ndim != 3 or pixels.shape[1:] != (joints, 2) or len(pixels) < len(world):
        raise ArchiveError(f"{where}: detections are {pixels.shape}; expected ({len(world)} or more, {joints}, 2)")
    size = size if camera is None else camera.size
    picture = Track(world.times, pixels[: len(world)], skeleton=world.skeleton, size=size, camera=camera)
    body = world
    if camera is not None:
        points = camera.to_camera(world.keypoints)
        body = Track(world.times, points, skeleton=world.skeleton, space="camera", camera=camera)
    return Take(subject, action, picture, body, camera)


def _actions(path: str | Path, name: str) -> dict[str, dict[str, Any]]:
    """Subjects' actions; ArchiveError where they are no dicts of dicts."""
    subjects = open_archive(path).content(name)
    if not isinstance(subjects, dict) or not all(isinstance(actions, dict) for actions in subjects.values()):
        raise ArchiveError(f"{path}: {name} is no dict of subjects with dicts of actions")
    return subjects


def _pictures(path: str | Path, layout: Layout) -> dict[str, dict[str, list[NDArray[Any]]]]:
    """Detections of subjects' actions, once their keypoints are known to be the skeleton's."""
    archive = open_archive(path)
    if "metadata" in archive:
        stated = archive.content("metadata")
        pairs = [list(map(int, side)) for side in stated.get("keypoints_symmetry", ())]
        ours = [[pair[side] for pair in layout.skeleton.mirror_pairs] for side in (0, 1)]
        joints = len(layout.skeleton)
        if stated.get("num_joints", joints) != joints or (
            pairs and [sorted(s) for s in pairs] != [sorted(s) for s in ours]
        ):
            raise ArchiveError(
                f"{path}: keypoints are of {stated.get('layout_name', 'another layout')} with "
                f"{stated.get('num_joints')} joints, not of {layout.skeleton.name}"
            )
    found = _actions(path, "positions_2d")
    pictures: dict[str, dict[str, list[NDArray[Any]]]] = {}
    for subject, actions in found.items():
        pictures[subject] = {}
        for action, views in actions.items():
            if len(views) > len(layout.sizes):
                raise ArchiveError(f"{path}: {subject} {action} has {len(views)} cameras of {len(layout.sizes)}")
            pictures[subject][_renamed(action)] = [np.asarray(view) for view in views]
    return pictures


def _renamed(action: str) -> str:
    first, *rest = action.split(" ")
    return " ".join([_RENAMED.get(first, first), *rest])


def _kept(points: Any, skeleton: Skeleton, where: str) -> NDArray[Any]:
    """The skeleton's joints of (T, 32, 3) or (T, J, 3)."""
    array = np.asarray(points)
    if array.ndim == 3 and array.shape[1:] == (32, 3) and skeleton == H36M17:
        array = array[:, _KEPT]
    if array.ndim != 3 or array.shape[1:] != (len(skeleton), 3):
        raise ArchiveError(f"{where} is {array.shape}; expected (T, {len(skeleton)}, 3) metres")
    return array
