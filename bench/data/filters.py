"""Filters over interactions, each a mask; their order is that of :class:`bench.data.catalog.Filters`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]


def unique_pairs(users: Ids, items: Ids, keep: str) -> Mask:
    """Keep the first or last interaction of every (user, item) pair, in the given order of rows.

    ``users`` and ``items`` are (n,) integer ids; ``keep`` is ``first`` or ``last``.
    """
    keys = users * (items.max(initial=0) + 1) + items
    if keep == "last":
        keys = keys[::-1]
    mask = np.zeros(len(keys), bool)
    mask[np.unique(keys, return_index=True)[1]] = True
    return mask[::-1] if keep == "last" else mask


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
