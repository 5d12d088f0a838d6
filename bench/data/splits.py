"""Splits: which part each interaction belongs to.

Interactions are in canonical order: by user, then time, then row of the raw file. In every split by user, one who has a
single interaction keeps it in train, and train never loses a user's last interaction to another part: with two, there
is no validation item (RecBole's rule, ``recbole/data/dataset/dataset.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

TRAIN, VALID, TEST, KNOWN = 0, 1, 2, 3
"""``KNOWN`` is the fold-in set: what a model may know, when it recommends, of users that it was not trained on."""

Parts = NDArray[np.int8]
"""(n_interactions,): the part of each interaction."""

Bounds = NDArray[np.int64]
"""(n_users + 1,): interactions ``bounds[u]:bounds[u + 1]`` are those of user ``u``."""


def ratio_counts(lengths: NDArray[np.int64], ratios: Sequence[float]) -> NDArray[np.int64]:
    """How many interactions of each user go to each part, (n_users, n_parts).

    RecBole's rule (``_calcu_split_ids``): every part after the first gets the rounded-down share; what is left goes to
    the first; then, from the last part backwards, a part whose share is below one takes one from the first, as long as
    the first keeps one.
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


def leave_out_counts(lengths: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Train, validation and test counts (n_users, 3) if the last k go to test and the k before to validation."""
    test = np.clip(lengths - 1, 0, k)
    valid = np.clip(lengths - 1 - test, 0, k)
    return np.stack([lengths - test - valid, valid, test], axis=1)


def by_time(bounds: Bounds, counts: NDArray[np.int64]) -> Parts:
    """Per user, the oldest ``counts[u, 0]`` to train, then validation, the newest to test."""
    return _deal(np.arange(bounds[-1]), counts)


def at_random(bounds: Bounds, counts: NDArray[np.int64], seed: int) -> Parts:
    """Per user, ``counts[u, p]`` random interactions to part p."""
    return _deal(_shuffled(bounds, seed), counts)


def global_cut(times: NDArray[np.int64], ratios: Sequence[float]) -> Parts:
    """Cut the whole data set at two points in time, so that the parts have about the given ratios.

    Interactions at the very time of a cut go to the later part, so no part overlaps another in time.
    """
    shares = np.cumsum(ratios)[:-1] / sum(ratios)
    ordered = np.sort(times)
    cuts = ordered[np.minimum((shares * len(ordered)).astype(np.int64), len(ordered) - 1)]
    return np.searchsorted(cuts, times, side="right").astype(np.int8)


def folds(bounds: Bounds, k: int, seed: int) -> NDArray[np.int8]:
    """(n_interactions,): a fold 0 … k-1 for each; per user they are filled evenly, from a random one on."""
    order = _shuffled(bounds, seed)
    lengths = np.diff(bounds)
    first = np.random.default_rng((seed, 1)).integers(0, k, len(lengths))
    position = np.arange(bounds[-1]) - np.repeat(bounds[:-1], lengths) + np.repeat(first, lengths)
    fold = np.empty(bounds[-1], np.int8)
    fold[order] = position % k
    return fold


def fold_parts(bounds: Bounds, fold: NDArray[np.int8], k: int, tested: int) -> Parts:
    """Fold ``tested`` to test, the next one to validation, the rest to train.

    A user to whom this leaves no train interaction gives the validation ones to train, or, without any, all of them.
    """
    parts = np.full(len(fold), TRAIN, np.int8)
    parts[fold == (tested + 1) % k] = VALID
    parts[fold == tested] = TEST
    lengths = np.diff(bounds)
    users = np.repeat(np.arange(len(lengths)), lengths)
    for part in (VALID, TEST):
        empty = np.bincount(users[parts == TRAIN], minlength=len(lengths)) == 0
        parts[(parts == part) & empty[users]] = TRAIN
    return parts


def held_out_users(bounds: Bounds, user_ratios: Sequence[float], fold_in_ratio: float, seed: int) -> Parts:
    """Strong generalisation: some users are not in train at all (Liang et al., WWW 2018).

    ``user_ratios`` gives the shares of train, validation and test users. Of the latter two, a random share
    ``fold_in_ratio`` of each user's interactions, at least one, is :data:`KNOWN` when the rest is to be predicted.
    """
    lengths = np.diff(bounds)
    eligible = np.flatnonzero(lengths > 1)
    shuffled = np.random.default_rng((seed, 1)).permutation(eligible)
    cuts = (np.cumsum(user_ratios)[:-1] / sum(user_ratios) * len(shuffled)).astype(np.int64)
    kind = np.full(len(lengths), TRAIN, np.int8)
    kind[shuffled[cuts[0] : cuts[1]]] = VALID
    kind[shuffled[cuts[1] :]] = TEST
    known = np.clip(np.ceil(lengths * fold_in_ratio).astype(np.int64), 1, np.maximum(lengths - 1, 1))
    hidden = _deal(
        _shuffled(bounds, seed), np.stack([np.minimum(known, lengths), lengths - known.clip(max=lengths)], 1)
    )
    own = np.repeat(kind, lengths)
    return np.where(own == TRAIN, TRAIN, np.where(hidden == 0, KNOWN, own)).astype(np.int8)


def by_user(users: NDArray[np.integer[Any]], values: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Indices (n,) that stably sort by user, then by value; ``users`` are from 0 to 2³¹.

    Values from 0 to 2³², such as seconds since 1970, are put into one integer with the user: sorting that takes half
    the time of sorting by two keys.
    """
    if values.min(initial=0) >= 0 and values.max(initial=0) < 2**32:
        return np.argsort((users.astype(np.int64) << 32) | values, kind="stable")
    return np.lexsort((values, users))


def _shuffled(bounds: Bounds, seed: int) -> NDArray[np.int64]:
    """Interactions in canonical order of users and random order within each."""
    lengths = np.diff(bounds)
    users = np.repeat(np.arange(len(lengths)), lengths)
    return by_user(users, np.random.default_rng(seed).integers(0, 2**32, len(users)))


def _deal(order: NDArray[Any], counts: NDArray[np.int64]) -> Parts:
    """Give the first ``counts[u, 0]`` of each user's interactions, in ``order``, part 0, the next part 1, …"""
    n_users, n_parts = counts.shape
    parts = np.empty(len(order), np.int8)
    parts[order] = np.repeat(np.tile(np.arange(n_parts, dtype=np.int8), n_users), counts.reshape(-1))
    return parts
