"""Filters and splits against their definitions, on random data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.filters import k_core, unique_pairs
from bench.data.splits import TEST, TRAIN, VALID, random_ratio, ratio_counts

pairs = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=60)
lengths = st.lists(st.integers(0, 60), min_size=1, max_size=12)


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


@given(pairs, st.sampled_from(["first", "last"]))
def test_one_row_per_pair_is_kept(rows, keep):
    users, items = columns(rows)
    order = list(enumerate(rows)) if keep == "last" else list(enumerate(rows))[::-1]
    expected = sorted({row: i for i, row in order}.values())  # the dictionary keeps the one that comes last
    assert np.flatnonzero(unique_pairs(users, items, keep)).tolist() == expected


def literal_recbole(total, ratios):
    """``_calcu_split_ids`` of RecBole 1.2.1, for one user, as written there."""
    ratios = [ratio / sum(ratios) for ratio in ratios]
    counts = [int(ratio * total) for ratio in ratios]
    counts[0] = total - sum(counts[1:])
    for i in range(1, len(ratios)):
        if counts[0] <= 1:
            break
        if 0 < ratios[-i] * total < 1:
            counts[-i] += 1
            counts[0] -= 1
    return counts


@pytest.mark.parametrize("ratios", [(8, 1, 1), (0.8, 0.1, 0.1), (6, 2, 2), (9, 0, 1), (1, 1, 1)], ids=str)
def test_counts_are_those_of_recbole(ratios):
    every = np.arange(200)
    assert ratio_counts(every, ratios).tolist() == [literal_recbole(int(n), ratios) for n in every]


@pytest.mark.parametrize(
    ("interactions", "expected"),
    [(0, [0, 0, 0]), (1, [1, 0, 0]), (2, [1, 0, 1]), (3, [1, 1, 1]), (5, [3, 1, 1]), (10, [8, 1, 1]), (39, [33, 3, 3])],
)
def test_counts_of_some_users(interactions, expected):
    assert ratio_counts(np.array([interactions]), (8, 1, 1)).tolist() == [expected]


@given(lengths, st.integers(0, 2**31))
@settings(max_examples=50)
def test_split_is_an_exact_partition(found, seed):
    indptr = np.concatenate([[0], np.cumsum(found)])
    parts = random_ratio(indptr, (8, 1, 1), seed)
    assert len(parts) == indptr[-1]
    for user, length in enumerate(found):
        own = parts[indptr[user] : indptr[user + 1]]
        counts = [int((own == part).sum()) for part in (TRAIN, VALID, TEST)]
        assert counts == literal_recbole(length, (8, 1, 1))
        assert sum(counts) == length


def test_split_depends_on_the_seed_alone():
    indptr = np.arange(0, 2001, 20)
    first = random_ratio(indptr, (8, 1, 1), 1)
    assert np.array_equal(random_ratio(indptr, (8, 1, 1), 1), first)
    assert not np.array_equal(random_ratio(indptr, (8, 1, 1), 2), first)


def test_split_is_random_within_a_user():
    """Every position of a user's history is a test item about as often as any other."""
    indptr = np.arange(0, 10 * 4000 + 1, 10)
    at = (random_ratio(indptr, (8, 1, 1), 0).reshape(4000, 10) == TEST).sum(axis=0)
    assert at.sum() == 4000
    assert at.min() > 320
    assert at.max() < 480
