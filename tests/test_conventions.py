"""What other tools make of the same lists: their own numbers, or their formulas written out."""

import numpy as np
import pytest
import ranx

from bench.evaluation.conventions import CONVENTIONS, OURS, means
from bench.evaluation.metrics import METRICS, per_user
from bench.interactions import UNFILLED
from bench.testing import interactions_from

KS = [5, 10]
N_USERS, N_ITEMS, WIDTH = 30, 40, 15
BY_NAME = {convention.tool: convention for convention in CONVENTIONS}
IDS = [f"i{item}" for item in range(N_ITEMS)]
EMPTY = [user for user in range(N_USERS) if user % 10 == 9]
RELEVANT = [[(user * 3 + j * 13) % N_ITEMS for j in range(1 + user % 14)] for user in range(N_USERS)]

TREC_EVAL = {
    "recall@5": 0.135961363739,
    "recall@10": 0.266588966589,
    "ndcg@5": 0.172091327035,
    "ndcg@10": 0.208157590852,
    "mrr@5": 0.296134626690,
    "mrr@10": 0.296134626690,
    "hit@5": 0.666666666667,
    "hit@10": 0.851851851852,
    "precision@5": 0.170370370370,
    "precision@10": 0.174074074074,
    "map@5": 0.052173186895,
    "map@10": 0.083521203958,
}  # fmt: skip
"""By pytrec_eval-terrier 0.5.11, from the lists, scores and relevant items of this module: means over 27 users."""


def lists():
    """Items and scores; three slots in a row have one score, and some users have no list."""
    users, slots = np.arange(N_USERS)[:, None], np.arange(WIDTH)
    items = ((users * 7 + slots * 11) % N_ITEMS).astype(np.int32)
    scores = np.broadcast_to(5.0 - slots // 3, items.shape).astype(np.float32)
    items[EMPTY], scores = UNFILLED, scores.copy()
    scores[EMPTY] = -np.inf
    return items, scores


def measured(tool):
    items, scores = lists()
    order = np.argsort(np.argsort([name.encode() for name in IDS]))
    return means(BY_NAME[tool], items, scores, interactions_from(RELEVANT, N_ITEMS), order, KS)


def precisions(user, k):
    """Precision at each rank from 1 to k."""
    listed = lists()[0][user].tolist()
    return [sum(item in RELEVANT[user] for item in listed[:rank]) / rank for rank in range(1, k + 1)]


def test_trec_eval_reorders_ties_and_leaves_users_without_a_list_out():
    found = measured("trec_eval")
    assert found == pytest.approx(TREC_EVAL, rel=0, abs=1e-11)
    assert found["ndcg@5"] != pytest.approx(measured("recsys-bench")["ndcg@5"], abs=1e-3)


def test_ranx():
    """Its order of ties is not defined, so the lists get scores that differ."""
    items, _ = lists()
    judged = ranx.Qrels({f"{u:02}": {IDS[item]: 1 for item in row} for u, row in enumerate(RELEVANT)})
    runs = {
        f"{u:02}": {IDS[item]: float(WIDTH - slot) for slot, item in enumerate(row) if item != UNFILLED}
        or {"none": 1.0}
        for u, row in enumerate(items.tolist())
    }
    names = {name: "hit_rate" if name == "hit" else name for name in METRICS}
    for name, theirs in names.items():
        for k in KS:
            expected = ranx.evaluate(judged, ranx.Run(runs), f"{theirs}@{k}")
            assert measured("ranx")[f"{name}@{k}"] == pytest.approx(expected, rel=0, abs=1e-9), name


def test_elliot_averages_precision_over_all_ranks_and_users_with_a_list():
    users = [user for user in range(N_USERS) if user not in EMPTY]
    for k in KS:
        expected = np.mean([np.mean(precisions(user, k)) for user in users])
        assert measured("Elliot")[f"map@{k}"] == pytest.approx(expected, rel=0, abs=1e-12)
    share = len(users) / N_USERS
    assert measured("Elliot")["recall@5"] * share == pytest.approx(measured("recsys-bench")["recall@5"])


@pytest.mark.parametrize("tool", ["recsys-bench", "RecBole", "WarpRec"])
def test_ours_is_that_of_recbole_and_warprec(tool):
    items, _ = lists()
    expected = per_user(items, interactions_from(RELEVANT, N_ITEMS), KS)
    assert measured(tool) == pytest.approx({name: values.mean() for name, values in expected.items()})


def test_nobody_has_a_list():
    items, scores = np.full((2, 5), UNFILLED, np.int32), np.full((2, 5), -np.inf, np.float32)
    relevant = interactions_from([[0], [1]], 3)
    for tool, convention in BY_NAME.items():
        found = means(convention, items, scores, relevant, np.arange(3), [5])
        assert all(np.isnan(v) if tool in ("Elliot", "trec_eval") else v == 0 for v in found.values()), tool


def test_first_convention_is_ours():
    assert CONVENTIONS[0] is OURS
    assert len(BY_NAME) == len(CONVENTIONS) == 6


def test_what_is_no_item_keeps_its_rank_in_trec_eval_too():
    """By pytrec_eval-terrier 0.5.11 of the same list, with an unjudged document in the second place."""
    items, scores = np.array([[3, UNFILLED, 1, 0]], np.int32), np.array([[3, -np.inf, 1, 1]], np.float32)
    found = means(BY_NAME["trec_eval"], items, scores, interactions_from([[3, 1]], 5), np.arange(5), [3])
    ideal = 1 + 1 / np.log2(3)
    assert found["ndcg@3"] == pytest.approx((1 + 1 / np.log2(4)) / ideal)  # of the tied ones the higher id is first
    assert found["map@3"] == pytest.approx((1 + 2 / 3) / 2)
