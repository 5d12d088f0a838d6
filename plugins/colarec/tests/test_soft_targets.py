"""Soft targets: what a teacher's lists become, what is drawn from them, and what is never among them."""

import itertools

import numpy as np
import pytest
import torch
from bench_colarec.training import step as step_module
from bench_colarec.training.sampling import Sampler
from bench_colarec.training.soft_targets import sharpness_of, soft_targets
from bench_colarec.training.step import Step
from bench_torchkit.tree import tree
from hypothesis import given
from hypothesis import strategies as st

from bench import UNFILLED, Recommendations, rank
from bench.testing import interactions_from

TREE = tree(np.array([[item // 4, item % 4] for item in range(12)], np.int32), 4)
LISTS = Recommendations(
    np.array([[3, 0, 2, 1], [2, 3, UNFILLED, UNFILLED], [UNFILLED] * 4], np.int32),
    np.array([[2.0, 1.5, 1.5, -3.0], [-5.0, -7.0, -np.inf, -np.inf], [-np.inf] * 4], np.float32),
)


@pytest.mark.parametrize("sharpness", [0.7, 3.0])
def test_draws_follow_the_softmax(sharpness):
    soft = soft_targets(LISTS, sharpness)
    n = 200_000
    drawn = soft.draw(np.random.default_rng(5), np.array([1, 0]), n)
    assert drawn.shape == (2, n)
    for row, user in ((0, 1), (1, 0)):
        filled = LISTS.items[user] != UNFILLED
        weights = np.exp(sharpness * LISTS.scores[user][filled].astype(float))
        expected = dict(zip(LISTS.items[user][filled].tolist(), weights / weights.sum(), strict=True))
        assert set(drawn[row].tolist()) <= set(expected)
        for item, p in expected.items():
            # Five standard deviations of a binomial share.
            assert np.mean(drawn[row] == item) == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / n))


def test_draws_of_a_row_are_independent():
    soft = soft_targets(LISTS, 0.7)
    first, second = soft.draw(np.random.default_rng(6), np.zeros(100_000, np.int64), 2).T
    p = np.diff(soft.cumulative[0], prepend=0)
    both = np.mean((first == 3) & (second == 3))
    assert both == pytest.approx(p[0] ** 2, abs=5 * np.sqrt(p[0] ** 2 / len(first)))


@pytest.mark.parametrize("spread", [2.0, 6.0, 15.0])
@pytest.mark.parametrize("scale", [0.2, 3.0])
def test_sharpness_gives_the_median_user_the_spread(spread, scale):
    """By the perplexity, user by user in plain numpy; users without a list do not count."""
    rng = np.random.default_rng(1)
    scores = -np.sort(-scale * rng.normal(size=(301, 20)), axis=1).astype(np.float32)
    items = np.tile(np.arange(20, dtype=np.int32), (301, 1))
    items[:90], scores[:90] = UNFILLED, -np.inf
    sharpness = sharpness_of(Recommendations(items, scores), spread)
    found = []
    for row in scores[90:].astype(float):
        p = np.exp(sharpness * (row - row[0]))
        p /= p.sum()
        found.append(np.exp(-(p * np.log(p)).sum()))
    assert np.median(found) == pytest.approx(spread, rel=1e-3)


def test_sharpness_has_its_ends():
    assert sharpness_of(LISTS, 1000.0) == pytest.approx(0, abs=1e-6)  # there are not so many items
    assert sharpness_of(LISTS, 1.0) > 10
    assert np.isfinite(sharpness_of(Recommendations(LISTS.items[2:], LISTS.scores[2:]), 5.0))  # nobody has a list


def test_users_with_an_empty_list_have_no_targets():
    assert soft_targets(LISTS, 1.0).users.tolist() == [0, 1]
    assert soft_targets(LISTS, 1.0).cumulative[2].tolist() == [0] * 4


def test_far_scores_overflow_nothing():
    far = Recommendations(np.array([[1, 0]], np.int32), np.array([[1e30, -1e30]], np.float32))
    assert soft_targets(far, 3.0).draw(np.random.default_rng(0), np.zeros(9, np.int64), 3).tolist() == [[1] * 3] * 9


@given(
    st.lists(st.lists(st.integers(0, 11), unique=True, max_size=12), min_size=1, max_size=6), st.integers(0, 2**32 - 1)
)
def test_what_a_user_has_seen_is_never_a_target(rows, seed):
    train = interactions_from(rows, 12)
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=train.shape).astype(np.float32)
    soft = soft_targets(rank(lambda at: scores[at].copy(), train, 5), 0.7)
    assert soft.users.tolist() == [user for user, row in enumerate(rows) if len(row) < 12]
    drawn = 0
    for batch in Sampler(train, TREE, seed).taught(1, 2, 3, 4, soft):
        for user, target in zip(batch.users[batch.rows].tolist(), batch.targets.tolist(), strict=True):
            unseen = np.setdiff1d(np.arange(12), rows[user])
            best = unseen[np.argsort(-scores[user, unseen])[:5]]
            assert target in best
            drawn += 1
        for row, user in enumerate(batch.users):
            assert batch.history[batch.indptr[row] : batch.indptr[row + 1]].tolist() == rows[user][-3:]
    assert drawn == 4 * len(soft.users)


def test_few_users_come_several_times_in_an_epoch(tiny):
    train = interactions_from([[0], [], [1, 2], [3]], 12)
    soft = soft_targets(rank(lambda at: np.zeros((len(at), 12), np.float32), train, 12), 1.0)
    for samples, times, passes in ((1, 1, 1), (4, 1, 1), (5, 1, 2), (8, 1, 2), (9, 1, 3), (1, 3, 3), (5, 2, 4)):
        settings = tiny.config(samples="taught", epoch_samples=samples, epoch_passes=times, batch_size=3, targets=2)
        of = tiny.parts(TREE.codes, width=4)
        step = Step(settings, tiny.network(settings, of), of, Sampler(train, TREE, 1), soft)
        batches = list(step.batches(1))
        assert np.bincount(np.concatenate([batch.users for batch in batches])).tolist() == [passes] * 4
        assert step.n_batches() == len(batches)


@pytest.mark.parametrize("loss", ["bpr", "sampled_softmax"])
def test_a_taught_target_is_no_negative_of_its_user_and_may_be_cold(tiny, loss, monkeypatch):
    """Taught targets are new to the user, as negatives are, and the last two items here are in no train row."""
    train = interactions_from([[0, 1], [2], [3, 4, 5], [6, 7], [8, 9]], 12)
    soft = soft_targets(rank(lambda at: np.zeros((len(at), 12), np.float32), train, 12), 1.0)
    settings = tiny.config(
        samples="taught", targets=4, batch_size=5, bpr_weight=1.0, negative_sampling="batch", loss=loss
    )
    of = tiny.parts(TREE.codes, width=4)
    step = Step(settings, tiny.network(settings, of), of, Sampler(train, TREE, 1), soft)
    seen = []

    def found(positive, negative, allowed, *rest):
        seen.append((positive, negative, allowed))
        return original(positive, negative, allowed, *rest)

    original = getattr(step_module, loss)
    monkeypatch.setattr(step_module, loss, found)
    for batch in itertools.islice(step.batches(1), 20):
        losses = step.loss(batch, np.random.default_rng(0))
        assert torch.isfinite(step.total(losses))
        targets = {row: set(batch.targets[batch.rows == row]) for row in range(len(batch.users))}
        candidates = np.unique(batch.targets)
        for sample, row in enumerate(batch.rows):
            others = set(candidates[seen[-1][2][sample].numpy()].tolist())
            assert others == set(candidates) - targets[row] - set(train.items[train.users == batch.users[row]])
    assert {10, 11} & set(soft.items.flatten().tolist())


def test_an_epoch_has_every_user_once_and_draws_anew():
    train = interactions_from([[user % 12] for user in range(40)], 12)
    soft = soft_targets(rank(lambda at: np.zeros((len(at), 12), np.float32), train, 12), 1.0)

    def epoch(number):
        return list(Sampler(train, TREE, 3).taught(number, 16, 5, 8, soft))

    first, again, second = epoch(1), epoch(1), epoch(2)
    for batches in (first, second):
        assert sorted(np.concatenate([batch.users for batch in batches]).tolist()) == list(range(40))
        assert [len(batch.users) for batch in batches] != [40]
        for batch in batches:
            assert batch.rows.tolist() == np.repeat(np.arange(len(batch.users)), 8).tolist()
            assert batch.places.tolist() == list(range(8)) * len(batch.users)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.targets, other.targets)
    by_user = [{u: batch.targets[batch.rows == r].tolist() for batch in batches for r, u in enumerate(batch.users)}
               for batches in (first, second)]  # fmt: skip
    assert by_user[0].keys() == by_user[1].keys()
    assert sum(by_user[0][u] != by_user[1][u] for u in by_user[0]) > 30
