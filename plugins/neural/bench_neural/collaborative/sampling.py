"""Batches of interactions with negatives that the batch shares, a function of seed, epoch and number alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from bench_torchkit.negatives import known_to
from numpy.typing import NDArray
from torch import Tensor

from bench import Interactions


class Negatives(NamedTuple):
    """Items of a whole batch."""

    items: NDArray[np.int64]
    """(m,): distinct, ascending."""
    log_q: NDArray[np.float32]
    """(m,): logarithm of how often each is expected among the draws, divided by how often it is there."""


def popularity_shares(train: Interactions) -> NDArray[np.float64]:
    """(n_items,): share of each item in the train interactions; equal if there are none."""
    counts = train.popularity
    return counts / len(train) if len(train) else np.full(train.n_items, 1 / train.n_items)


class Proposal:
    """Draws negatives: some uniformly over the catalogue, some by their train interactions.

    Parameters
    ----------
    negatives
        Draws, with repetition. As many as there are items or more: all items, once each, without chance.
    popularity
        Share of the draws that follow the number of train interactions.
    """

    def __init__(self, train: Interactions, negatives: int, popularity: float) -> None:
        self.probabilities = (1 - popularity) / train.n_items + popularity * popularity_shares(train)
        self._up_to = np.cumsum(self.probabilities)
        self._negatives = negatives

    def draw(self, rng: np.random.Generator, positives: NDArray[np.int64]) -> Negatives:
        """Those of the batch of ``positives`` (n,), on which they do not depend."""
        n_items = len(self.probabilities)
        if self._negatives >= n_items:
            return Negatives(np.arange(n_items), np.zeros(n_items, np.float32))
        drawn = np.searchsorted(self._up_to, rng.random(self._negatives) * self._up_to[-1], side="right")
        return counted(drawn, self._negatives * self.probabilities)


class InBatch:
    """The positives of the batch are its negatives, and some items drawn uniformly (Yang et al., WWW 2020)."""

    def __init__(self, train: Interactions, negatives: int) -> None:
        self._shares = popularity_shares(train)
        self._negatives = negatives

    def draw(self, rng: np.random.Generator, positives: NDArray[np.int64]) -> Negatives:
        """Those of the batch of ``positives`` (n,)."""
        n_items = len(self._shares)
        drawn = np.concatenate([positives, rng.integers(0, n_items, self._negatives)])
        return counted(drawn, len(positives) * self._shares + self._negatives / n_items)


def counted(drawn: NDArray[np.int64], expected: NDArray[np.float64]) -> Negatives:
    """Of draws with repetition, when item ``i`` is expected ``expected[i]`` times among them."""
    items, times = np.unique(drawn, return_counts=True)
    return Negatives(items, np.log(expected[items] / times).astype(np.float32))


class Batch(NamedTuple):
    """Some interactions."""

    places: NDArray[np.int64]
    """(n,): where in train each is; on the host."""
    users: Tensor
    """(n,) int64."""
    positives: Tensor
    """(n,) int64: the item of each."""
    negatives: Tensor
    """(m,) int64: distinct items of the whole batch."""
    log_q: Tensor
    """(m,) float32: see :attr:`Negatives.log_q`."""
    rows: Tensor
    """(k,) int64: with ``columns``, where in (n, m) a negative is none for this user, but a train item."""
    columns: Tensor
    """(k,) int64."""


class Sampler:
    """Each train interaction once per epoch."""

    def __init__(
        self, train: Interactions, negatives: Proposal | InBatch, batch_size: int, seed: int, device: str
    ) -> None:
        self._train = train
        self._users = train.users
        self._negatives = negatives
        self._batch_size = batch_size
        self._seed = seed
        self._device = device

    def __len__(self) -> int:
        """Batches of an epoch."""
        return -(-len(self._train) // self._batch_size)

    def rng(self, epoch: int) -> np.random.Generator:
        """Randomness of one epoch."""
        return np.random.default_rng([self._seed, epoch])

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Batches of an epoch, the last one perhaps smaller."""
        rng = self.rng(epoch)
        order = rng.permutation(len(self._train))
        for begin in range(0, len(order), self._batch_size):
            yield self._batch(rng, order[begin : begin + self._batch_size])

    def _batch(self, rng: np.random.Generator, at: NDArray[np.int64]) -> Batch:
        users, positives = self._users[at], self._train.items[at].astype(np.int64)
        negatives = self._negatives.draw(rng, positives)
        parts = (users, positives, *negatives, *known_to(self._train, users, negatives.items))
        return Batch(at, *(torch.from_numpy(part).to(self._device) for part in parts))
