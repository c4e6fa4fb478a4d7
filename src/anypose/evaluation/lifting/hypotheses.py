"""Errors of many hypotheses (B, M, T, J, 3) about one truth (B, T, J, 3), root-relative, in the unit of the keypoints.

P-Best, J-Best, P-Agg and J-Agg are D3DP's (ICCV 2023); DiffPose (Holmquist and Wandt, ICCV 2023) chooses the best
hypothesis anew for each body.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...camera import Camera
from .errors import aligned, distances


def best(
    found: ArrayLike, truth: ArrayLike, *, per: Literal["batch", "clip", "frame"] = "frame", align: bool = False
) -> float:
    """Error of the best hypothesis (P-Best, best of M).

    Args:
        per: what one hypothesis is chosen for: each frame (DiffPose), each clip, or the whole batch (D3DP).
        align: align each body with the true one first.
    """
    errors = _errors(found, truth, align).mean(-1)  # B M T
    sides = {"frame": (), "clip": (2,), "batch": (0, 2)}
    if per not in sides:
        raise ValueError(f"a hypothesis is chosen per {', '.join(sides)}, not per {per!r}")
    return float(errors.mean(axis=sides[per], keepdims=True).min(1).mean())


def best_joints(found: ArrayLike, truth: ArrayLike, *, align: bool = False) -> float:
    """Error when each joint of each frame comes from the hypothesis that is nearest there (J-Best)."""
    return float(_errors(found, truth, align).min(1).mean())


def mean_pose(found: ArrayLike) -> NDArray[np.float64]:
    """(B, T, J, 3) the mean of the hypotheses (P-Agg)."""
    return _hypotheses(found).mean(1)


def nearest_joints(found: ArrayLike, root: ArrayLike, camera: Camera, screen: ArrayLike) -> NDArray[np.float64]:
    """(B, T, J, 3) each joint from the hypothesis that falls nearest to the keypoints in the picture (J-Agg).

    Args:
        found: (B, M, T, J, 3) metres, root-relative.
        root: (B, T, 3) metres, where the root is in the camera's frame. The authors take the true one.
        camera: that took the pictures; its lens is taken into account.
        screen: (B, T, J, 2) keypoints in screen units.
    """
    bodies = _hypotheses(found)
    pixels = camera.project(bodies + np.asarray(root, np.float64)[:, None, :, None], clamp=True)
    off = np.linalg.norm(camera.to_screen(pixels) - np.asarray(screen, np.float64)[:, None], axis=-1)
    chosen = off.argmin(1)[:, None, :, :, None]  # B 1 T J 1
    return np.take_along_axis(bodies, chosen, 1)[:, 0]


def calibration(found: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """(B, T, J) part of the hypotheses that are nearer to their median than the truth is.

    Evenly spread from 0 to 1 where the spread of the hypotheses tells the error truly.
    """
    bodies = _hypotheses(found)
    middle = np.median(bodies, axis=1, keepdims=True)
    spread = np.linalg.norm(bodies - middle, axis=-1)
    off = distances(truth, middle[:, 0])[:, None]
    return (spread < off).mean(1)


def expected_calibration_error(quantiles: ArrayLike, steps: int = 100) -> float:
    """Mean difference, over levels from 0 to 1, between a level and the part of `quantiles` below it."""
    levels = np.arange(1, steps) / steps
    values = np.sort(np.asarray(quantiles, np.float64).ravel())
    return float(np.abs(np.searchsorted(values, levels, "right") / len(values) - levels).mean())


def _hypotheses(found: ArrayLike) -> NDArray[np.float64]:
    bodies = np.asarray(found, np.float64)
    if bodies.ndim != 5 or bodies.shape[-1] != 3:
        raise ValueError(f"hypotheses are (B, M, T, J, 3), not {bodies.shape}")
    return bodies


def _errors(found: ArrayLike, truth: ArrayLike, align: bool) -> NDArray[np.float64]:
    """(B, M, T, J)."""
    bodies, goal = _hypotheses(found), np.asarray(truth, np.float64)[:, None]
    return distances(aligned(bodies, goal) if align else bodies, goal)
