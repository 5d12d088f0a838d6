"""How sure is a mean over users? Paired differences with bootstrap intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_CHUNK = 2**22
"""Draws that are held in memory at a time."""


class Interval(NamedTuple):
    """Means of m quantities with intervals, each array (m,)."""

    mean: Floats
    low: Floats
    high: Floats


def bootstrap(values: Floats, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    """Percentile bootstrap of column means (Efron & Tibshirani 1993, ch. 13), resampling rows.

    Parameters
    ----------
    values
        (n, m): for instance the difference of two models per user, a column per metric. All columns are resampled
        together.
    level
        Coverage of the interval.
    resamples, seed
        Number of bootstrap samples, and the seed that they are drawn with.
    """
    n = len(values)
    if n == 0:
        empty = np.full(values.shape[1], np.nan)
        return Interval(empty, empty, empty)
    rng = np.random.default_rng(seed)
    means = []
    for start in range(0, resamples, size := max(1, _CHUNK // n)):
        some = min(size, resamples - start)
        drawn = rng.integers(0, n, (some, n)) + n * np.arange(some)[:, None]
        weights = np.bincount(drawn.reshape(-1), minlength=some * n).reshape(some, n)
        means.append(weights @ values / n)
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail], axis=0)
    return Interval(values.mean(axis=0), low, high)
