"""PCKh: keypoints within a share of the size of the person's head, by groups of keypoints.

Definition: Andriluka et al., 2D Human Pose Estimation, CVPR 2014. "Seeing Beyond the Crop" (NeurIPS 2024) scores the
body and each end of a stick apart and does not say what a head's size is where there is no head, so it is given here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..people import People
from ..skeleton import Skeleton


@dataclass(frozen=True)
class HeadPCK:
    """Shares in 0..1; NaN where nothing is labelled.

    Attributes:
        groups: share of right keypoints among the labelled ones of each group.
        labelled: how many these are.
        mean: the unweighted mean of the groups with labels, as the paper's tables have it.
        stick: the unweighted mean of the groups of extensions with labels, the paper's "stick accuracy".
    """

    groups: dict[str, float]
    labelled: dict[str, int]
    mean: float
    stick: float


def groups_of(skeleton: Skeleton) -> dict[str, tuple[str, ...]]:
    """The body together, and each extension alone."""
    body = tuple(name for name in skeleton.keypoints if name not in skeleton.extensions)
    return {"body": body, **{name: (name,) for name in skeleton.extensions}}


def head_pck(
    truth: Sequence[People],
    found: Sequence[People],
    head_sizes: Sequence[ArrayLike],
    share: float = 0.5,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> HeadPCK:
    """How many keypoints lie within `share` of the head's size of where they are labelled.

    Everything is in pixels of the picture, so that systems with other crops compare.

    Args:
        truth: the labelled people of P pictures.
        found: who was found for each of them, row by row. A keypoint of confidence 0 is not found.
        head_sizes: for each picture (N,) pixels, the head's size of each person.
        groups: names of keypoints by group; None takes `groups_of` the truth's skeleton.

    Raises:
        ValueError: lengths or skeletons differ, a size is not positive, or a group names an unknown keypoint.
    """
    if not len(truth) == len(found) == len(head_sizes):
        raise ValueError(
            f"truth, found and head_sizes are of {len(truth)}, {len(found)} and {len(head_sizes)} pictures"
        )
    if not truth:
        raise ValueError("nothing to compare: there is no picture")
    skeleton = truth[0].skeleton
    named = groups_of(skeleton) if groups is None else groups
    places = {group: [skeleton.index(name) for name in names] for group, names in named.items()}
    hits, labelled = np.zeros(len(skeleton), np.int64), np.zeros(len(skeleton), np.int64)
    for picture, (people, answer, sizes) in enumerate(zip(truth, found, head_sizes)):
        right, known = _hits(people, answer, np.asarray(sizes, np.float64), share, picture)
        hits, labelled = hits + right, labelled + known
    counts = {group: int(labelled[rows].sum()) for group, rows in places.items()}
    shares = {
        group: float(hits[rows].sum() / counts[group]) if counts[group] else float("nan")
        for group, rows in places.items()
    }
    held = [shares[group] for group, names in named.items() if set(names) <= set(skeleton.extensions)]
    return HeadPCK(shares, counts, _mean(list(shares.values())), _mean(held))


def _hits(
    people: People, answer: People, sizes: NDArray[np.float64], share: float, picture: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(K,) right keypoints and (K,) labelled ones of one picture."""
    if people.skeleton != answer.skeleton:
        raise ValueError(
            f"picture {picture}: the truth has the skeleton {people.skeleton.name} and the answer "
            f"{answer.skeleton.name}; bring the answer over with People.to_skeleton"
        )
    if not len(people) == len(answer) == len(sizes):
        raise ValueError(f"picture {picture}: {len(people)} people, {len(answer)} answers and {len(sizes)} head sizes")
    wrong = ~(np.isfinite(sizes) & (sizes > 0))
    if wrong.any():
        raise ValueError(f"picture {picture}: the head of person {wrong.argmax()} is {sizes[wrong][0]:g} pixels")
    known = people.confidence > 0
    distance = np.linalg.norm(people.keypoints.astype(np.float64) - answer.keypoints, axis=-1)
    right = known & (answer.confidence > 0) & (distance <= share * sizes[:, None])
    return right.sum(0), known.sum(0)


def _mean(shares: Sequence[float]) -> float:
    finite = [value for value in shares if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")
