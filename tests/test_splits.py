"""Every split against its definition, on random data."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.splits import (
    KNOWN,
    TEST,
    TRAIN,
    VALID,
    at_random,
    by_time,
    by_user,
    fold_parts,
    folds,
    global_cut,
    held_out_users,
    leave_out_counts,
    ratio_counts,
)

lengths = st.lists(st.integers(0, 40), min_size=1, max_size=15)
seeds = st.integers(0, 2**31)
RATIOS = (8, 1, 1)


def bounds_of(found):
    return np.concatenate([[0], np.cumsum(found)]).astype(np.int64)


def rows_of(parts, found):
    """The parts of each user."""
    return np.split(parts, np.cumsum(found)[:-1])


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


@given(lengths, st.integers(1, 5))
def test_leave_out_keeps_one_and_prefers_test(found, k):
    for length, (train, valid, test) in zip(found, leave_out_counts(np.array(found), k), strict=True):
        assert train + valid + test == length
        assert test == (min(k, length - 1) if length else 0)
        assert valid == (min(k, length - 1 - test) if length else 0)


@given(lengths, seeds)
def test_random_ratio_is_an_exact_partition(found, seed):
    counts = ratio_counts(np.array(found), RATIOS)
    parts = at_random(bounds_of(found), counts, seed)
    for own, length in zip(rows_of(parts, found), found, strict=True):
        assert [int((own == part).sum()) for part in (TRAIN, VALID, TEST)] == literal_recbole(length, RATIOS)
    assert np.array_equal(at_random(bounds_of(found), counts, seed), parts)


@given(lengths, st.sampled_from([RATIOS, (6, 2, 2)]))
def test_by_time_the_oldest_come_first(found, ratios):
    parts = by_time(bounds_of(found), ratio_counts(np.array(found), ratios))
    for own, length in zip(rows_of(parts, found), found, strict=True):
        assert list(own) == sorted(own)  # interactions are in time order, and train < validation < test
        assert [int((own == part).sum()) for part in (TRAIN, VALID, TEST)] == literal_recbole(length, ratios)


def test_another_seed_gives_another_split():
    bounds = bounds_of([20] * 100)
    counts = ratio_counts(np.diff(bounds), RATIOS)
    assert not np.array_equal(at_random(bounds, counts, 1), at_random(bounds, counts, 2))
    assert not np.array_equal(folds(bounds, 5, 1), folds(bounds, 5, 2))
    assert not np.array_equal(held_out_users(bounds, RATIOS, 0.8, 1), held_out_users(bounds, RATIOS, 0.8, 2))


def test_random_ratio_favours_no_place_in_the_history():
    """Every position is a test item about as often as any other: 400 expected, 5 standard deviations allowed."""
    bounds = bounds_of([10] * 4000)
    parts = at_random(bounds, ratio_counts(np.diff(bounds), RATIOS), 0)
    at = (parts.reshape(4000, 10) == TEST).sum(axis=0)
    assert at.sum() == 4000
    assert np.abs(at - 400).max() < 5 * np.sqrt(400 * 0.9)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60))
def test_global_cut_separates_times(times):
    times = np.array(times)
    parts = global_cut(times, RATIOS)
    for earlier, later in ((TRAIN, VALID), (VALID, TEST), (TRAIN, TEST)):
        if (parts == earlier).any() and (parts == later).any():
            assert times[parts == earlier].max() < times[parts == later].min()


def test_global_cut_has_the_ratios_where_times_are_distinct():
    parts = global_cut(np.random.default_rng(0).permutation(1000), RATIOS)
    assert [int((parts == part).sum()) for part in (TRAIN, VALID, TEST)] == [800, 100, 100]


@given(lengths, st.integers(3, 6), seeds)
def test_folds_are_even_and_test_every_interaction_once(found, k, seed):
    bounds = bounds_of(found)
    fold = folds(bounds, k, seed)
    tested = np.stack([fold_parts(bounds, fold, k, i) == TEST for i in range(k)])
    for own, length in zip(rows_of(fold, found), found, strict=True):
        sizes = np.bincount(own, minlength=k)
        assert sizes.max() - sizes.min() <= 1
        assert sizes.sum() == length
    for user, length in enumerate(found):
        times_tested = tested[:, bounds[user] : bounds[user + 1]].sum(axis=0)
        assert (times_tested == (1 if length > 1 else 0)).all()


@given(lengths, st.integers(3, 6), seeds)
def test_no_fold_leaves_a_user_with_test_but_without_train(found, k, seed):
    bounds = bounds_of(found)
    fold = folds(bounds, k, seed)
    for tested in range(k):
        for own in rows_of(fold_parts(bounds, fold, k, tested), found):
            assert not len(own) or (own == TRAIN).any()


@given(lengths, seeds, st.floats(0.1, 0.9))
def test_held_out_users_are_not_in_train(found, seed, share):
    parts = held_out_users(bounds_of(found), RATIOS, share, seed)
    for own, length in zip(rows_of(parts, found), found, strict=True):
        kinds = set(own.tolist())
        assert kinds in (set(), {TRAIN}, {KNOWN, VALID}, {KNOWN, TEST})
        if KNOWN in kinds:
            assert 1 <= (own == KNOWN).sum() == min(int(np.ceil(length * share)), length - 1)


def test_held_out_users_have_the_ratios():
    found = [10] * 100
    rows = rows_of(held_out_users(bounds_of(found), RATIOS, 0.8, 3), found)
    assert [sum(part in row for row in rows) for part in (TRAIN, VALID, TEST)] == [80, 10, 10]
    assert {int((row == KNOWN).sum()) for row in rows} == {0, 8}


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([-(2**40), -5, 0, 7, 2**32 - 1, 2**32])), max_size=20))
def test_by_user_then_by_value_whatever_its_sign_and_size(rows):
    users, values = np.array(rows, np.int64).reshape(-1, 2).T
    assert by_user(users, values).tolist() == sorted(range(len(rows)), key=lambda at: rows[at])
