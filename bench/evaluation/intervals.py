"""How sure is a mean over users and seeds? One rule for tables, comparisons and ablations.

Two things could have come out otherwise: which users there are, and what the seeds made of the training. The error of
seeds is the spread of the seeds' means; that of users the spread of the users' means, without the chance within users
that stands in the seeds' means already. Users are many, and their error is known; seeds are few. The squared half-width
of an interval is the mean of those of two rules: each part with its own quantile, the normal one and Student's, which
with three seeds covers the truth in up to 98 %; and both with Student's by Satterthwaite's degrees of freedom, which
covers down to 92 %. Together they cover 94 to 97 %, where a two-level bootstrap covers 86 % (tests/test_intervals.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

ERRORS = 0.05
"""In at most so many families of comparisons, anything is told apart that is truly level."""

ASSUMED_SPREAD = 0.05
"""Standard deviation over seeds, as a share of the mean, of a row of one seed in comparisons: the median of generative
models in RecBoard, where that of models of ids is .016. More seeds put a measurement in its place."""

LEAST_USERS = 30
"""Of a group of fewer, a table shows the means alone: neither intervals nor ranks."""


class Part(NamedTuple):
    """What the seeds of a row add to the errors of m means."""

    errors: Floats
    """(m,): standard errors."""
    freedom: float | Floats
    """Degrees of freedom of their estimate, (m,) if they differ; infinite if they are known."""


class Interval(NamedTuple):
    """Means of m quantities with their intervals, each array (m,)."""

    mean: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Estimate:
    """Means of m quantities, for instance metrics of a row or differences of two rows."""

    mean: Floats
    """(m,)."""
    users: Floats
    """(m,): standard errors from the choice of users; not a number below two users."""
    seeds: tuple[Part, ...] = ()
    """Of the seeds, for each row; none where lists do not depend on them."""

    def half_width(self, outside: Any = 0.05) -> Floats:
        """(m,): half of the interval that leaves the truth out with the probability ``outside``, a number or (m,)."""
        users = self.users**2
        seeds = sum((part.errors**2 for part in self.seeds), np.zeros_like(users))
        weight = sum((part.errors**4 / part.freedom for part in self.seeds), np.zeros_like(users))
        apart = _quantile(outside, math.inf) ** 2 * users + _quantile(outside, _ratio(seeds**2, weight)) ** 2 * seeds
        together = _quantile(outside, _ratio((users + seeds) ** 2, weight)) ** 2 * (users + seeds)
        return np.asarray(np.sqrt((apart + together) / 2), np.float64)

    def interval(self) -> Interval:
        """The 95 % interval."""
        half = self.half_width()
        return Interval(self.mean, self.mean - half, self.mean + half)

    def p_values(self) -> Floats:
        """(m,): of means of 0: what the interval leaves out that just reaches 0; not a number below two users."""
        # The half-width falls with it, so it is found by halving, of its logarithm: small ones count.
        low, high = np.full(self.mean.shape, math.log(_SMALLEST)), np.zeros(self.mean.shape)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            reaches = self.half_width(np.exp(middle)) >= np.abs(self.mean)
            low, high = np.where(reaches, middle, low), np.where(reaches, high, middle)
        found = np.where(self.mean == 0, 1.0, np.exp((low + high) / 2))
        return np.where(np.isnan(self.users), np.nan, found)


def stacked(estimates: Sequence[Estimate]) -> Estimate:
    """Estimates of one quantity each as one estimate of all, which is computed at once."""
    most = max(len(one.seeds) for one in estimates)
    nothing = Part(np.zeros(1), math.inf)
    parts = [(*one.seeds, *[nothing] * (most - len(one.seeds))) for one in estimates]
    seeds = (
        Part(np.concatenate([part.errors for part in own]), np.array([part.freedom for part in own], np.float64))
        for own in zip(*parts, strict=True)
    )
    mean, users = (np.concatenate([getattr(one, name) for one in estimates]) for name in ("mean", "users"))
    return Estimate(mean, users, tuple(seeds))


_SMALLEST = 1e-15
_HALVINGS = 40


def _quantile(outside: Any, freedom: Any) -> Floats:
    """How many standard errors to each side leave the probability ``outside``, of both sides together."""
    return np.asarray(-special.stdtrit(freedom, np.asarray(outside) / 2), np.float64)


def _ratio(above: Floats, below: Floats) -> Floats:
    """Degrees of freedom: infinite where nothing is uncertain of the errors."""
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.inf), where=below > 0))


class Sample:
    """What m metrics of a row are over S seeds and n users: all that its own interval and those of differences need."""

    def __init__(self, values: Floats, deterministic: bool) -> None:
        """Of ``values`` (S, n, m)."""
        n_seeds, n_users, n_metrics = values.shape
        self.per_user: Floats = values.mean(axis=0)
        """(n, m): means over seeds."""
        self.mean: Floats = self.per_user.mean(axis=0) if n_users else np.full(n_metrics, np.nan)
        self.one_of_many = not deterministic and n_seeds == 1
        """Whether there is one seed, and others would give something else."""
        self.seeds: tuple[Part, ...] = ()
        """Empty where lists do not depend on seeds, and where nothing is known of others."""
        self.chance: Floats = np.zeros(n_metrics)
        """(m,): variance of the mean by what is neither of the users nor of the seeds; 0 where it cannot be told."""
        if not deterministic and n_seeds > 1 and n_users > 1:
            means = values.mean(axis=1)
            rest = values - self.per_user - (means - self.mean)[:, None]
            self.chance = (rest**2).sum(axis=(0, 1)) / ((n_seeds - 1) * (n_users - 1)) / (n_seeds * n_users)
            self.seeds = (Part(means.std(axis=0, ddof=1) / math.sqrt(n_seeds), n_seeds - 1),)

    @property
    def estimate(self) -> Estimate:
        """The means of the row. Of a single seed, the error is that of users alone."""
        return Estimate(self.mean, _without(self.per_user, self.chance), self.seeds)

    def minus(self, other: Sample) -> Estimate:
        """Differences to another row of the same users, which are paired; seeds are not.

        Of a row of one seed, a spread of :data:`ASSUMED_SPREAD` is assumed, unless its model is deterministic.
        """
        users = _without(self.per_user - other.per_user, self.chance + other.chance)
        return Estimate(self.mean - other.mean, users, (*self._seeds_or_assumed, *other._seeds_or_assumed))

    @property
    def _seeds_or_assumed(self) -> tuple[Part, ...]:
        return (Part(ASSUMED_SPREAD * np.abs(self.mean), math.inf),) if self.one_of_many else self.seeds


def _without(values: Floats, chance: Floats) -> Floats:
    """(m,): standard errors of the column means of ``values`` (n, m), without this variance of the means."""
    return np.sqrt(np.maximum(0.0, standard_errors(values) ** 2 - chance))


def standard_errors(values: Floats) -> Floats:
    """(m,) standard errors of the column means of ``values`` (n, m); not a number where n is below 2."""
    n = len(values)
    if n < 2:
        return np.full(values.shape[1], np.nan)
    return np.asarray(values.std(axis=0, ddof=1) / np.sqrt(n))


def holm(p_values: Floats, kinds: NDArray[np.int64] | None = None) -> Floats:
    """(m,): p-values adjusted for their number: among those below .05, 5 % of all families have an error (Holm 1979).

    Those that are not numbers stay so and do not count. Those of one of ``kinds`` (m,) ask the same question: they
    count once, and what comes after them depends on the smallest of them alone.
    """
    found = np.full(p_values.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    first = np.zeros(len(order), bool)
    first[np.unique(order if kinds is None else kinds[order], return_index=True)[1]] = True
    adjusted = p_values[order] * (1 + first.sum() - np.cumsum(first))
    found[order] = np.minimum(1.0, np.maximum(adjusted, np.maximum.accumulate(np.where(first, adjusted, 0.0))))
    return found


def ranks(better: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last rank that each of R rows may have, where ``better`` (R, R) says which row is shown above which."""
    n = len(better)
    return [(1 + int(better[:, row].sum()), n - int(better[row].sum())) for row in range(n)]


def detectable(difference: Estimate, power: float = 0.8) -> Floats:
    """(m,): how large differences have to be, for intervals of such errors to be without 0 with this probability."""
    return difference.half_width() + difference.half_width(2 * (1 - power))
