"""What stands in for keypoints that were not found."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .skeleton import Skeleton


def between(keypoints: ArrayLike, sure: ArrayLike, times: ArrayLike) -> NDArray[np.float64]:
    """Keypoints (..., T, J, D), each that is not `sure` (..., T, J) put on the line between its sure neighbours in
    time, or where the nearest one is at the ends. Those that are sure in no frame keep their places.

    times: (T,) seconds or any other rising numbers.
    """
    places, known = np.array(keypoints, np.float64), np.asarray(sure, bool)
    clock = np.asarray(times, np.float64)
    index = np.arange(len(clock))[:, None]  # T 1
    before = np.maximum.accumulate(np.where(known, index, -1), axis=-2)
    after = np.flip(np.minimum.accumulate(np.flip(np.where(known, index, len(clock)), -2), axis=-2), -2)
    never = before[..., -1:, :] < 0
    before = np.where(never, index, np.where(before < 0, after, before))
    after = np.where(never, index, np.where(after >= len(clock), before, after))
    span = clock[after] - clock[before]
    part = np.where(span > 0, (clock[:, None] - clock[before]) / np.where(span > 0, span, 1), 0)[..., None]
    earlier = np.take_along_axis(places, before[..., None], -3)
    later = np.take_along_axis(places, after[..., None], -3)
    return np.where(known[..., None], places, earlier + part * (later - earlier))


def at_parents(keypoints: ArrayLike, missing: ArrayLike, skeleton: Skeleton) -> NDArray[np.float64]:
    """Keypoints (..., T, J, D) of a tree, those `missing` (..., J) in every frame put on the nearest keypoint towards
    the root that is not: where a lifting system that knows no gaps errs least.

    Raises ValueError when the root is missing, or the skeleton is no tree.
    """
    places, gone = np.array(keypoints, np.float64), np.asarray(missing, bool)
    if gone[..., skeleton.root].any():
        raise ValueError(f"{skeleton.keypoints[skeleton.root]} is missing, from which all others are measured")
    assert skeleton.parents is not None
    for joint in outwards(skeleton):
        parent = skeleton.parents[joint]
        if parent >= 0:
            away = gone[..., None, joint, None]
            places[..., joint, :] = np.where(away, places[..., parent, :], places[..., joint, :])
    return places


def outwards(skeleton: Skeleton) -> list[int]:
    """The keypoints of a tree, each after its parent."""
    order = [skeleton.root]
    assert skeleton.parents is not None
    for joint in order:
        order += [child for child, parent in enumerate(skeleton.parents) if parent == joint]
    return order
