"""What an epoch trains on: properties, and counts against chance."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
from bench_colarec.training.sampling import Sampler
from bench_torchkit.tree import tree
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from bench.testing import interactions_from

N_ITEMS = 12


@st.composite
def samplers(draw, most=8):
    """Users with no, one or several interactions, at least one of them with some; a tree of random identifiers."""
    rows = draw(
        st.lists(st.lists(st.integers(0, N_ITEMS - 1), unique=True, max_size=most), min_size=2, max_size=9).filter(any)
    )
    seed = draw(st.integers(0, 5))
    length = draw(st.integers(1, 3))
    width = {1: N_ITEMS, 2: 4, 3: 3}[length]
    places = np.random.default_rng(seed).permutation(width**length)[:N_ITEMS]
    codes = np.stack([places // width**level % width for level in range(length)], 1).astype(np.int32)
    return Sampler(interactions_from(rows, N_ITEMS), tree(codes, width), seed), rows


def samples_of(batches):
    """For each sample its user, history and targets, in the order of the epoch."""
    found = []
    for batch in batches:
        for row, user in enumerate(batch.users.tolist()):
            history = batch.history[batch.indptr[row] : batch.indptr[row + 1]].tolist()
            mine = batch.rows == row
            assert batch.places[mine].tolist() == list(range(mine.sum()))
            found.append((user, history, batch.targets[mine].tolist()))
        assert (np.diff(batch.rows) >= 0).all()
        assert len(batch.indptr) == len(batch.users) + 1
    return found


def check_history(row, history, targets, most):
    """A subset of what is left, in time order, as long as can be, without repetition."""
    assert len(history) == min(most, len(row) - len(targets))
    assert not set(history) & set(targets)
    places = [row.index(item) for item in history]
    assert places == sorted(set(places))


@settings(max_examples=60)
@given(samplers(), st.integers(1, 6), st.integers(1, 9))
def test_every_interaction_is_a_target_once(case, size, most):
    sampler, rows = case
    batches = list(sampler.interactions(1, size, most))
    found = samples_of(batches)
    assert sorted((user, *targets) for user, _, targets in found) == sorted(
        (user, item) for user, row in enumerate(rows) for item in row
    )
    for user, history, targets in found:
        check_history(rows[user], history, targets, most)
    assert [len(batch.users) for batch in batches].count(size) >= len(found) // size
    assert len(batches) == -(-len(found) // size)


@settings(max_examples=60)
@given(samplers(), st.integers(1, 6), st.integers(1, 9), st.integers(1, 4))
def test_every_active_user_is_a_sample_once(case, size, most, targets_at_most):
    sampler, rows = case
    batches = list(sampler.users(1, size, most, targets_at_most))
    found = samples_of(batches)
    assert sorted(user for user, _, _ in found) == [user for user, row in enumerate(rows) if row]
    for user, history, targets in found:
        row = rows[user]
        assert len(set(targets)) == len(targets) == min(max(1, (len(row) + 1) // 3), targets_at_most)
        assert set(targets) <= set(row)
        check_history(row, history, targets, most)
    assert len(batches) == -(-len(found) // size)


@settings(max_examples=50)
@given(samplers(), st.sampled_from(["interactions", "users"]))
def test_an_epoch_depends_on_seed_and_epoch_alone(case, kind):
    sampler, _ = case

    def epoch(number, seed=None):
        fresh = Sampler(sampler.train, sampler.tree, sampler.seed if seed is None else seed)
        if kind == "users":
            return samples_of(fresh.users(number, 3, 4, 2))
        return samples_of(fresh.interactions(number, 3, 4))

    assert epoch(2) == epoch(2)
    before = epoch(1)
    list(sampler.interactions(1, 3, 4))
    assert before == epoch(1)


@pytest.mark.parametrize("kind", ["interactions", "users"])
def test_epochs_seeds_and_steps_differ(kind):
    rows = [list(range(N_ITEMS))] * 20
    codes = np.arange(N_ITEMS, dtype=np.int32)[:, None]

    def epoch(number, seed):
        sampler = Sampler(interactions_from(rows, N_ITEMS), tree(codes, N_ITEMS), seed)
        return samples_of(sampler.users(number, 5, 6, 4) if kind == "users" else sampler.interactions(number, 5, 6))

    first = epoch(1, 1)
    assert first != epoch(2, 1)
    assert first != epoch(1, 2)
    assert len({tuple(history) for _, history, _ in first}) > len(first) / 2  # steps do not repeat one another


def test_which_items_are_history_and_target_is_uniform():
    row = [4, 0, 2, 5, 1, 3]
    sampler = Sampler(interactions_from([row], 6), tree(np.arange(6, dtype=np.int32)[:, None], 6), 3)
    n = 3000
    targets, kept = Counter(), Counter()
    for epoch in range(1, n + 1):
        ((_, history, chosen),) = samples_of(sampler.users(epoch, 4, 2, 4))
        targets[frozenset(chosen)] += 1
        kept.update(history)
    assert len(targets) == 15  # pairs
    assert chisquare(list(targets.values())).pvalue > 0.01
    # The test is on single items, two of which are drawn together, so that the statistic is smaller than it may be.
    assert chisquare([kept[item] for item in range(6)]).pvalue > 0.01
    kept = Counter()
    for epoch in range(1, 500):
        for _, history, (target,) in samples_of(sampler.interactions(epoch, 6, 2)):
            kept.update((target, item) for item in history)
    assert len(kept) == 30
    assert chisquare(list(kept.values())).pvalue > 0.01


def test_batches_are_of_similar_lengths_but_not_always_of_the_same_samples():
    rows = [list(range(1 + user % 10)) for user in range(400)]
    sampler = Sampler(interactions_from(rows, N_ITEMS), tree(np.arange(N_ITEMS, dtype=np.int32)[:, None], N_ITEMS), 1)
    first, second = (list(sampler.users(epoch, 20, 10, 1)) for epoch in (1, 2))
    spread = [np.ptp(np.diff(batch.indptr)) for batch in first]
    assert np.mean(spread) < 1
    assert {frozenset(batch.users) for batch in first} != {frozenset(batch.users) for batch in second}
    assert np.abs(np.diff([np.diff(batch.indptr).mean() for batch in first])).mean() > 1  # batches are in no order


@settings(max_examples=60)
@given(samplers(most=N_ITEMS), st.integers(0, 99), st.booleans(), st.data())
def test_negatives_are_new_to_the_user_and_in_another_branch(case, seed, narrow, data):
    sampler, rows = case
    codes = sampler.tree.codes
    users = np.array([user for user, row in enumerate(rows) for _ in row])
    positives = np.array([item for row in rows for item in row])
    among = None
    if narrow:
        among = np.unique(data.draw(st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=4)))
    found = sampler.negatives(np.random.default_rng(seed), users, positives, among)
    for user, positive, negative in zip(users, positives, found, strict=True):
        new = set(range(N_ITEMS)) - set(rows[user])
        apart = {item for item in new if codes[item, 0] != codes[positive, 0]}
        if new:
            assert negative in new
        if apart:
            assert negative in apart
    assert sampler.negatives(np.random.default_rng(seed), users, positives, among).tolist() == found.tolist()


def test_negatives_are_uniform_and_come_from_the_batch_where_they_can():
    rows = [[0, 1], [2]]
    codes = np.array([[item // 3, item % 3] for item in range(N_ITEMS)], np.int32)
    sampler = Sampler(interactions_from(rows, N_ITEMS), tree(codes, 4), 1)
    n = 9000
    drawn = np.bincount(sampler.negatives(np.random.default_rng(0), np.zeros(n, int)), minlength=N_ITEMS)
    assert drawn[:2].tolist() == [0, 0]
    assert chisquare(drawn[2:]).pvalue > 0.01
    apart = sampler.negatives(np.random.default_rng(0), np.zeros(n, int), np.ones(n, int))
    assert sorted(set(apart)) == list(range(3, N_ITEMS))
    assert chisquare(np.bincount(apart)[3:]).pvalue > 0.01
    batch = np.array([0, 1, 2, 4, 9])
    among = sampler.negatives(np.random.default_rng(0), np.zeros(n, int), np.ones(n, int), batch)
    assert sorted(set(among)) == [4, 9]


@given(samplers(), st.integers(0, 99))
def test_siblings_share_all_but_the_last_code(case, seed):
    sampler, _ = case
    codes = [tuple(code) for code in sampler.tree.codes.tolist()]
    found = sampler.siblings(np.random.default_rng(seed), np.arange(N_ITEMS))
    for item, sibling in enumerate(found):
        group = [other for other in range(N_ITEMS) if codes[other][:-1] == codes[item][:-1] and other != item]
        assert (sibling in group) if group else sibling == -1


def test_siblings_are_uniform():
    codes = np.array([[0, 3], [1, 0], [0, 0], [0, 2], [0, 1]], np.int32)
    sampler = Sampler(interactions_from([[0]], 5), tree(codes, 4), 1)
    for item in (0, 2, 3, 4):
        found = sampler.siblings(np.random.default_rng(7), np.full(3000, item))
        counts = np.bincount(found, minlength=5)
        group = [other for other in (0, 2, 3, 4) if other != item]
        assert counts[group].sum() == 3000
        assert chisquare(counts[group]).pvalue > 0.01


@given(samplers(), st.integers(0, 4), st.integers(0, 99), st.data())
def test_users_of_an_item(case, most, seed, data):
    sampler, rows = case
    items = data.draw(st.lists(st.integers(0, N_ITEMS - 1), max_size=8))
    never = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=4))
    indptr, users = sampler.users_of(
        np.random.default_rng(seed), np.array(items, np.int64), most, np.array(never, np.int64)
    )
    assert len(indptr) == len(items) + 1
    for at, item in enumerate(items):
        shown = users[indptr[at] : indptr[at + 1]].tolist()
        allowed = {user for user, row in enumerate(rows) if item in row} - set(never)
        assert len(shown) == len(set(shown)) == min(most, len(allowed))
        assert set(shown) <= allowed


@given(samplers(), st.integers(1, 9), st.integers(1, 12))
def test_parts_of_a_batch_are_the_batch(case, size, n_parts):
    sampler, _ = case
    for batch in [*sampler.users(1, size, 4, 3), *sampler.interactions(1, size, 4)]:
        pieces = batch.split(n_parts)
        assert 1 <= len(pieces) <= n_parts
        assert samples_of(pieces) == samples_of([batch])
        assert all(len(piece.users) for piece in pieces)
        sizes = [len(piece.users) for piece in pieces]
        assert max(sizes) - min(sizes) <= 1
        for piece in pieces:
            lengths = {field.name: len(getattr(piece, field.name)) for field in dataclasses.fields(piece)}
            assert lengths["rows"] == lengths["targets"] == lengths["places"]
            assert piece.indptr[0] == 0
            assert piece.indptr[-1] == lengths["history"]


def test_users_with_one_interaction_have_a_target_and_no_history():
    sampler = Sampler(interactions_from([[3], [], [1]], N_ITEMS), tree(np.arange(N_ITEMS)[:, None], N_ITEMS), 1)
    expected = [(0, [], [3]), (2, [], [1])]
    assert sorted(samples_of(sampler.users(1, 4, 5, 2))) == expected
    assert sorted(samples_of(sampler.interactions(1, 4, 5))) == expected
