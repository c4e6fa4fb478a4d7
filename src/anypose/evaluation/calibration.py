"""Whether probabilities mean what they say."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 15


def calibration_error(probabilities: ArrayLike, events: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error over `bins` bins of equal mass.

    Args:
        probabilities: (N,) what was promised, 0..1.
        events: (N,) what came true, bool.
        bins: how many; each holds the same number of promises (as near as whole numbers allow).

    Returns:
        The mean over bins, weighted by mass, of |mean promise - share that came true|, 0..1; NaN without
        promises.
    """
    everyone = np.ones((1, np.size(probabilities)), np.int64)
    return float(resampled_calibration_error(probabilities, events, everyone, bins)[0])


def resampled_calibration_error(
    probabilities: ArrayLike, events: ArrayLike, counts: NDArray[np.int64], bins: int = BINS
) -> NDArray[np.float64]:
    """(R,) `calibration_error` with promise n there `counts[r, n]` times; counts (R, N)."""
    promised = np.asarray(probabilities, dtype=np.float64)
    order = np.argsort(promised, kind="stable")
    came_true = np.asarray(events, dtype=np.float64)[order]
    levels, level = np.unique(promised, return_inverse=True)
    level = level[order]
    out = np.full(len(counts), np.nan)
    for row, weights in enumerate(np.asarray(counts)[:, order]):
        mass = weights.cumsum()
        if not len(mass) or mass[-1] == 0:
            continue
        # Equal promises share their events: which of them falls into which bin must not matter.
        share = np.bincount(level, weights * came_true) / np.maximum(np.bincount(level, weights), 1)
        gap = (levels - share)[level]
        places = ((mass - weights / 2) * bins / mass[-1]).astype(np.int64)
        out[row] = np.abs(np.bincount(places, weights * gap, minlength=bins)).sum() / mass[-1]
    return out
