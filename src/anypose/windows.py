"""Clips of a fixed number of frames cut from sequences of any length, and put together again.

A lifting system reads `frames` frames at once. Published evaluations cut in three ways, which give different figures:

- "centre": a window around every frame, edges repeated, of whose answer the middle frame counts (VideoPose3D, GLA-GCN).
- "chunks": windows one after the other; the last one is the last `frames` frames, so it overlaps (MixSTE, KTPFormer).
- "padded": windows one after the other around the sequence, whose edge frames are repeated on both sides (HoT).
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .skeleton import Skeleton

Cut = Literal["centre", "chunks", "padded"]
Lift = Callable[[NDArray[np.float32]], NDArray[np.float32]]
CUTS: tuple[Cut, ...] = ("centre", "chunks", "padded")


def places(length: int, frames: int, cut: Cut = "chunks") -> NDArray[np.intp]:
    """(N, frames) indices of the frames of each window over a sequence of `length` frames.

    A sequence shorter than a window has its edge frames repeated. Raises ValueError for no frames at all.
    """
    if length < 1 or frames < 1:
        raise ValueError(f"windows of {frames} frames over a sequence of {length}: both need one frame at least")
    if cut == "centre":
        starts, offset = np.arange(length), (frames - 1) // 2
    else:
        count = -(-length // frames)
        starts = np.arange(count) * frames
        offset = 0
        if cut == "padded" or length < frames:
            offset = (count * frames - length) // 2
        elif cut == "chunks":
            starts = np.minimum(starts, length - frames)
        else:
            raise ValueError(f"windows are cut {', '.join(CUTS)}, not {cut!r}")
    return np.clip(starts[:, None] - offset + np.arange(frames), 0, length - 1)


def together(answers: NDArray[np.float32], length: int, cut: Cut = "chunks") -> NDArray[np.float32]:
    """The windows' answers (N, frames, J, 3), or (N, 1, J, 3) for the middle frame alone, as a sequence
    (length, J, 3). Where windows overlap, the later one holds.
    """
    number, frames = answers.shape[:2]
    if cut == "centre":
        return answers[:, (frames - 1) // 2]
    if cut == "padded" or length < frames:
        offset = (number * frames - length) // 2
        return answers.reshape(-1, *answers.shape[2:])[offset : offset + length]
    sequence = np.empty((length, *answers.shape[2:]), answers.dtype)
    for row, answer in zip(places(length, frames, cut), answers):
        sequence[row] = answer
    return sequence


def counted_twice(length: int, frames: int) -> NDArray[np.intp]:
    """Frames in the order in which evaluation over "chunks" counts them, overlapped ones twice (MixSTE's custom)."""
    return places(length, frames, "chunks").ravel()


def lift(
    system: Lift,
    keypoints: NDArray[np.float32],
    frames: int,
    skeleton: Skeleton,
    *,
    cut: Cut = "chunks",
    flip: bool = True,
    batch: int = 64,
) -> NDArray[np.float32]:
    """A whole sequence through a system that reads a fixed number of frames.

    Args:
        system: (B, frames, J, 2) screen units to (B, frames, J, 3) metres, or (B, 1, J, 3) for the middle frame.
        keypoints: (T, J, 2) screen units.
        flip: also lift the mirrored keypoints, mirror the answer back, and take the mean.
        batch: windows that are lifted together.

    Returns: (T, J, 3) metres.

    Raises:
        ValueError: there is no frame, or a system that answers for the middle frame alone is cut otherwise.
    """
    windows = keypoints[places(len(keypoints), frames, cut)]  # N F J 2
    answers = []
    for start in range(0, len(windows), batch):
        part = np.ascontiguousarray(windows[start : start + batch])
        answer = system(part)
        if flip:
            answer = np.mean([answer, mirror(system(mirror(part, skeleton)), skeleton)], axis=0)
        answers.append(answer)
    found = np.concatenate(answers)
    if found.shape[1] != frames and cut != "centre":
        raise ValueError(f"the system answers for {found.shape[1]} of {frames} frames: cut windows by 'centre'")
    return together(found, len(keypoints), cut)


def mirror(keypoints: NDArray[np.float32], skeleton: Skeleton) -> NDArray[np.float32]:
    """Keypoints (..., J, 2 or 3) about x = 0 in a mirror: x changes sign, left and right change places."""
    flipped = keypoints[..., skeleton.mirror, :].copy()
    flipped[..., 0] *= -1
    return flipped
