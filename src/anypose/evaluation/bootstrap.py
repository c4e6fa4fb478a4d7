"""95 % intervals by drawing the pictures again."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 1000


def resampled_pictures(pictures: int, resamples: int = RESAMPLES, seed: int = 0) -> NDArray[np.int64]:
    """(R, P) how often each of P pictures is drawn when P are drawn with replacement, R times over."""
    if not pictures:
        return np.zeros((resamples, 0), np.int64)
    return np.random.default_rng(seed).multinomial(pictures, np.full(pictures, 1 / pictures), size=resamples)


def resampled_ratio(parts: ArrayLike, wholes: ArrayLike, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(R,) sum of parts over sum of wholes, both (P,), under `counts` (R, P); NaN where nothing is left."""
    whole = counts @ np.asarray(wholes, dtype=np.float64)
    part = counts @ np.asarray(parts, dtype=np.float64)
    return np.divide(part, whole, out=np.full(len(counts), np.nan), where=whole > 0)


def interval(values: ArrayLike, mass: float = 0.95) -> tuple[float, float]:
    """The percentiles that hold `mass` of the resampled values between them; NaN where there are none."""
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - mass) / 2, (1 + mass) / 2])
    return float(low), float(high)
