"""How sure is a mean over users and seeds? One rule for tables, comparisons and ablations.

Two things could have come out otherwise: which users there are, and what the seeds made of the training. The error of
seeds is the spread of the seeds' means; that of users the spread of the users' means, without the chance within users
that stands in the seeds' means already. Users are many, and their error is known; seeds are few. The squared half-width
of an interval is the mean of those of two rules: each part with its own quantile, the normal one and Student's, which
with three seeds covers the truth in up to 98 %; and both with Student's by Satterthwaite's degrees of freedom, which
covers down to 92 %. Together they cover 94 to 97 %, where a two-level bootstrap covers 86 % (tests/test_intervals.py).

Three seeds say little of their own spread, but those of all rows of a table say much of what such a spread is. So a
difference takes both, as differences between genes do: Smyth, Linear models and empirical Bayes methods (2004),
https://doi.org/10.2202/1544-6115.1027. Here the rows are tens and not thousands, and what they say of how much spreads
differ is itself uncertain: hence two rules of ours, both towards caution. See :func:`likely_spread`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.optimize import brentq

Floats = NDArray[np.float64]

ERRORS = 0.05
"""In at most so many families of comparisons, anything is told apart that is truly level."""

ASSUMED_SPREAD = 0.05
"""Standard deviation over seeds, as a share of the mean, of a row of one seed in comparisons, unless other rows show
more: the median of generative models in RecBoard, where that of models of ids is .016."""

_ENOUGH_ROWS = 5
"""Of several seeds each, from which their spreads tell what a spread is."""

_NO_SPREAD = 1e-9
"""As a share of the mean: only rounding tells such seeds apart."""

LEAST_USERS = 30
"""Of a group of fewer, a table shows the means alone: neither intervals nor ranks."""


class Part(NamedTuple):
    """What the seeds of a row add to the errors of m means."""

    errors: Floats
    """(m,): standard errors."""
    freedom: float | Floats
    """Degrees of freedom of their estimate, (m,) if they differ; infinite if they are known."""

    @classmethod
    def of(cls, means: Floats) -> Part:
        """Of the means (S, m) of at least two seeds."""
        return cls(means.std(axis=0, ddof=1) / math.sqrt(len(means)), len(means) - 1)


class Spread(NamedTuple):
    """What rows of several seeds tell of how far seeds spread, for m quantities: a scaled inverse χ² distribution."""

    relative: Floats
    """(m,): standard deviation over seeds, as a share of the mean; not a number where too few rows tell of it."""
    weight: Floats
    """(m,): degrees of freedom for which it counts beside a row's own spread."""
    freedom: Floats
    """(m,): degrees of freedom that it surely has."""
    most: Floats
    """(m,): degrees of freedom of all rows together."""

    @property
    def assumed(self) -> Floats:
        """(m,): of a row of one seed: :data:`ASSUMED_SPREAD`, or what the others tell, if that is more."""
        return np.fmax(self.relative, ASSUMED_SPREAD)

    def __str__(self) -> str:
        """What is assumed of a row of one seed in the first metric, in words."""
        return f"a spread over seeds of {self.assumed[0]:.1%}".replace(".0%", "%")

    def of_one_seed(self, mean: Floats) -> Part:
        """Of a further row of this mean, (m,): models that are run with one seed are often not like the others."""
        return Part(self.assumed * np.abs(mean), np.where(self.relative > ASSUMED_SPREAD, self.freedom, np.inf))

    def beside(self, own: Part, mean: Floats, seeds: int) -> Part:
        """What a row of this mean, (m,), adds of its own: never less than its own spread says."""
        with np.errstate(invalid="ignore"):  # ∞ / ∞: the rows spread all alike
            share = np.where(np.isinf(self.weight), 1.0, self.weight / (self.weight + own.freedom))
        pooled = share * (self.relative * mean) ** 2 / seeds + (1 - share) * own.errors**2
        # A row whose seeds make no difference at all is not like the others.
        usable = ~np.isnan(self.relative) & (own.errors > _NO_SPREAD * np.abs(mean))
        errors = np.where(usable, np.sqrt(np.fmax(pooled, own.errors**2)), own.errors)
        return Part(errors, np.where(usable, np.minimum(own.freedom + self.freedom, self.most), own.freedom))


