"""Top-K lists against a sort of the whole row."""

import numpy as np
import pytest

from bench import topk
from bench.contract import UNFILLED, Recommender
from bench.testing import interactions_from

SHAPES = [(1, 1), (3, 7), (5, 32), (70, 33), (200, 1000), (130, 4097)]


def brute_force(scores, k):
    """Sort every row by score; of equal scores the lower index is first, since the sort is stable."""
    items = np.full((len(scores), k), UNFILLED, np.int32)
    best = np.full((len(scores), k), -np.inf, np.float32)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    sorted_scores = np.take_along_axis(scores, order, axis=1)
    items[:, : order.shape[1]] = np.where(sorted_scores > -np.inf, order, UNFILLED)
    best[:, : order.shape[1]] = sorted_scores
    return items, best


def some_scores(kind, shape, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal(shape).astype(np.float32)
    if kind == "ties":
        scores = np.round(scores * 2) / 2
    if kind == "constant":
        scores[:] = 0.25
    if kind == "few positive":  # nearly all zero, some of them negative zero, as sparse models score
        scores = np.where(scores > 2, scores, np.copysign(np.float32(0), scores)).astype(np.float32)
    if kind == "masked":
        scores[rng.random(shape) < 0.9] = -np.inf
    if kind == "all masked":
        scores[:] = -np.inf
    if kind == "infinite":
        scores[rng.random(shape) < 0.02] = np.inf
    if kind == "negative ties":
        scores = -np.abs(np.round(scores))
    return scores.astype(np.float32)


KINDS = ["normal", "ties", "constant", "few positive", "masked", "all masked", "infinite", "negative ties"]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 10, 50])
def test_lists_are_those_of_a_full_sort(kind, shape, k):
    scores = some_scores(kind, shape)
    items, best = brute_force(scores, k)
    found = topk.top_k(scores.copy(), k)
    np.testing.assert_array_equal(found.items, items)
    np.testing.assert_array_equal(found.scores, best)
    assert (found.items.dtype, found.scores.dtype) == (np.int32, np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_both_ways_to_select_agree(kind, monkeypatch):
    """The slow path for crowded ties is right for any scores, not only where it is used."""
    scores = some_scores(kind, (40, 1000))
    usual = topk.top_k(scores, 10)
    monkeypatch.setattr(topk, "_CROWD", 0)
    slow = topk.top_k(scores, 10)
    np.testing.assert_array_equal(slow.items, usual.items)
    np.testing.assert_array_equal(slow.scores, usual.scores)


@pytest.mark.parametrize("threads", ["1", "2", "7"])
@pytest.mark.parametrize("rows_at_once", [1, 3, 64, 1000])
def test_chunks_and_threads_change_nothing(rows_at_once, threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    rng = np.random.default_rng(1)
    scores = some_scores("ties", (500, 300), seed=1)
    exclude = interactions_from([rng.choice(300, rng.integers(0, 40), replace=False).tolist() for _ in range(500)], 300)
    asked = []

    def score(rows):
        asked.append(len(rows))
        return scores[rows]

    found = topk.rank(score, exclude, 20, memory_budget=4 * 300 * rows_at_once)
    masked = scores.copy()
    masked[exclude.users, exclude.items] = -np.inf
    items, best = brute_force(masked, 20)
    np.testing.assert_array_equal(found.items, items)
    np.testing.assert_array_equal(found.scores, best)
    assert max(asked) == min(rows_at_once, 500)
    assert sum(asked) == 500


def test_excluded_rows_belong_to_positions_not_to_user_ids():
    exclude = interactions_from([[0], [1], []], 3)
    found = topk.rank(lambda rows: np.tile(np.float32([3, 2, 1]), (len(rows), 1)), exclude, 2)
    assert found.items.tolist() == [[1, 2], [0, 2], [0, 1]]


def test_list_longer_than_the_catalogue_is_padded():
    found = topk.rank(lambda rows: np.float32([[1, 2]]), interactions_from([[]], 2), 5)
    assert found.items.tolist() == [[1, 0, -1, -1, -1]]
    assert found.scores.tolist() == [[2, 1, -np.inf, -np.inf, -np.inf]]


def test_no_users_give_no_lists():
    found = topk.rank(lambda rows: np.zeros((0, 4)), interactions_from([], 4), 3)
    assert found.items.shape == found.scores.shape == (0, 3)


@pytest.mark.parametrize("width", [3, 40, 5000])
def test_nan_is_an_error_that_counts_users(width):
    scores = np.zeros((4, width), np.float32)
    scores[[1, 3], -1] = np.nan
    with pytest.raises(ValueError, match="2 of 4 users are not numbers"):
        topk.top_k(scores, 2)


@pytest.mark.parametrize(("n_items", "budget", "rows"), [(10, 400, 10), (1000, 400, 1), (0, 400, 100)])
def test_chunk_is_planned_from_catalogue_and_budget(n_items, budget, rows):
    assert topk.chunk_size(n_items, budget) == rows


def test_no_scores_at_all_are_named_so():
    with pytest.raises(ValueError, match=r"score\(\) returned nothing"):
        topk.rank(lambda rows: None, interactions_from([[0]], 3), 2)


def test_scores_of_another_shape_are_told_with_the_right_one():
    class Short(Recommender):
        popularity = np.arange(5)

        def fit(self, train, valid, context): ...

        def score(self, users, history):
            return np.zeros((len(users), 4), np.float32)

    history = interactions_from([[1], []], 5)
    with pytest.raises(ValueError, match=r"score\(\) gave an array of shape \(2, 4\), expected \(2, 5\)"):
        Short(None).recommend(np.arange(2), history, history, 2)


def test_rows_without_a_history_get_what_is_popular():
    history = interactions_from([[3], [], [0, 1], []], 5)
    popularity = np.array([2, 7, 1, 7, 0])
    asked = []

    def lists(rows):
        asked.append(rows.tolist())
        return topk.Recommendations(np.full((len(rows), 2), 4, np.int32), np.ones((len(rows), 2), np.float32))

    exclude = interactions_from([[], [], [], [1]], 5)
    found = topk.popular_without_history(lists, popularity, history, exclude, 2)
    assert asked == [[0, 2]]
    assert found.items.tolist() == [[4, 4], [1, 3], [4, 4], [3, 0]]
    assert found.scores.tolist() == [[1, 1], [7, 7], [1, 1], [7, 2]]
