"""The tables that papers print, from errors of single frames."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...skeleton import MPI_INF_3DHP17
from .errors import AUC_THRESHOLDS, distances

H36M_TRAIN = ("S1", "S5", "S6", "S7", "S8")
H36M_TEST = ("S9", "S11")

# MPI-INF-3DHP's groups of the 14 joints that count, by their places in the files.
_GROUPS = {
    "head top": ("head_top",),
    "neck": ("thorax",),
    "shoulder": ("left_shoulder", "right_shoulder"),
    "elbow": ("left_elbow", "right_elbow"),
    "wrist": ("left_wrist", "right_wrist"),
    "hip": ("left_hip", "right_hip"),
    "knee": ("left_knee", "right_knee"),
    "ankle": ("left_ankle", "right_ankle"),
}


def action_of(name: str) -> str:
    """The action of a Human3.6M take: "Walking 1" is a "Walking", as are "WalkDog 1" and "WalkDog" the same."""
    return name.split(" ")[0]


def over_actions(errors: Mapping[str, list[NDArray[np.float64]]]) -> tuple[float, dict[str, float]]:
    """Human3.6M's figure: the plain mean of the actions' means, and these.

    Args:
        errors: of each action, arrays of its frames' errors, pooled over subjects, takes and cameras.

    Raises ValueError without actions, or for an action without frames.
    """
    empty = [action for action, parts in errors.items() if not sum(part.size for part in parts)]
    if not errors or empty:
        raise ValueError(f"no frame of {empty[0]}" if empty else "there is no action to take the mean over")
    means = {action: float(np.concatenate([part.ravel() for part in parts]).mean()) for action, parts in errors.items()}
    return float(np.mean(list(means.values()))), means


@dataclass(frozen=True)
class Accuracy:
    """MPI-INF-3DHP's figures: PCK at 150 mm and AUC (parts of 1), MPJPE in metres over all 17 joints."""

    pck: float
    auc: float
    mpjpe: float


def mpi_inf_3dhp(
    sequences: Mapping[str, tuple[ArrayLike, ArrayLike]], *, over: Literal["sequences", "frames"] = "sequences"
) -> tuple[Accuracy, dict[str, Accuracy]]:
    """MPI-INF-3DHP's table.

    Args:
        sequences: of each, found and true keypoints (T, 17, 3) of its valid frames, metres, root-relative, in the
            order of `MPI_INF_3DHP17`.
        over: take the mean of the sequences' figures (D3DP, FinePOSE), or over all their frames (P-STMO).

    Returns: the mean, and each sequence's.
    """
    if not sequences:
        raise ValueError("there is no sequence to take the mean over")
    if over not in ("sequences", "frames"):
        raise ValueError(f"the mean is taken over 'sequences' or 'frames', not {over!r}")
    rows = {name: _accuracy(distances(found, truth)) for name, (found, truth) in sequences.items()}
    weights = [len(np.asarray(truth)) if over == "frames" else 1 for _, truth in sequences.values()]
    fields = ("pck", "auc", "mpjpe")
    means = {
        field: float(np.average([getattr(row, field) for row in rows.values()], weights=weights)) for field in fields
    }
    return Accuracy(**means), rows


def _accuracy(errors: NDArray[np.float64]) -> Accuracy:
    """Of errors (T, 17): groups are weighted by their joints, so that the total is the mean over the 14."""
    counted = [MPI_INF_3DHP17.index(name) for names in _GROUPS.values() for name in names]
    near = errors[:, counted]
    return Accuracy(
        pck=float((near < 0.15).mean()),
        auc=float(np.mean([(near < threshold).mean() for threshold in AUC_THRESHOLDS])),
        mpjpe=float(errors.mean()),
    )
