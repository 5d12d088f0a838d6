"""What lists are like, against RecBole's own metrics, loops, and lists that say it by themselves."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.evaluation.beyond import beyond

N_ITEMS, N_USERS = 9, 20
COUNTS = np.array([0, 1, 1, 2, 3, 5, 8, 13, 20])
NICHE = COUNTS < 8


def of(lists, ks=(2,)):
    width = max(2, *(len(row) for row in lists))
    items = np.array([[*row, *[-1] * (width - len(row))] for row in lists], np.int32)
    return beyond(items, COUNTS, N_USERS, NICHE, ks)


def test_one_item_for_all_and_all_items_alike():
    same = of([[8, 7]] * 5, ks=(1, 2))
    assert same["coverage@1"] == pytest.approx(1 / 9)
    assert same["gini@1"] == pytest.approx(8 / 9)  # the most that n items can have: 1 − 1/n
    assert (same["popularity@1"], same["novelty@1"], same["niche@1"]) == (20, 0, 0)
    assert same["popularity@2"] == pytest.approx(16.5)
    every = of([[i] for i in range(N_ITEMS)], ks=(1,))
    assert (every["coverage@1"], every["gini@1"]) == (1, pytest.approx(0))
    assert every["niche@1"] == pytest.approx(6 / 9)


LISTS = st.lists(st.lists(st.integers(0, N_ITEMS - 1), unique=True, max_size=3), min_size=1, max_size=8)


@given(LISTS.filter(any))
def test_definitions_written_out(lists):
    found = of(lists)
    top = [row[:2] for row in lists]
    shown = Counter(item for row in top for item in row)
    rising = sorted(shown.get(item, 0) for item in range(N_ITEMS))
    apart = sum(abs(a - b) for a in rising for b in rising)  # Gini's mean difference
    assert found["coverage@2"] == pytest.approx(len(shown) / N_ITEMS)
    assert found["gini@2"] == pytest.approx(apart / (2 * N_ITEMS * sum(rising)))
    assert found["popularity@2"] == pytest.approx(np.mean([np.mean(COUNTS[row]) for row in top if row]))
    novelty = [np.mean([-math.log2(max(COUNTS[i], 1) / N_USERS) for i in row]) for row in top if row]
    assert found["novelty@2"] == pytest.approx(np.mean(novelty))
    assert found["niche@2"] == pytest.approx(np.mean([NICHE[i] for row in top for i in row]))


def test_empty_lists_cover_nothing():
    assert beyond(np.full((3, 2), -1, np.int32), COUNTS, N_USERS, NICHE, [1, 2]) == {"coverage@1": 0, "coverage@2": 0}
