"""Batches of interactions with negatives, a function of seed, epoch and number alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from bench_torchkit.negatives import new_to, shared
from bench_torchkit.ragged import latest_first
from numpy.typing import NDArray

from bench import UNFILLED, Interactions


class Batch(NamedTuple):
    """Some interactions."""

    users: NDArray[np.int64]
    """(n,)."""
    positives: NDArray[np.int64]
    """(n,): the item of each."""
    negatives: NDArray[np.int64]
    """(m,): items of the whole batch, without repetition."""
    allowed: NDArray[np.bool_]
    """(n, m): whether a negative is one for this user: none of the train items."""
    known: NDArray[np.int64]
    """(n, ≤ history): the latest other items of each user's history, −1 behind the last: what may describe the user."""


class Sampler:
    """Each train interaction once per epoch."""

    def __init__(self, train: Interactions, batch_size: int, negatives: int, history: int, seed: int) -> None:
        self._train = train
        self._batch_size = batch_size
        self._negatives = negatives
        self._seed = seed
        self._users = train.users
        # One more than needed, since the positive is left out.
        longest = max(2, int(train.lengths.max(initial=0)))
        self._latest = latest_first(train.indptr, train.items, min(history + 1, longest))

    def __len__(self) -> int:
        """Batches of an epoch."""
        return -(-len(self._train) // self._batch_size)

    def rng(self, epoch: int) -> np.random.Generator:
        """Randomness of one epoch."""
        return np.random.default_rng([self._seed, 2, epoch])

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Batches of an epoch, the last one perhaps smaller."""
        rng = self.rng(epoch)
        order = rng.permutation(len(self._train))
        for begin in range(0, len(order), self._batch_size):
            yield self._draw(rng, order[begin : begin + self._batch_size])

    def _draw(self, rng: np.random.Generator, at: NDArray[np.int64]) -> Batch:
        users, positives = self._users[at], self._train.items[at].astype(np.int64)
        negatives = shared(rng, self._train.n_items, self._negatives)
        allowed = new_to(self._train, users, negatives)
        return Batch(users, positives, negatives, allowed, without(self._latest[users], positives))


def without(items: NDArray[np.int64], left_out: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first m of m + 1 ``items`` (n, m + 1) of each row but ``left_out`` (n,), −1 behind the last."""
    gone = (items < 0) | (items == left_out[:, None])
    order = np.argsort(gone, axis=1, kind="stable")
    found = np.take_along_axis(np.where(gone, UNFILLED, items), order, axis=1)
    return found[:, :-1]
