"""Every offence against the contract is counted, and none can score."""

import numpy as np
import pytest

from bench.errors import BenchError
from bench.evaluation.metrics import per_user
from bench.evaluation.violations import check
from bench.interactions import Recommendations
from bench.testing import interactions_from

EXCLUDE = interactions_from([[4], [0, 1, 2]], 6)
GOOD = ([[0, 1, 2], [3, 4, 5]], [[3.0, 2.0, 1.0], [9.0, 9.0, 9.0]])
NAN, INF = float("nan"), float("inf")


def lists(items, scores):
    return Recommendations(np.array(items, np.int32), np.array(scores, np.float32))


def change(slot, item=None, score=None):
    items, scores = np.array(GOOD[0], np.int32), np.array(GOOD[1], np.float32)
    if item is not None:
        items[slot] = item
    if score is not None:
        scores[slot] = score
    return Recommendations(items, scores)


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (None, lists(*GOOD)),
        ("unknown", change((0, 1), item=6)),
        ("unknown", change((0, 2), item=-2)),
        ("duplicate", change((0, 2), item=0)),
        ("duplicate", change((1, 1), item=3)),
        ("excluded", change((0, 0), item=4)),
        ("excluded", change((1, 2), item=2)),
        ("short", change((0, 2), item=-1, score=-INF)),
        ("disordered", change((0, 2), score=2.5)),
        ("not-finite", change((0, 2), score=NAN)),
        ("not-finite", change((0, 0), score=INF)),
        ("not-finite", change((1, 2), score=-INF)),
    ],
)
def test_each_offence_is_counted_once(kind, found):
    _, counted = check(found, EXCLUDE, 3)
    assert {name: number for name, number in counted.items() if number} == ({kind: 1} if kind else {})


def test_short_list_is_no_offence_when_nothing_is_left():
    nearly_all = interactions_from([[0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5]], 6)
    found = lists([[5, -1, -1], [-1, -1, -1]], [[1, -INF, -INF], [-INF] * 3])
    assert not any(check(found, nearly_all, 3)[1].values())


def test_gap_within_a_list_does_not_hide_disorder():
    found = lists([[0, -1, 2], [3, 4, 5]], [[1, -INF, 2], [3, 2, 1]])
    _, counted = check(found, EXCLUDE, 3)
    assert counted["short"] == 1
    assert counted["disordered"] == 1


@pytest.mark.parametrize(
    ("items", "scores", "said"),
    [
        (np.zeros((2, 2), np.int32), np.zeros((2, 3), np.float32), r"items of shape \(2, 2\)"),
        (np.zeros((2, 3), np.int32), np.zeros((3, 2), np.float32), r"scores of shape \(3, 2\)"),
        (np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32), "type float32"),
        (np.zeros((2, 3), np.int32), np.zeros((2, 3), np.int32), "asks for .* floats"),
        (np.zeros((2, 3), object), np.zeros((2, 3), np.float32), "type object"),
        (None, None, "shape"),
    ],
)
def test_wrong_arrays_are_an_error_in_one_line(items, scores, said):
    with pytest.raises(BenchError, match=said) as caught:
        check(Recommendations(items, scores), EXCLUDE, 3)
    assert "\n" not in str(caught.value)


def test_sanitized_lists_keep_sound_slots_and_their_ranks():
    found = lists([[4, 0, 0], [99, 3, 5]], [[3, 2, 1], [3, 2, 1]])
    kept, _ = check(found, EXCLUDE, 3)
    assert kept.items.tolist() == [[-1, 0, -1], [-1, 3, 5]]
    assert kept.scores.tolist() == [[-INF, 2, -INF], [-INF, 2, 1]]
    assert (kept.items.dtype, kept.scores.dtype) == (np.int32, np.float32)


@pytest.mark.parametrize(
    "cheat", [[[4, 4, 4], [0, 1, 2]], [[6, 7, -5], [2**31 - 1, 6, -2]]], ids=["excluded", "unknown"]
)
def test_offence_earns_nothing(cheat):
    """Even if what must not be recommended were the right answer."""
    relevant = interactions_from([[4], [0, 1, 2]], 6)
    kept, _ = check(lists(cheat, [[3, 2, 1], [3, 2, 1]]), EXCLUDE, 3)
    assert all((values == 0).all() for values in per_user(kept.items, relevant, [3]).values())


def test_repeating_a_hit_earns_it_once():
    relevant = interactions_from([[1], [5]], 6)
    kept, _ = check(lists([[1, 1, 1], [5, 5, 5]], np.ones((2, 3))), EXCLUDE, 3)
    scores = per_user(kept.items, relevant, [3])
    assert scores["recall@3"].tolist() == [1, 1]
    assert scores["ndcg@3"].tolist() == [1, 1]


@pytest.mark.parametrize("score", [NAN, INF, -INF, 5.0], ids=["nan", "inf", "-inf", "rising"])
def test_slot_whose_score_breaks_the_contract_is_a_miss_and_the_others_stay(score):
    kept, _ = check(change((0, 1), score=score), EXCLUDE, 3)
    assert kept.items.tolist() == [[0, -1, 2], [3, 4, 5]]


def test_all_that_rises_above_an_earlier_slot_is_a_miss():
    kept, _ = check(lists([[0, 1, 2], [3, 4, 5]], [[1, 2, 1.5], [1, 1, 0]]), EXCLUDE, 3)
    assert kept.items.tolist() == [[0, -1, -1], [3, 4, 5]]


def test_what_is_counted_is_what_is_a_miss():
    """On random nonsense: a filled slot is kept if and only if no kind counts it."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        items = rng.integers(-2, 8, (2, 4))
        scores = rng.choice([3.0, 2.0, 1.0, NAN, INF, -INF], (2, 4))
        found = lists(items, scores)
        kept, counted = check(found, EXCLUDE, 4)
        missed = int(((items != -1) & (kept.items == -1)).sum())
        kinds = [number for name, number in counted.items() if name != "short"]
        assert max(kinds) <= missed <= sum(kinds)
