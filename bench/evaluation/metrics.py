"""Ranking metrics per user, from top-K lists.

Relevance is binary: the items of the user's test row. ``hits[u, j]`` says whether slot ``j`` (0-based) of the list of
``u`` holds one of them, ``r`` is the number of relevant items. An unfilled slot is a miss. Definitions are those of
RecBole 1.2.1 (``recbole/evaluator/metrics.py``); where ``ranx`` or others differ, the docstring says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from bench.interactions import Interactions

Floats = NDArray[np.float64]
Hits = NDArray[np.bool_]
Metric = Callable[[Hits, NDArray[np.int64], int], Floats]

VERSION = 1
"""Goes up when the definition of any metric changes."""


def hit_matrix(items: NDArray[np.int32], relevant: Interactions) -> Hits:
    """(n_users, k): which slots of the lists ``items`` (n_users, k) hold an item of the same row of ``relevant``."""
    width = relevant.n_items + 1  # slot value -1 becomes column 0, which no relevant item has
    keys = np.sort(relevant.users * width + relevant.items + 1)
    wanted = np.arange(len(items))[:, None] * width + items + 1
    if not len(keys):
        return np.zeros(items.shape, bool)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found: Hits = keys[at] == wanted
    return found


def _hits_within(hits: Hits, k: int) -> Floats:
    found: Floats = np.count_nonzero(hits[:, :k], axis=1).astype(np.float64)
    return found


def recall(hits: Hits, relevant: NDArray[np.int64], k: int) -> Floats:
    """Share of the relevant items that the first k slots hold: hits / r."""
    return _hits_within(hits, k) / relevant


def precision(hits: Hits, relevant: NDArray[np.int64], k: int) -> Floats:
    """Share of the first k slots that are hits. The divisor is k, also for shorter lists."""
    return _hits_within(hits, k) / k


def hit(hits: Hits, relevant: NDArray[np.int64], k: int) -> Floats:
    """1 if any of the first k slots is a hit, else 0."""
    return hits[:, :k].any(axis=1).astype(float)


def mrr(hits: Hits, relevant: NDArray[np.int64], k: int) -> Floats:
    """1 / rank of the first hit within the first k slots, 0 if there is none."""
    top = hits[:, :k]
    return np.where(top.any(axis=1), 1.0 / (top.argmax(axis=1) + 1), 0.0)


def ndcg(hits: Hits, relevant: NDArray[np.int64], k: int) -> Floats:
    """Discounted gain (1 / log2(rank + 1) per hit) over that of the best list possible.

    The best list has min(r, k) hits, so that a user with fewer than k relevant items can reach 1.
    """
    gains = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(gains)])[np.minimum(relevant, k)]
    width = min(k, hits.shape[1])
    found: Floats = hits[:, :width].astype(np.float64) @ gains[:width] / ideal
    return found


def average_precision(hits: Hits, relevant: NDArray[np.int64], k: int) -> Floats:
    """Mean of the precision at the rank of each hit, over min(r, k).

    This is RecBole's definition; ``ranx`` and TREC divide by r, which gives less for users with r > k.
    """
    top = hits[:, :k]
    at_hits: Floats = np.cumsum(top, axis=1) / np.arange(1, top.shape[1] + 1) * top
    sums: Floats = at_hits.sum(axis=1)
    return sums / np.minimum(relevant, k)


METRICS: dict[str, Metric] = {
    "recall": recall,
    "ndcg": ndcg,
    "mrr": mrr,
    "hit": hit,
    "precision": precision,
    "map": average_precision,
}


def per_user(
    items: NDArray[np.int32], relevant: Interactions, ks: Iterable[int], metrics: Iterable[str] = METRICS
) -> dict[str, Floats]:
    """Every metric at every k for every user.

    Parameters
    ----------
    items
        (n_users, width) lists, best first, -1 where unfilled; width at least the largest k.
    relevant
        The test rows of the same users, none of them empty.

    Returns
    -------
    ``{"recall@5": (n_users,) float64, …}``

    Raises
    ------
    ValueError
        If a user has no relevant item, for whom no metric is defined, or a list is shorter than a k.
    """
    lengths, ks = relevant.lengths, list(ks)
    if (lengths == 0).any():
        raise ValueError("a user without test items has no metrics")
    if max(ks) > items.shape[1]:
        raise ValueError(f"lists of {items.shape[1]} items cannot be measured at {max(ks)}")
    hits = hit_matrix(items, relevant)
    return {f"{name}@{k}": METRICS[name](hits, lengths, k) for name in metrics for k in ks}


def cut_offs(names: Iterable[str]) -> set[int]:
    """Those of metrics whose names are ``metric@k``."""
    return {int(name.rpartition("@")[2]) for name in names}


def main_cut_off(ks: Collection[int]) -> int:
    """That of the metrics by which rows are ordered and compared: 10, or the largest if 10 is none of them."""
    return 10 if 10 in ks else max(ks, default=10)
