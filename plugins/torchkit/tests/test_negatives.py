"""Negatives: which items may be drawn, and how often each is."""

import numpy as np
import pytest
from bench_torchkit.negatives import NegativeSampler, new_to, shared
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from bench.testing import interactions_from

N_ITEMS = 7
ROWS = st.lists(st.lists(st.integers(0, N_ITEMS - 1), unique=True), min_size=1, max_size=6)


@given(ROWS, st.lists(st.tuples(st.integers(0, 5), st.integers(0, N_ITEMS - 1)), max_size=20))
def test_which_pairs_are_interactions(rows, pairs):
    pairs = [(user % len(rows), item) for user, item in pairs]
    users, items = np.array(pairs, np.int64).reshape(-1, 2).T
    found = NegativeSampler(interactions_from(rows, N_ITEMS)).interacted(users, items)
    assert found.tolist() == [item in rows[user] for user, item in pairs]


@given(ROWS, st.integers(0, 99), st.data())
def test_draws_are_allowed_and_rows_without_a_chance_stay_unfilled(rows, seed, data):
    among = data.draw(st.none() | st.lists(st.integers(0, N_ITEMS - 1), min_size=1, unique=True))
    users = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9)), np.int64)
    barred = np.array(data.draw(st.lists(st.integers(0, N_ITEMS - 1), min_size=len(users), max_size=len(users))))
    found = NegativeSampler(interactions_from(rows, N_ITEMS)).draw(
        np.random.default_rng(seed),
        users,
        among=None if among is None else np.array(among),
        reject=lambda at, items: items == barred[at],
        attempts=200,
    )
    for user, bad, item in zip(users, barred, found, strict=True):
        allowed = set(range(N_ITEMS) if among is None else among) - set(rows[user]) - {bad}
        assert item in allowed if allowed else item == -1


def test_draws_are_uniform():
    train = interactions_from([[0, 3], [1, 2, 4, 5, 6], []], N_ITEMS)
    users = np.repeat(np.arange(3), 6000)
    found = NegativeSampler(train).draw(np.random.default_rng(1), users)
    for user, allowed in enumerate([[1, 2, 4, 5, 6], [0, 3], range(N_ITEMS)]):
        counts = np.bincount(found[users == user], minlength=N_ITEMS)
        assert counts.sum() == counts[list(allowed)].sum()
        assert chisquare(counts[list(allowed)]).pvalue > 0.01


@pytest.mark.parametrize("n", [0, 3, 7, 20])
def test_shared_negatives_are_distinct_and_ascending(n):
    found = shared(np.random.default_rng(0), N_ITEMS, n)
    assert found.tolist() == sorted(set(found.tolist()))
    assert len(found) == min(n, N_ITEMS)


def test_shared_negatives_are_uniform():
    rng = np.random.default_rng(2)
    counts = np.bincount(np.concatenate([shared(rng, N_ITEMS, 3) for _ in range(5000)]), minlength=N_ITEMS)
    assert chisquare(counts).pvalue > 0.01


@given(ROWS, st.lists(st.integers(0, 5), max_size=9), st.sets(st.integers(0, N_ITEMS - 1)))
def test_what_is_new_to_users(rows, users, items):
    users = [user % len(rows) for user in users]
    found = new_to(interactions_from(rows, N_ITEMS), np.array(users, np.int64), np.array(sorted(items), np.int64))
    assert found.shape == (len(users), len(items))
    assert found.tolist() == [[item not in rows[user] for item in sorted(items)] for user in users]
