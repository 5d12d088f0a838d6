"""Which test items could be known by heart? Groups of test cases by what train holds of their pairs of items.

A test case is a user and one of the user's test items. It is by transition if somebody went in train from the last
item that is known of the user directly to this one; together if it stands in a row of train with any item that is known
of the user; and new if neither: then no table of pairs could recommend it, and a model has to generalize.
"""

from __future__ import annotations

import itertools

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.interactions import Interactions

NAMES = ("seen transition", "seen together", "new pair")

_PAIRS_AT_ONCE = 2**22
"""Items known of users beside test items, or items that stand beside others in rows of train."""


def memory(train: Interactions, history: Interactions, test: Interactions) -> dict[str, NDArray[np.bool_]]:
    """(n_test,): the test interactions by name of :data:`NAMES`; each is in one of them.

    ``history`` is what a model is told of each user at test; rows are the same users in all three.
    """
    by_transition = _after_last(train, history, test)
    together = _together(train, history, test) & ~by_transition
    return dict(zip(NAMES, (by_transition, together, ~by_transition & ~together), strict=True))


def transitions(rows: Interactions) -> NDArray[np.int64]:
    """(n_steps,): each step from an item of a row to the next one, as first item · ``n_items`` + second item."""
    same_row = np.diff(rows.users) == 0
    found: NDArray[np.int64] = rows.items[:-1][same_row].astype(np.int64) * rows.n_items + rows.items[1:][same_row]
    return found


def _after_last(train: Interactions, history: Interactions, test: Interactions) -> NDArray[np.bool_]:
    seen = np.unique(transitions(train))
    known = history.lengths > 0
    last = np.full(history.n_users, -1, np.int64)
    last[known] = history.items[history.indptr[1:][known] - 1]
    of_case = last[test.users]
    return (of_case >= 0) & np.isin(of_case * train.n_items + test.items, seen)


def _together(train: Interactions, history: Interactions, test: Interactions) -> NDArray[np.bool_]:
    found = np.zeros(len(test), bool)
    matrix = sp.csr_array((np.ones(len(train), bool), train.items, train.indptr), shape=train.shape)
    users_of = sp.csr_array(matrix.T)
    # At most so many items stand beside each one, and so many pairs are looked up for it.
    beside = users_of @ train.lengths + np.bincount(
        test.items, weights=history.lengths[test.users], minlength=train.n_items
    )
    order = np.argsort(test.items, kind="stable")
    items, starts = np.unique(test.items[order], return_index=True)
    starts = np.append(starts, len(order))
    part = np.cumsum(beside[items]) // _PAIRS_AT_ONCE
    for begin, end in itertools.pairwise([*np.unique(part, return_index=True)[1], len(items)]):
        cases = order[starts[begin] : starts[end]]
        pairs = users_of[items[begin:end]] @ matrix
        seen = np.repeat(np.arange(end - begin), np.diff(pairs.indptr)) * train.n_items + pairs.indices
        known = history.select(test.users[cases])
        at = np.searchsorted(items[begin:end], test.items[cases])
        hits = np.isin(np.repeat(at, known.lengths) * train.n_items + known.items, seen)
        found[cases] = np.bincount(known.users[hits], minlength=len(cases)) > 0
    return found
