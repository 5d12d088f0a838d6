"""Fusion of lists by rank, against ranx, against loops, and by what must not change it."""

import numpy as np
import pytest
import ranx

from bench.evaluation.fusion import RULES, fuse
from bench.interactions import UNFILLED

N_USERS, N_ITEMS, K = 25, 40, 12


def some_lists(seed, width):
    """Lists of distinct items; some are short, some empty."""
    rng = np.random.default_rng(seed)
    items = np.stack([rng.permutation(N_ITEMS)[:width] for _ in range(N_USERS)]).astype(np.int32)
    lengths = rng.choice([0, 3, width], N_USERS, p=[0.1, 0.2, 0.7])
    items[np.arange(width) >= lengths[:, None]] = UNFILLED
    return items


LISTS = [some_lists(1, 10), some_lists(2, 15), some_lists(3, 12)]


def by_loops(rule, weights, user, constant=60.0):
    """Items of one user with their sums, best first."""
    sums = {}
    for own, weight in zip(LISTS, weights, strict=True):
        width = own.shape[1]
        for rank, item in enumerate([item for item in own[user].tolist() if item != UNFILLED], 1):
            gain = 1 / (constant + rank) if rule == "rrf" else (width + 1 - rank) / width
            sums[item] = sums.get(item, 0) + weight / sum(weights) * gain
    return sorted(((round(s, 12), item) for item, s in sums.items()), key=lambda one: (-one[0], one[1]))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("weights", [(1, 1, 1), (3, 0.5, 1)])
def test_fused_lists_are_those_of_loops(rule, weights):
    found = fuse(LISTS, weights, rule, K)
    for user in range(N_USERS):
        expected = by_loops(rule, weights, user)[:K]
        listed = found.items[user][found.items[user] != UNFILLED].tolist()
        assert listed == [item for _, item in expected]
        np.testing.assert_allclose(found.scores[user, : len(expected)], [s for s, _ in expected], rtol=1e-6)
        assert (found.scores[user, len(expected) :] == -np.inf).all()


def test_reciprocal_rank_fusion_is_that_of_ranx():
    runs = [
        ranx.Run({f"{u:02}": {str(i): 100.0 - r for r, i in enumerate(row) if i != UNFILLED} or {"none": 0.0}
                  for u, row in enumerate(own.tolist())})
        for own in LISTS
    ]  # fmt: skip
    theirs = ranx.fuse(runs=runs, method="rrf", params={"k": 60}).to_dict()
    found = fuse(LISTS, [1, 1, 1], "rrf", N_ITEMS)
    for user in range(N_USERS):
        filled = found.items[user] != UNFILLED
        ours = dict(zip(found.items[user][filled].tolist(), 3 * found.scores[user][filled], strict=True))
        expected = {int(item): score for item, score in theirs[f"{user:02}"].items() if item != "none"}
        assert ours == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_order_of_lists_and_scale_of_weights_do_not_matter(rule):
    expected = fuse(LISTS, [1, 1, 1], rule, K)
    for lists, weights in ((LISTS[::-1], [1, 1, 1]), ([LISTS[1], LISTS[2], LISTS[0]], [7, 7, 7])):
        found = fuse(lists, weights, rule, K)
        np.testing.assert_array_equal(found.items, expected.items)
        np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.parametrize("rule", RULES)
def test_a_list_fused_with_itself_is_itself(rule):
    np.testing.assert_array_equal(fuse([LISTS[0], LISTS[0]], [1, 2], rule, 10).items, LISTS[0])


def test_nothing_to_fuse():
    empty = np.full((3, 4), UNFILLED, np.int32)
    assert (fuse([empty, empty], [1, 1], "rrf", 4).items == UNFILLED).all()
