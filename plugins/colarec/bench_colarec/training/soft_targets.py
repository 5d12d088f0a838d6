"""Targets drawn from a teacher: for each user a distribution over the best items that the user has not seen.

How sharp it has to be depends on the data: scores standardized over the items of a user fall by 5.1 from the first to
the tenth item on ``colarec-phone``, and by 1.2 on ``ml-100k``. So what is chosen is over how many items it spreads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench import UNFILLED, Recommendations


@dataclass(frozen=True)
class SoftTargets:
    """P(item | user) = softmax(sharpness · (score - best score)) over the items of the teacher's list for the user."""

    items: NDArray[np.int32]
    """(n_users, m): best first; :data:`bench.UNFILLED` behind the last one."""
    cumulative: NDArray[np.float64]
    """(n_users, m): probability of an item and of those before it; 1 from the last one on, 0 for an empty list."""

    @property
    def users(self) -> NDArray[np.int64]:
        """Who has targets, ascending."""
        return np.flatnonzero(self.items[:, 0] != UNFILLED)

    def draw(self, rng: np.random.Generator, users: NDArray[np.int64], n: int) -> NDArray[np.int32]:
        """(len(users), n): items drawn with replacement, each row from the distribution of its user."""
        places = np.empty((len(users), n), np.int64)
        below = self.cumulative[users]
        for column, uniform in enumerate(rng.random((n, len(users)))):
            places[:, column] = (below <= uniform[:, None]).sum(axis=1)
        return np.take_along_axis(self.items[users], places, axis=1)


_STEPS = 40
"""Of the search for a sharpness: halvings of the range."""
_SHARPEST = 100.0
_USERS = 2000
"""That the sharpness is found by."""


def sharpness_of(lists: Recommendations, spread: float) -> float:
    """The sharpness with which the targets of the median user have the perplexity ``spread``."""
    known = np.flatnonzero(lists.items[:, 0] != UNFILLED)
    known = known[:: max(1, len(known) // _USERS)]
    some = Recommendations(lists.items[known], lists.scores[known])
    low, high = 0.0, _SHARPEST
    for _ in range(_STEPS if len(known) else 0):
        middle = (low + high) / 2
        p = np.diff(soft_targets(some, middle).cumulative, axis=1, prepend=0)
        entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(axis=1)
        low, high = (middle, high) if np.exp(np.median(entropy)) > spread else (low, middle)
    return (low + high) / 2


def soft_targets(lists: Recommendations, sharpness: float) -> SoftTargets:
    """The distributions of lists (n_users, m) whose scores do not rise."""
    filled = lists.items != UNFILLED
    best = np.where(filled[:, :1], lists.scores[:, :1], 0)
    with np.errstate(invalid="ignore"):
        weights = np.where(filled, np.exp(sharpness * (lists.scores.astype(np.float64) - best)), 0)
    total = weights.cumsum(axis=1)
    return SoftTargets(lists.items, np.divide(total, total[:, -1:], out=np.zeros_like(total), where=filled[:, :1]))
