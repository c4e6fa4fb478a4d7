"""Keypoints that are made of others, where a map by name finds none.

`Skeleton.map_to` pairs the same place of the body and invents nothing. Lifting needs a pelvis and a spine, which
detectors of COCO's keypoints do not find, so they are made here, by fixed weights, and said aloud.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .skeleton import Skeleton

Recipe = tuple[tuple[str, float], ...]

_HIPS: Recipe = (("left_hip", 0.5), ("right_hip", 0.5))
_SHOULDERS: Recipe = (("left_shoulder", 0.5), ("right_shoulder", 0.5))
_TRUNK: Recipe = (*((name, 0.25) for name, _ in (*_HIPS, *_SHOULDERS)),)
_EARS: Recipe = (("left_ear", 0.5), ("right_ear", 0.5))
_EYES: Recipe = (("left_eye", 0.5), ("right_eye", 0.5))
_NOSE: Recipe = (("nose", 1.0),)


def _neck(head: Recipe) -> Recipe:
    """A place between the shoulders and the head. In CMU's motion capture it lies 0.6 of that way up."""
    return (*((name, 0.6 * weight) for name, weight in head), *((name, 0.4 * weight) for name, weight in _SHOULDERS))


# For each place of the body: how it is made and in which words, the better way first.
_RECIPES: dict[str, tuple[tuple[str, Recipe], ...]] = {
    "pelvis": (("the middle of the hips", _HIPS),),
    "thorax": (("the middle of the shoulders", _SHOULDERS),),
    "spine": (("the middle of hips and shoulders", _TRUNK),),
    "upper_neck": (
        ("between shoulders and ears", _neck(_EARS)),
        ("between shoulders and eyes", _neck(_EYES)),
        ("between shoulders and nose", _neck(_NOSE)),
    ),
    "head": (("the middle of the ears", _EARS), ("the middle of the eyes", _EYES), ("the nose", _NOSE)),
    "head_centre": (("the nose", _NOSE),),
}


@dataclass(frozen=True)
class Derived:
    """Keypoints of another skeleton.

    keypoints: (..., K, D) float32. confidence: (..., K), the least of the keypoints that one is made of, 0 where
    there is none. made: sentences about what was made of what. missing: names that could not be made.
    """

    keypoints: NDArray[np.float32]
    confidence: NDArray[np.float32]
    made: tuple[str, ...]
    missing: tuple[str, ...]


def derive(keypoints: ArrayLike, confidence: ArrayLike, here: Skeleton, there: Skeleton, least: float = 0.3) -> Derived:
    """The keypoints of the skeleton `there`, taken by name or made of those that `here` has.

    Args:
        keypoints: (..., J, D), of `here`.
        confidence: (..., J), from 0 to 1.
        least: confidence below which a keypoint is not used where there is another way. Where no way is that sure,
            the first is taken, with its low confidence.

    Raises:
        ValueError: shapes do not fit `here`.
    """
    places, sure = np.asarray(keypoints, np.float64), np.asarray(confidence, np.float64)
    if places.ndim < 2 or places.shape[-2] != len(here) or sure.shape != places.shape[:-1]:
        raise ValueError(
            f"keypoints {places.shape} and confidence {sure.shape} are not (..., {len(here)}, D) and "
            f"(..., {len(here)}) of {here.name}"
        )
    out = np.zeros((*places.shape[:-2], len(there), places.shape[-1]))
    out_sure = np.zeros(out.shape[:-1])
    made, missing = [], []
    for place, source in here.map_to(there):
        name = there.keypoints[place]
        if source is not None:
            out[..., place, :], out_sure[..., place] = places[..., source, :], sure[..., source]
            continue
        ways = [way for way in _RECIPES.get(name, ()) if all(part in here.keypoints for part, _ in way[1])]
        if not ways:
            missing.append(name)
            continue
        out[..., place, :], out_sure[..., place] = _best(places, sure, here, [way for _, way in ways], least)
        made.append(f"{name.replace('_', ' ')}: {ways[0][0]}")
    return Derived(out.astype(np.float32), out_sure.astype(np.float32), tuple(made), tuple(missing))


def _best(
    places: NDArray[np.float64], sure: NDArray[np.float64], here: Skeleton, ways: list[Recipe], least: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """In each frame the first way that is sure enough, else the first."""
    results = []
    for way in ways:
        indices = [here.index(name) for name, _ in way]
        weights = np.array([weight for _, weight in way])
        results.append((np.einsum("...jd,j->...d", places[..., indices, :], weights), sure[..., indices].min(-1)))
    point, certain = results[0]
    for other, other_sure in reversed(results[1:]):
        better = (results[0][1] < least) & (other_sure >= least)
        point, certain = np.where(better[..., None], other, point), np.where(better, other_sure, certain)
    return point, certain
