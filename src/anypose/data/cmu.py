"""CMU's motion capture (mocap.cs.cmu.edu), as `cmu_60hz.npz` keeps it: walking, running, jumping, climbing, balancing.

The data was obtained from mocap.cs.cmu.edu; the database was created with funding from NSF EIA-0196217.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..skeleton import CMU31
from ..track import Track
from .archives import ArchiveError, open_archive

RATE = 60.0  # frames a second
SUFFIX = "/positions"


def read(path: str | Path) -> dict[str, Track]:
    """Every clip by its name, "01_05" being the fifth of subject 01, in the world: metres, y up, skeleton `CMU31`.

    Raises:
        FileNotFoundError: there is no such file.
        ArchiveError: the file is no npz, or none of CMU's clips.
    """
    archive = open_archive(path)
    clips = sorted(name.removesuffix(SUFFIX) for name in archive if name.endswith(SUFFIX))
    if not clips:
        raise ArchiveError(f"{path}: holds no clip: expected arrays such as '01_05{SUFFIX}' (T, {len(CMU31)}, 3)")
    tracks = {}
    for clip in clips:
        positions = archive[clip + SUFFIX]
        if positions.ndim != 3 or positions.shape[1:] != (len(CMU31), 3):
            raise ArchiveError(f"{path}: {clip}{SUFFIX} is {positions.shape}; expected (T, {len(CMU31)}, 3) metres")
        times = np.arange(len(positions)) / RATE
        tracks[clip] = Track(times, positions, skeleton=CMU31, name=clip, space="world")
    return tracks


@dataclass(frozen=True)
class Split:
    """Names of clips: those that are learned from, others of the same subjects, and all of a subject never seen."""

    train: tuple[str, ...]
    unseen_clips: tuple[str, ...]
    unseen_subject: tuple[str, ...]


def split(clips: Iterable[str], subject: str | None = "02") -> Split:
    """The split in which `subject` is unseen, or nobody for None. Of each other subject the last fifth of the clips,
    one at least, is unseen too.

    Raises ValueError when no clip is of that subject, or none is left to learn from.
    """
    subjects: dict[str, list[str]] = {}
    for clip in sorted(clips):
        subjects.setdefault(clip.split("_")[0], []).append(clip)
    if subject is not None and subject not in subjects:
        raise ValueError(f"there is no clip of subject {subject!r}; the subjects are {', '.join(subjects)}")
    unseen_subject = [] if subject is None else subjects.pop(subject)
    train, unseen = [], []
    for clips_of in subjects.values():
        held = max(1, len(clips_of) // 5)
        train += clips_of[:-held]
        unseen += clips_of[-held:]
    if not train:
        raise ValueError(f"without subject {subject} no clip is left to learn from")
    return Split(tuple(train), tuple(unseen), tuple(unseen_subject))
