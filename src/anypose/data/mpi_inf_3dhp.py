"""MPI-INF-3DHP as P-STMO and D3DP keep it: `data_train_3dhp.npz`, `data_test_3dhp.npz`, and their `_ori` versions.

P-STMO's files hold the annotation for a body of universal height, D3DP's `_ori` files the true one, whose bodies fall
on their keypoints; the arrays have one form. Millimetres in the camera's frame become metres.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..skeleton import MPI_INF_3DHP17
from ..track import Track
from .archives import ArchiveError, open_archive
from .takes import Take, times

RATE = 25.0  # the files state none
_WIDE = {"TS5", "TS6"}


def read_train(path: str | Path, rate: float = RATE) -> Iterator[Take]:
    """Training sequences: "S1 Seq1" by each camera, which `Take.action` ends with.

    Raises:
        FileNotFoundError: there is no such file.
        ArchiveError: the file is not what it should be.
    """
    for name, views in _sequences(path).items():
        cameras = views[0] if isinstance(views, list | tuple) and views else views
        if not isinstance(cameras, dict):
            raise ArchiveError(f"{path}: {name} is no list with a dict of cameras")
        subject, _, sequence = name.partition(" ")
        for camera, arrays in cameras.items():
            where = f"{path}: {name}, camera {camera}"
            yield _take(subject, f"{sequence} camera {camera}".strip(), arrays, (2048, 2048), rate, where)


def read_test(path: str | Path, rate: float = RATE) -> Iterator[Take]:
    """Test sequences TS1 to TS6, `valid` marking the frames that count. Raises as `read_train`."""
    for name, arrays in _sequences(path).items():
        size = (1080, 1920) if name in _WIDE else (2048, 2048)
        yield _take(name, "test", arrays, size, rate, f"{path}: {name}")


def _sequences(path: str | Path) -> dict[str, Any]:
    sequences = open_archive(path).content("data")
    if not isinstance(sequences, dict) or not sequences:
        raise ArchiveError(f"{path}: data is no dict of sequences")
    return sequences


def _take(subject: str, action: str, arrays: Any, size: tuple[int, int], rate: float, where: str) -> Take:
    missing = [name for name in ("data_2d", "data_3d") if not isinstance(arrays, dict) or name not in arrays]
    if missing:
        raise ArchiveError(f"{where} lacks {missing[0]}")
    pixels, points = np.asarray(arrays["data_2d"]), np.asarray(arrays["data_3d"])
    joints = len(MPI_INF_3DHP17)
    if points.ndim != 3 or points.shape[1:] != (joints, 3) or pixels.shape != (len(points), joints, 2):
        raise ArchiveError(f"{where}: {pixels.shape} and {points.shape}; expected (T, 17, 2) and (T, 17, 3)")
    seconds = times(len(points), rate)
    valid = None
    if "valid" in arrays:
        valid = np.asarray(arrays["valid"]).reshape(-1).astype(bool)
        if len(valid) != len(points):
            raise ArchiveError(f"{where}: {len(valid)} frames are marked valid or not, of {len(points)}")
    return Take(
        subject,
        action,
        picture=Track(seconds, pixels, skeleton=MPI_INF_3DHP17, size=size),
        body=Track(seconds, points / 1000, skeleton=MPI_INF_3DHP17, space="camera"),
        valid=valid,
    )
