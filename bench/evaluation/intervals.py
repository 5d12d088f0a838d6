"""How sure is a mean over users? One rule for tables, comparisons and ablations.

The 95 % interval of a mean is the mean ± 1.96 standard errors over users; the interval of a difference of two models is
that of the mean of the differences per user, which are paired. It holds the choice of users alone: that another seed
trains another model is not in it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STANDARD_ERRORS = 1.96
"""97.5 % of a normal distribution lie below its mean plus so many standard deviations."""


class Interval(NamedTuple):
    """Means of m quantities with their intervals, each array (m,)."""

    mean: Floats
    low: Floats
    high: Floats


def half_width(standard_error: float) -> float:
    """Half of the 95 % interval of a mean over users with this standard error."""
    return _STANDARD_ERRORS * standard_error


def standard_errors(values: Floats) -> Floats:
    """(m,) standard errors of the column means of ``values`` (n, m); not a number where n is below 2."""
    n = len(values)
    if n < 2:
        return np.full(values.shape[1], np.nan)
    return np.asarray(values.std(axis=0, ddof=1) / np.sqrt(n))


def over_users(values: Floats) -> Interval:
    """Column means of ``values`` (n, m) with their intervals, for instance of the differences of two models per user.

    One user has a mean without an interval, none has neither: what is missing is not a number.
    """
    mean = values.mean(axis=0) if len(values) else np.full(values.shape[1], np.nan)
    half = _STANDARD_ERRORS * standard_errors(values)
    return Interval(mean, mean - half, mean + half)
