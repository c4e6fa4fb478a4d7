"""Human3.6M as MotionBERT pickles it: rows of single frames, cut into clips by where they come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import to_screen
from ..skeleton import H36M17
from .archives import ArchiveError, load_pickle

_TALL = {"54138969", "60457274"}  # cameras whose pictures are 1002 pixels high


@dataclass(frozen=True, eq=False)
class Rows:
    """N single frames in order.

    keypoints: (N, 17, 2) screen units. confidence: (N, 17). joints: (N, 17, 3) x and y in screen units, z in the same
    scale from the root's depth as the file has it. sources: (N,) of which video each is. sizes: (N, 2) height and
    width of the pictures.
    """

    keypoints: NDArray[np.float32]
    confidence: NDArray[np.float32]
    joints: NDArray[np.float32]
    sources: NDArray[Any]
    sizes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.keypoints)

    def clips(self, frames: int = 243, stride: int = 81) -> Iterator[NDArray[np.intp]]:
        """(frames,) rows of each clip: every `stride` within a video; a shorter video has its last row repeated."""
        breaks = np.flatnonzero(self.sources[1:] != self.sources[:-1]) + 1
        for start, end in zip([0, *breaks.tolist()], [*breaks.tolist(), len(self)]):
            last = max(start, end - frames)
            for first in range(start, last + 1, stride):
                yield np.minimum(np.arange(first, first + frames), end - 1)


def read(path: str | Path, part: str = "train") -> Rows:
    """The part "train" or "test" of such a pickle.

    Raises:
        FileNotFoundError: there is no such file.
        ArchiveError: it is no pickle of arrays, has no such part, or its arrays do not fit together.
    """
    content = load_pickle(path)
    if not isinstance(content, dict) or part not in content:
        there = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise ArchiveError(f"{path}: holds no part {part!r}; it holds {there}")
    arrays = content[part]
    needed = ("joint_2d", "joint3d_image", "camera_name", "source")
    missing = [name for name in needed if not isinstance(arrays, dict) or name not in arrays]
    if missing:
        raise ArchiveError(f"{path}: {part} lacks {missing[0]}")
    pixels, joints = np.asarray(arrays["joint_2d"], np.float64), np.asarray(arrays["joint3d_image"], np.float64)
    sources, cameras = np.asarray(arrays["source"]), np.asarray(arrays["camera_name"]).astype(str)
    number, joint_count = len(sources), len(H36M17)
    confidence = np.asarray(arrays.get("confidence", np.ones((number, joint_count)))).reshape(number, -1)
    shapes = (pixels.shape, joints.shape, confidence.shape, cameras.shape)
    expected = ((number, joint_count, 2), (number, joint_count, 3), (number, joint_count), (number,))
    if shapes != expected:
        raise ArchiveError(f"{path}: {part} holds {shapes} for {number} rows; expected {expected}")
    heights = np.where(np.isin(cameras, list(_TALL)), 1002, 1000)
    on_screen, body = np.empty(pixels.shape, np.float32), np.empty(joints.shape, np.float32)
    for height in np.unique(heights):
        rows = heights == height
        size = (int(height), 1000)
        on_screen[rows] = to_screen(pixels[rows], size)
        body[rows, :, :2] = to_screen(joints[rows, :, :2], size)
    body[..., 2] = joints[..., 2] * 2 / 1000
    sizes = np.stack([heights, np.full(number, 1000)], 1)
    return Rows(on_screen, confidence.astype(np.float32), body, sources, sizes)
