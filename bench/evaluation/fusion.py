"""One list of several, by their ranks alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.interactions import UNFILLED, Recommendations

Floats = NDArray[np.float64]

CONSTANT = 60.0
"""Of reciprocal rank fusion (Cormack, Clarke & Büttcher, SIGIR 2009)."""

_DIGITS = 12
"""To which fused scores are compared, so that the order of the lists does not decide ties."""


def _reciprocal(ranks: NDArray[np.int64], width: int, constant: float) -> Floats:
    """1 / (constant + rank)."""
    return np.asarray(1.0 / (constant + ranks), np.float64)


def _borda(ranks: NDArray[np.int64], width: int, constant: float) -> Floats:
    """As many points as there are slots from here to the end, over their number: 1 for the first slot."""
    return (width + 1.0 - ranks) / width


RULES: dict[str, Callable[[NDArray[np.int64], int, float], Floats]] = {"rrf": _reciprocal, "borda": _borda}
"""What a slot of a list of this width brings to its item, by its rank from 1."""


def fuse(
    lists: Sequence[NDArray[np.int32]], weights: Sequence[float], rule: str, k: int, constant: float = CONSTANT
) -> Recommendations:
    """Lists of the ``k`` items with the highest weighted sums; what a list does not have brings nothing.

    Of equal sums the lower item id comes first.

    Parameters
    ----------
    lists
        Arrays (n_users, width), best first, :data:`bench.interactions.UNFILLED` where unfilled; each has a width of its
        own.
    weights
        One for each of them, positive; their proportions count.
    rule
        A name of :data:`RULES`.
    constant
        Of ``rrf``; the larger, the less the first ranks count.
    """
    rows, items, gains = [], [], []
    for own, weight in zip(lists, weights, strict=True):
        row, slot = np.nonzero(own != UNFILLED)
        rows.append(row)
        items.append(own[row, slot].astype(np.int64))
        gains.append(weight / sum(weights) * RULES[rule](slot + 1, own.shape[1], constant))
    n_users = len(lists[0])
    width = 1 + max((int(part.max(initial=0)) for part in items), default=0)
    keys, which = np.unique(np.concatenate(rows) * width + np.concatenate(items), return_inverse=True)
    sums = np.round(np.bincount(which, weights=np.concatenate(gains), minlength=len(keys)), _DIGITS)
    user, item = np.divmod(keys, width)
    order = np.lexsort((item, -sums, user))
    first = np.searchsorted(user, np.arange(n_users))  # users are in order before and after
    slot = np.arange(len(order)) - first[user]
    order, slot = order[slot < k], slot[slot < k]
    found = Recommendations(np.full((n_users, k), UNFILLED, np.int32), np.full((n_users, k), -np.inf, np.float32))
    found.items[user[order], slot] = item[order]
    found.scores[user[order], slot] = sums[order]
    return found
