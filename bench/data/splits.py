"""Splits: which part each interaction belongs to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TRAIN, VALID, TEST = 0, 1, 2

Parts = NDArray[np.int8]


def ratio_counts(lengths: NDArray[np.int64], ratios: Sequence[float]) -> NDArray[np.int64]:
    """How many interactions of each user go to each part, (n_users, n_parts).

    RecBole's rule (``recbole/data/dataset/dataset.py``, ``_calcu_split_ids``): every part after the first gets the
    rounded-down share; what is left goes to the first; then, from the last part backwards, a part whose share is below
    one takes one from the first, as long as the first keeps one. So a user with one interaction has it in train, with
    two in train and test.
    """
    total = sum(ratios)
    shares = np.multiply.outer(lengths, [ratio / total for ratio in ratios])
    counts = shares.astype(np.int64)
    counts[:, 0] = lengths - counts[:, 1:].sum(axis=1)
    for part in range(len(ratios) - 1, 0, -1):
        takes = (counts[:, 0] > 1) & (shares[:, part] > 0) & (shares[:, part] < 1)
        counts[takes, part] += 1
        counts[takes, 0] -= 1
    return counts


def random_ratio(indptr: NDArray[np.int64], ratios: Sequence[float], seed: int) -> Parts:
    """Per user, a random share of the interactions for each part.

    ``indptr`` (n_users + 1,) bounds each user's interactions; the result (n_interactions,) holds :data:`TRAIN`,
    :data:`VALID` and :data:`TEST`.
    """
    lengths = np.diff(indptr)
    users = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((np.random.default_rng(seed).random(len(users)), users))
    return _deal(order, ratio_counts(lengths, ratios))


def _deal(order: NDArray[np.int64], counts: NDArray[np.int64]) -> Parts:
    """Give the first ``counts[u, 0]`` of each user's interactions, in ``order``, part 0, the next part 1, …"""
    n_users, n_parts = counts.shape
    dealt = np.repeat(np.tile(np.arange(n_parts, dtype=np.int8), n_users), counts.reshape(-1))
    parts = np.empty(len(order), np.int8)
    parts[order] = dealt
    return parts
