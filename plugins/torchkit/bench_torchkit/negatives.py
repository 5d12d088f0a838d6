"""Items that a user did not interact with, drawn for many users at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import UNFILLED, Interactions

Ints = NDArray[np.integer[Any]]

Reject = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]
"""Given row numbers (m,) and an item (m,) for each, says which of these items must not be drawn."""


class NegativeSampler:
    """Draws by rejection. The keys of all interactions are sorted once, so that a look-up is a binary search."""

    def __init__(self, train: Interactions) -> None:
        self._n_items = train.n_items
        self._keys = np.sort(train.users * train.n_items + train.items)

    def interacted(self, users: Ints, items: Ints) -> NDArray[np.bool_]:
        """Whether each pair (``users[i]``, ``items[i]``) is a train interaction."""
        keys = np.asarray(users, np.int64) * self._n_items + items
        if not len(self._keys):
            return np.zeros(keys.shape, bool)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        found: NDArray[np.bool_] = self._keys[at] == keys
        return found

    def draw(
        self,
        rng: np.random.Generator,
        users: Ints,
        *,
        among: Ints | None = None,
        reject: Reject | None = None,
        attempts: int | None = None,
    ) -> NDArray[np.int64]:
        """(n,): an item for each of ``users`` (n,), uniform over those that are allowed.

        Parameters
        ----------
        rng
            Source of randomness. One draw per row that is still open, attempt by attempt.
        among
            (m,) items to draw from; the whole catalogue by default.
        reject
            Items that are not allowed either.
        attempts
            Give up on a row after so many, and leave :data:`bench.UNFILLED` there. Without it, each user needs at least
            one item that is allowed.
        """
        n_pool = self._n_items if among is None else len(among)
        found = np.full(len(users), UNFILLED, np.int64)
        rows = np.arange(len(users))
        while len(rows) and (attempts is None or attempts > 0):
            attempts = None if attempts is None else attempts - 1
            drawn = rng.integers(0, n_pool, len(rows))
            items = drawn if among is None else np.asarray(among, np.int64)[drawn]
            bad = self.interacted(users[rows], items)
            if reject is not None:
                bad |= reject(rows, items)
            found[rows[~bad]] = items[~bad]
            rows = rows[bad]
        return found


def shared(rng: np.random.Generator, n_items: int, n: int) -> NDArray[np.int64]:
    """(min(n, n_items),): distinct items, ascending, uniform over all such sets: the negatives of a whole batch."""
    return np.sort(rng.choice(n_items, min(n, n_items), replace=False, shuffle=False))


def known_to(train: Interactions, users: Ints, items: Ints) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(k,) and (k,): the pairs of ``users`` (n,) and ``items`` (m,), which are distinct, that interacted, by place."""
    column = np.full(train.n_items, -1)
    column[items] = np.arange(len(items))
    some, places = np.unique(users, return_inverse=True)  # active users are in a batch many times
    own = train.select(some)
    known = own.where(column[own.items] >= 0).select(places)
    return known.users, column[known.items]


def new_to(train: Interactions, users: Ints, items: Ints) -> NDArray[np.bool_]:
    """(n, m): whether each of ``users`` (n,) did not interact with each of ``items`` (m,), which are distinct."""
    found = np.ones((len(users), len(items)), bool)
    found[known_to(train, users, items)] = False
    return found