def likely_spread(rows: Sequence[Floats]) -> Spread:
    """What ``rows`` tell, each (S, m): means of at least two seeds, whose number may differ from row to row.

    Estimated as by Smyth, from the logarithms of squared relative spreads. Two rules are ours. The degrees of freedom
    that count in an interval are those of spreads that differ by one standard error more than these rows show, and
    never more than all rows together have; and no row is taken to spread less than it does. So any two rows that are
    level are told apart in at most 5 % of tables of three seeds or five, and in 6 where one row swings
    (benchmarks/intervals.py).
    """
    n_metrics = rows[0].shape[1] if rows else 1
    found = [_told([row[:, m] for row in rows]) for m in range(n_metrics)]
    return Spread(*np.array(found).T)


def _told(rows: Sequence[Floats]) -> tuple[float, float, float, float]:
    """The fields of :class:`Spread` for one metric, of the seeds' means (S,) of each row."""
    pairs = dict.fromkeys((row.std(ddof=1) / row.mean(), len(row) - 1) for row in rows if row.mean() > 0)
    squares, freedom = np.array([(spread**2, own) for spread, own in pairs if spread > _NO_SPREAD]).reshape(-1, 2).T
    if len(squares) < _ENOUGH_ROWS:
        return math.nan, 0.0, 0.0, 0.0
    logs = np.log(squares) - special.digamma(freedom / 2) + np.log(freedom / 2)
    by_chance = float(special.polygamma(1, freedom / 2).mean())
    variance = float(logs.var(ddof=1))
    apart = max(variance - by_chance, 0.0)
    uncertain = math.sqrt(2 / (len(logs) - 1)) * max(variance, by_chance)
    weight, most = _freedom_of(apart), float(freedom.sum())
    level = logs.mean() + (special.digamma(weight / 2) - np.log(weight / 2) if math.isfinite(weight) else 0.0)
    return float(np.exp(level / 2)), weight, min(_freedom_of(apart + uncertain), most), most


def _freedom_of(variance: float) -> float:
    """Degrees of freedom of a variance whose estimate has a logarithm of this variance: trigamma(ν / 2)."""
    if variance < _LEAST_VARIANCE:
        return math.inf
    return 2 * math.exp(brentq(lambda log: special.polygamma(1, math.exp(log)) - variance, -20, 20))


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
        Part(
            np.concatenate([part.errors for part in own]),
            np.concatenate([np.broadcast_to(part.freedom, 1) for part in own]),
        )
        for own in zip(*parts, strict=True)
    )
    mean, users = (np.concatenate([getattr(one, name) for one in estimates]) for name in ("mean", "users"))
    return Estimate(mean, users, tuple(seeds))


_LEAST_VARIANCE = 1e-6
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
        self.n_seeds = n_seeds
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
            self.seeds = (Part.of(means),)

    @property
    def estimate(self) -> Estimate:
        """The means of the row. Of a single seed, the error is that of users alone."""
        return Estimate(self.mean, _without(self.per_user, self.chance), self.seeds)

    def minus(self, other: Sample, spread: Spread | None = None) -> Estimate:
        """Differences to another row of the same users, which are paired; seeds are not.

        ``spread`` is what other rows tell of that over seeds. Where they tell nothing, a row of several seeds has its
        own. Of a row of one, unless its model is deterministic, it is :attr:`Spread.assumed`.
        """
        users = _without(self.per_user - other.per_user, self.chance + other.chance)
        spread = likely_spread([]) if spread is None else spread
        return Estimate(self.mean - other.mean, users, (*self._parts(spread), *other._parts(spread)))

    def _parts(self, spread: Spread) -> tuple[Part, ...]:
        if self.one_of_many:
            return (spread.of_one_seed(self.mean),)
        return tuple(spread.beside(own, self.mean, self.n_seeds) for own in self.seeds)


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
