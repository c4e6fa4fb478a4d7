"""Human3.6M as DiffPose keeps it: an HDF5 file with a table of rows, each a frame with its heatmaps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .archives import ArchiveError

_NEEDED = {"gt_3d": (3, 17), "gt_2d": (2, 17), "argmax_2d": (2, 16), "heatmap": (16, 64, 64)}
_NAMED = ("action", "subject", "subaction", "cam", "frame_orig", "hardsubset")
BLOCK = 256  # rows read at a time


@dataclass(frozen=True, eq=False)
class Frames:
    """N frames.

    joints: (N, 17, 3) metres in the camera's frame, order of `H36M17`. keypoints: (N, 17, 2) and peaks: (N, 16, 2)
    pixels, the latter those of the heatmaps, order of `MPII16`. heatmaps: (N, 16, 64, 64) float16. facts: of each
    row, by the table's names, such as action, subject, cam and hardsubset, where it has them.
    """

    joints: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    peaks: NDArray[np.float32]
    heatmaps: NDArray[np.float16]
    facts: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.joints)


def read(path: str | Path, part: str = "trainset", every: int = 1, block: int = BLOCK) -> Iterator[Frames]:
    """The rows of `part` ("trainset" or "testset") in blocks, every so manieth.

    Raises:
        FileNotFoundError: there is no such file.
        ArchiveError: h5py is not installed, or the file is not what it should be.
    """
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise ArchiveError(f"{path}: HDF5 files need h5py: pip install 'anypose[datasets]'") from error
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is not there: give DiffPose's HDF5 file")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ArchiveError(f"{path}: is no HDF5 file ({error})") from error
    with file:
        name = f"dataset/{part}"
        if name not in file:
            there = ", ".join(file["dataset"]) if "dataset" in file else ", ".join(file) or "nothing"
            raise ArchiveError(f"{path}: holds no table {name}; it holds {there}")
        table = file[name]
        for column, shape in _NEEDED.items():
            found = table.dtype.fields[column][0].shape if table.dtype.fields and column in table.dtype.fields else None
            if found != shape:
                raise ArchiveError(f"{path}: {column} of {name} is {found}; expected {shape}")
        for start in range(0, len(table), block * every):
            yield _frames(table[start : start + block * every : every])


def _frames(rows: NDArray[Any]) -> Frames:
    def upright(name: str) -> NDArray[np.float32]:
        return np.ascontiguousarray(rows[name].swapaxes(1, 2), np.float32)

    return Frames(
        joints=upright("gt_3d") / np.float32(1000),
        keypoints=upright("gt_2d"),
        peaks=upright("argmax_2d"),
        heatmaps=rows["heatmap"].astype(np.float16),
        facts={name: rows[name] for name in _NAMED if name in (rows.dtype.names or ())},
    )
