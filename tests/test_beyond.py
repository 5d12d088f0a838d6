"""What lists are like, against RecBole's own metrics, loops, and lists that say it by themselves."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.evaluation.beyond import beyond
from bench.evaluation.diversity import category_vectors, diversity, text_vectors
from bench.runs.store import Store

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


TEXTS = ["red wine", "red red wine", "white wine", "white bread", "", "bread", "wine", "a green tea", "green tea, a"]


def by_hand(text, counted):
    """Words of one item with their weights, by the definition."""
    words = Counter("".join(sign if sign.isalnum() else " " for sign in text).split())
    if not counted:
        return dict.fromkeys(words, 1.0)
    holding = {word: sum(word in other.replace(",", "").split() for other in TEXTS) for word in words}
    return {word: (1 + math.log(n)) * math.log(len(TEXTS) / holding[word]) for word, n in words.items()}


def unlike(a, b):
    lengths = [math.sqrt(sum(x * x for x in one.values())) for one in (a, b)]
    return 1 - sum(a[word] * b.get(word, 0) for word in a) / math.prod(lengths)


@given(LISTS)
@pytest.mark.parametrize("counted", [True, False])
def test_diversity_is_that_of_all_pairs(counted, lists):
    vectors = text_vectors(TEXTS) if counted else category_vectors([text.replace(",", "") for text in TEXTS])
    items = np.array([[*row, *[-1] * (3 - len(row))] for row in lists], np.int32)
    own = [by_hand(text, counted) for text in TEXTS]
    expected = {}
    for k in (1, 2, 3):
        known = [[own[item] for item in row[:k] if own[item]] for row in lists]
        means = [np.mean([unlike(*pair) for pair in itertools.combinations(row, 2)]) for row in known if len(row) > 1]
        expected |= {k: np.mean(means)} if means else {}
    assert diversity(items, vectors, (1, 2, 3)) == pytest.approx(expected, abs=1e-12)


def test_categories_stand_between_commas_where_there_are_some():
    drama, both, western, none = range(4)
    vectors = category_vectors(["Film Noir", "film noir, Western ", "Western", ""])
    pairs = np.array([[drama, both], [drama, western], [drama, none]], np.int32)
    assert diversity(pairs[:1], vectors, [2]) == pytest.approx({2: 1 - 1 / math.sqrt(2)})
    assert diversity(pairs[1:2], vectors, [2]) == {2: 1}
    assert diversity(pairs[2:], vectors, [2]) == {}
    assert vectors.shape[1] == 2


def test_results_have_the_diversity_of_their_lists_and_older_ones_are_measured_again(bench, tmp_path):
    """Users of ``tiny`` like items of one of four kinds: personal lists are less diverse than random ones."""
    words = ("run", "--models", "itemknn,random", "--dataset", "tiny", "--results", tmp_path)
    assert bench(*words).status == 0
    store = Store(tmp_path)
    found = {result.cell.model: result for result in store.results()}
    assert 0 <= found["itemknn"].beyond["ild@10"] < found["random"].beyond["ild@10"] < 1
    old = found["itemknn"]
    kept = {name: value for name, value in old.beyond.items() if not name.startswith("ild")}
    store.write(old.model_copy(update={"beyond": kept}))
    done = bench(*words)
    assert " ild |" in next(line for line in done.out.splitlines() if line.startswith("| lists of 10 "))
    assert store.result(old.cell_id).beyond == old.beyond
