"""Filters against their definitions, on random data."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bench.data.filters import k_core, unique_pairs


def columns(rows):
    return tuple(np.array(rows, np.int64).reshape(-1, 2).T)


def literal_core(rows, k):
    """Take away one offender at a time until there is none."""
    kept = list(range(len(rows)))
    while True:
        users, items = ([rows[i][side] for i in kept] for side in (0, 1))
        offender = next((i for i in kept if users.count(rows[i][0]) < k or items.count(rows[i][1]) < k), None)
        if offender is None:
            return kept
        kept.remove(offender)


@given(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=36), st.integers(1, 4), st.randoms())
def test_k_core_is_the_largest_set_that_qualifies(rows, k, random):
    rows = sorted(rows)
    random.shuffle(rows)
    users, items = columns(rows)
    assert np.flatnonzero(k_core(users, items, k)).tolist() == literal_core(rows, k)


def test_k_core_cascades():
    """A chain falls apart from its end; a square of two users and two items stays."""
    chain = [(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (3, 2)]
    square = [(8, 8), (8, 9), (9, 8), (9, 9)]
    users, items = columns(chain + square)
    assert np.flatnonzero(k_core(users, items, 2)).tolist() == [6, 7, 8, 9]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 3)), max_size=60))
def test_the_first_or_last_of_a_pair_by_time_then_row_is_kept(rows):
    users, items, times = (np.array(column, np.int64) for column in (zip(*rows, strict=True) if rows else [[]] * 3))
    places = {}
    for place, (user, item, time) in enumerate(rows):
        places.setdefault((user, item), []).append((time, place))
    for keep, choose in (("first", min), ("last", max)):
        expected = sorted(choose(found)[1] for found in places.values())
        assert np.flatnonzero(unique_pairs(users, items, times, keep)).tolist() == expected
