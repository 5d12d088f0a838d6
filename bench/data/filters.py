"""Filters over interactions, each a mask; their order is that of :class:`bench.data.catalog.Filters`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]


def unique_pairs(users: Ids, items: Ids, times: NDArray[np.int64], keep: str) -> Mask:
    """Keep the ``first`` or ``last`` interaction, by time and then row, of every (user, item) pair.

    ``users``, ``items`` and ``times`` are (n,).
    """
    keys = users * (items.max(initial=0) + 1) + items
    ordered = np.sort(keys)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    mask = np.ones(len(keys), bool)
    if len(repeated):  # sorting whole rows is slow, and most data sets need none of it
        rows = np.flatnonzero(np.isin(keys, repeated))
        mask[rows] = _edges(keys[rows], times[rows], keep)
    return mask


def _edges(keys: Ids, times: NDArray[np.int64], keep: str) -> Mask:
    order = np.lexsort((times, keys))
    ordered = keys[order]
    edge = np.ones(len(keys), bool)
    if keep == "first":
        edge[1:] = ordered[1:] != ordered[:-1]
    else:
        edge[:-1] = ordered[1:] != ordered[:-1]
    mask = np.zeros(len(keys), bool)
    mask[order[edge]] = True
    return mask


def k_core(users: Ids, items: Ids, k: int) -> Mask:
    """The largest set of interactions in which every user and every item that occurs has at least ``k``.

    It is unique, whatever the order of removal (Batagelj & Zaveršnik 2003).
    """
    kept = np.arange(len(users))
    while len(kept):
        few_users = np.bincount(users[kept])[users[kept]] < k
        few_items = np.bincount(items[kept])[items[kept]] < k
        leave = few_users | few_items
        if not leave.any():
            break
        kept = kept[~leave]
    mask = np.zeros(len(users), bool)
    mask[kept] = True
    return mask
