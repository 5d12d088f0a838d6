"""Metrics against literal loops and against ranx."""

import math

import numpy as np
import pytest
import ranx

from bench.evaluation.metrics import METRICS, hit_matrix, per_user
from bench.testing import interactions_from

KS = (1, 5, 10, 20)
RANX = {"hit": "hit_rate"}


def case(seed, n_users=400, n_items=60, width=20):
    """Random lists, some short, some empty, and relevant items, from one to more than 20."""
    rng = np.random.default_rng(seed)
    items = np.stack([rng.permutation(n_items)[:width] for _ in range(n_users)]).astype(np.int32)
    lengths = rng.choice([0, 1, 3, width], n_users, p=[0.1, 0.1, 0.1, 0.7])
    items[np.arange(width) >= lengths[:, None]] = -1
    rows = [rng.permutation(n_items)[: rng.choice([1, 2, 8, 30])].tolist() for _ in range(n_users)]
    return items, interactions_from(rows, n_items), rows


def literal(name, ranked, relevant, k):
    """A metric of one user, as a textbook writes it. ``ranked`` is the filled part of the list."""
    hits = [item in relevant for item in ranked[:k]]
    ranks = [rank for rank, hit in enumerate(hits, 1) if hit]
    if name == "recall":
        return len(ranks) / len(relevant)
    if name == "precision":
        return len(ranks) / k
    if name == "hit":
        return 1.0 if ranks else 0.0
    if name == "mrr":
        return 1 / ranks[0] if ranks else 0.0
    if name == "ndcg":
        ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(relevant), k) + 1))
        return sum(1 / math.log2(rank + 1) for rank in ranks) / ideal
    if name == "map":
        return sum(sum(hits[:rank]) / rank for rank in ranks) / min(len(relevant), k)
    raise AssertionError(name)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", METRICS)
def test_metric_is_its_literal_definition(name, seed):
    items, relevant, rows = case(seed)
    found = per_user(items, relevant, KS, [name])
    for k in KS:
        expected = [
            literal(name, [i for i in line if i >= 0], set(row), k)
            for line, row in zip(items.tolist(), rows, strict=True)
        ]
        np.testing.assert_allclose(found[f"{name}@{k}"], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_metric_is_that_of_ranx(name):
    """``ranx`` divides MAP by all relevant items, we by those that fit: alike for users with at most k of them."""
    for k in KS:
        items, relevant, rows = case(seed=10 + k)
        some = [u for u, row in enumerate(rows) if name != "map" or len(row) <= k]
        judged = ranx.Qrels({f"{u:03}": {str(item): 1 for item in rows[u]} for u in some})
        lists = {}
        for u in some:
            found = {str(item): 100.0 - rank for rank, item in enumerate(items[u].tolist()) if item >= 0}
            lists[f"{u:03}"] = found or {"no item": 1.0}  # ranx knows no empty list
        expected = ranx.evaluate(judged, ranx.Run(lists), f"{RANX.get(name, name)}@{k}", return_mean=False)
        found = per_user(items[some], relevant.select(np.array(some)), [k], [name])[f"{name}@{k}"]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
        assert found.max() > 0


def test_hits_of_a_known_list():
    relevant = interactions_from([[0, 2], [1]], 3)
    hits = hit_matrix(np.array([[2, 1, -1], [-1, 0, 1]], np.int32), relevant)
    assert hits.tolist() == [[True, False, False], [False, False, True]]


def test_unfilled_slot_is_no_hit_of_the_neighbouring_row():
    """-1 of one row must not be taken for the last item of the row before."""
    relevant = interactions_from([[2], [0]], 3)
    assert not hit_matrix(np.array([[-1], [-1]], np.int32), relevant).any()


def test_perfect_and_worthless_lists():
    relevant = interactions_from([[3, 1]], 5)
    best = per_user(np.array([[1, 3, 0]], np.int32), relevant, [3])
    worst = per_user(np.array([[0, 2, 4]], np.int32), relevant, [3])
    assert {name: values[0] for name, values in best.items()} == {
        "recall@3": 1, "ndcg@3": 1, "mrr@3": 1, "hit@3": 1, "precision@3": pytest.approx(2 / 3), "map@3": 1,
    }  # fmt: skip
    assert all(values[0] == 0 for values in worst.values())


def test_user_without_test_items_is_refused():
    with pytest.raises(ValueError, match="without test items"):
        per_user(np.array([[0], [1]], np.int32), interactions_from([[0], []], 2), [1])


def test_cut_off_beyond_the_lists_is_refused():
    with pytest.raises(ValueError, match="cannot be measured at 2"):
        per_user(np.array([[0]], np.int32), interactions_from([[0]], 2), [2])
