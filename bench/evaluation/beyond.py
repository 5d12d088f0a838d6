"""What lists are like, whatever they hit: how much of the catalogue they show, how evenly, and how popular it is.

Of all users that have test items, from their first k slots; unfilled slots count for nothing. Coverage, the Gini index
and average popularity are those of RecBole 1.2.1 (``recbole/evaluator/metrics.py``) where all slots are filled.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bench.interactions import UNFILLED

NAMES = {
    "coverage": "share of the catalogue that is in any list",
    "gini": "inequality of how often items are in lists: 0 all the same, 1 one item",
    "popularity": "train interactions of a listed item, mean of users' means",
    "novelty": "−log2 of the share of users who have a listed item in train (at least one user), mean of users' means",
    "niche": "share of slots with niche items, which are not among the fifth with the most train interactions",
    "ild": "intra-list diversity: 1 − cosine of the categories of two listed items, mean of users' means over pairs",
    "ild-text": "the same of their texts, words weighted by tf-idf",
}
"""What each says."""


def beyond(
    items: NDArray[np.int32], counts: NDArray[np.int64], n_users: int, niche: NDArray[np.bool_], ks: Iterable[int]
) -> dict[str, float]:
    """Each of :data:`NAMES` but diversity at each k, as ``coverage@10``; coverage alone, 0, where no slot is filled.

    Parameters
    ----------
    items
        (n, width) lists, best first, -1 where unfilled.
    counts, n_users
        (n_items,): train interactions of each item, among so many users.
    niche
        (n_items,): the items that are.
    """
    information = -np.log2(np.maximum(counts, 1) / max(1, n_users))
    found: dict[str, float] = {}
    for k in ks:
        top = items[:, :k]
        filled = top != UNFILLED
        if not filled.any():
            found[f"coverage@{k}"] = 0.0
            continue
        shown = np.bincount(top[filled], minlength=len(counts))
        values = {
            "coverage": np.count_nonzero(shown) / len(counts),
            "gini": _gini(shown),
            "popularity": _mean(counts[top], filled),
            "novelty": _mean(information[top], filled),
            "niche": float(niche[top][filled].mean()),
        }
        found |= {f"{name}@{k}": float(value) for name, value in values.items()}
    return found


def _mean(values: NDArray[np.generic], filled: NDArray[np.bool_]) -> float:
    """Of the means of the rows that have anything."""
    numbers = filled.sum(axis=1)
    sums = np.where(filled, values, 0).sum(axis=1)
    return float((sums[numbers > 0] / numbers[numbers > 0]).mean())


def _gini(shown: NDArray[np.int64]) -> float:
    """Σ (2 j − n − 1) c_j / (n Σ c) over the n items, by rising count c."""
    n = len(shown)
    weights = 2 * np.arange(1, n + 1) - n - 1
    return float((weights * np.sort(shown)).sum() / (n * shown.sum()))
