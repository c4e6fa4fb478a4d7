"""FreeMan: eight phones around a person, out of doors and in (Wang et al., CVPR 2024).

A folder such as `30FPS` with `bbox2d`, `keypoints2d`, `keypoints3d`, `cameras`, `videos` and lists of sessions. Its
keypoints are COCO's; centimetres become metres, OpenCV's cameras become `Camera`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..camera import Camera, quaternion
from ..skeleton import COCO17
from ..track import Track
from .archives import ArchiveError, read_array
from .takes import Take, times

PARTS = ("train", "validation", "test")
Kind = Literal["keypoints3d", "keypoints3d_optim", "keypoints3d_smoothnet", "keypoints3d_smoothnet32"]


def sessions(folder: str | Path, part: str | None = None) -> list[str]:
    """Names of the sessions of a part ("train", "validation", "test"; None for all), less those to be ignored.

    Raises:
        FileNotFoundError: the folder has no such list.
        ValueError: there is no such part.
    """
    if part is not None and part not in PARTS:
        raise ValueError(f"FreeMan has the parts {', '.join(PARTS)}, not {part!r}")
    home = Path(folder)
    listed = home / ("session_list.txt" if part is None else f"{part}.txt")
    if not listed.is_file():
        raise FileNotFoundError(f"{listed} is not there: give the folder that holds FreeMan's lists of sessions")
    ignored = home / "ignore_list.txt"
    left_out = set(ignored.read_text(encoding="utf-8").split()) if ignored.is_file() else set()
    return [name for name in listed.read_text(encoding="utf-8").split() if name not in left_out]


def read(folder: str | Path, session: str, kind: Kind = "keypoints3d_smoothnet", rate: float = 30.0) -> Iterator[Take]:
    """What each camera saw in a session.

    Args:
        kind: which of the reference bodies: as triangulated, optimised, or smoothed.
        rate: frames a second, 30 or 60, as the folder's name says.

    A keypoint of the reference that is not a number gets confidence 0.

    Raises:
        FileNotFoundError: a file of the session is not there.
        ArchiveError: a file is not what it should be.
    """
    home = Path(folder)
    cameras = read_cameras(home / "cameras" / f"{session}.json")
    seen = _entries(home / "keypoints2d" / f"{session}.npy")
    pixels = np.asarray(seen.get("keypoints2d", ()))
    points, where = _bodies(home / "keypoints3d" / f"{session}.npy", kind)
    joints = len(COCO17)
    if pixels.ndim != 4 or pixels.shape[2:] != (joints, 3) or len(pixels) != len(cameras):
        raise ArchiveError(
            f"{session}: keypoints2d are {pixels.shape}; expected ({len(cameras)} cameras, N, {joints}, 3)"
        )
    frames = min(pixels.shape[1], len(points))
    if points.shape[1:] != (joints, 3):
        raise ArchiveError(f"{where} are {points.shape}; expected (N, {joints}, 3)")
    points, known = points[:frames] / 100, np.all(np.isfinite(points[:frames]), axis=-1)
    points = np.where(known[..., None], points, 0.0)
    seconds = times(frames, rate)
    subject = session.rsplit("_", 1)[-1]
    for view, camera in zip(pixels[:, :frames].astype(np.float64), cameras):
        finite = np.all(np.isfinite(view), axis=-1, keepdims=True)
        found, sure = np.where(finite, view, 0.0)[..., :2], np.where(finite, view, 0.0)[..., 2].clip(0, 1)
        picture = Track(seconds, found, sure, size=camera.size, camera=camera)
        body = Track(seconds, camera.to_camera(points), known.astype(np.float32), space="camera", camera=camera)
        yield Take(subject, session, picture, body, camera)


def read_cameras(path: str | Path) -> list[Camera]:
    """The cameras of a session's JSON, as OpenCV has them: name, size (width, height), matrix, rotation (Rodrigues),
    translation in centimetres, distortions k1 k2 p1 p2 k3.
    """
    try:
        records = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArchiveError(f"{path}: is no JSON ({error})") from error
    cameras = []
    for i, record in enumerate(records):
        try:
            k1, k2, p1, p2, k3 = (*np.asarray(record["distortions"], np.float64).ravel(), *[0.0] * 5)[:5]
            matrix = np.asarray(record["matrix"], np.float64).reshape(3, 3)
            turn = _rodrigues(np.asarray(record["rotation"], np.float64).reshape(3))
            shift = np.asarray(record["translation"], np.float64).reshape(3) / 100
            width, height = (int(side) for side in record["size"])
            cameras.append(
                Camera(
                    size=(height, width),
                    focal=matrix[[0, 1], [0, 1]],
                    centre=matrix[:2, 2],
                    distortion=np.array([k1, k2, k3, p2, p1]),
                    orientation=quaternion(turn.T),
                    position=-turn.T @ shift,
                    tangential=2.0,
                    name=str(record.get("name", i)),
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArchiveError(f"{path}: camera {i} is not as OpenCV has them: {error}") from error
    return cameras


def triangulate(cameras: Sequence[Camera], pixels: ArrayLike, confidence: ArrayLike) -> NDArray[np.float64]:
    """World points (..., 3) in metres that fall on pixels (V, ..., 2) of V cameras.

    Each view counts by its confidence (V, ...). NaN where fewer than two views have any. By least squares over the
    rays: the point whose weighted distances from them are least.
    """
    weights = np.asarray(confidence, np.float64)
    total = np.zeros((*weights.shape[1:], 3, 3))
    towards = np.zeros((*weights.shape[1:], 3))
    for camera, view, weight in zip(cameras, np.asarray(pixels, np.float64), weights):
        ray = camera.to_world(camera.unproject(view, 1.0)) - camera.position
        usable = np.isfinite(ray).all(-1)
        ray = np.where(usable[..., None], ray, (0, 0, 1))
        ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
        across = (np.eye(3) - ray[..., :, None] * ray[..., None, :]) * np.where(usable, weight, 0)[..., None, None]
        total += across
        towards += across @ camera.position
    enough = (weights > 0).sum(0) >= 2
    total = np.where(enough[..., None, None], total, np.eye(3))
    points = np.linalg.solve(total, towards[..., None])[..., 0]
    return np.where(enough[..., None], points, np.nan)


def _rodrigues(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation matrix (3, 3) of an axis times its angle (3,)."""
    angle = float(np.linalg.norm(vector))
    if angle == 0:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _entries(path: Path) -> dict[str, Any]:
    """The one dict in an npy file of objects."""
    array = read_array(path.read_bytes(), str(path))
    entry = array.ravel()[0] if array.dtype == object and array.size == 1 else None
    if not isinstance(entry, dict):
        raise ArchiveError(f"{path}: is an array {array.shape} of {array.dtype}; expected one dict")
    return entry


def _bodies(path: Path, kind: str) -> tuple[NDArray[np.float64], str]:
    entry = _entries(path)
    if kind not in entry:
        raise ArchiveError(f"{path}: holds no {kind!r}; it holds {', '.join(entry)}")
    points = np.asarray(entry[kind], np.float64)
    return (points[:, None] if points.ndim < 2 else points), f"{path}: {kind}"
