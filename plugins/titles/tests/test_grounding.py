"""From what was written to items: BM25 by hand, titles that several items share, and lists."""

import json
import math

import numpy as np
import pytest
from bench_titles import explain
from bench_titles.catalogue import NONE, Candidates, expand, item_titles, make_catalogue, popular_first, to_lists
from bench_titles.grounding import Query
from bench_titles.retriever import BM25, BM25Config, Retriever, words
from pandas import DataFrame

from bench import DataError
from bench.testing import LocalContext, MemorySplit, interactions_from

SOME = ["red red door", "the red house", "blue sea", "", "door", "a very long title of a red red house by the sea"]


def by_hand(titles, query, k1, b):
    """Σ over the words of the query of ln(1 + (N − n + ½) / (n + ½)) · tf / (tf + k1 · (1 − b + b · l / mean l))."""
    rows = [title.split() for title in titles]
    mean = sum(map(len, rows)) / len(rows)
    found = []
    for row in rows:
        total = 0.0
        for word in query.split():
            n = sum(word in other for other in rows)
            tf = row.count(word)
            idf = math.log(1 + (len(rows) - n + 0.5) / (n + 0.5))
            total += tf and idf * tf / (tf + k1 * (1 - b + b * len(row) / mean))
        found.append(total)
    return found


@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (0.0, 0.5), (2.0, 0.0), (1.2, 1.0)])
@pytest.mark.parametrize("query", ["red door", "the sea", "red red", "nothing known", "green door"])
def test_bm25_is_that_of_the_formula(query, k1, b):
    found = Retriever(SOME, k1, b).scores(query)
    np.testing.assert_allclose(found, by_hand(SOME, query, k1, b), rtol=1e-5)
    assert found.dtype == np.float32


def test_words_have_no_case_and_no_punctuation():
    assert words("The Red-Door, (1995)!") == ["the", "red", "door", "1995"]
    assert Retriever(SOME, 1.5, 0.75).scores("?!").tolist() == [0] * 6


def test_items_without_a_common_word_come_by_popularity_and_equals_too(tmp_path):
    titles = ["red", "green", "red", "blue", "blue", "", "red"]
    train = interactions_from([[0, 3], [2, 4], [2, 4], [1, 4], []], 7)
    data = MemorySplit(train, train)
    data.items = DataFrame({"id": range(7), "title": titles})
    model = BM25(BM25Config())
    model.fit(train, train, LocalContext(model, data, tmp_path))
    history = interactions_from([[3, 0], [0, 3], [], [0, 5]], 7)
    found = model.recommend(np.arange(4), history, interactions_from([[0], [3], [], []], 7), 7).items
    # Popularity: 4 three times, 2 twice, 0, 1 and 3 once, 5 and 6 never.
    assert found.tolist() == [
        [2, 6, 4, 1, 3, 5, -1],  # the latest title is red
        [4, 2, 0, 1, 5, 6, -1],  # blue
        [4, 2, 0, 1, 3, 5, 6],
        [4, 2, 0, 1, 3, 5, 6],  # the latest item has no title
    ]


def test_titles_that_agree_in_their_tokens_are_one_and_its_items_come_by_popularity(tiny):
    catalogue = tiny.grounder().catalogue
    titles = catalogue.titles
    assert titles[0] == titles[4]  # case and blanks do not count
    assert titles[7] == titles[8]
    assert titles[5] == NONE
    assert len(set(titles.tolist()) - {NONE}) == len(catalogue) == 7
    assert np.flatnonzero(catalogue.shared).tolist() == [0, 4, 7, 8]
    asked = np.array([titles[7], titles[1], titles[0]])
    items, place = expand(catalogue, asked)
    # In train 4 is there three times and 0 once; 8 twice and 7 never.
    assert items.tolist() == [8, 7, 1, 4, 0]
    assert place.tolist() == [0, 0, 1, 2, 2]


def test_long_titles_are_one_if_their_first_tokens_agree(tiny):
    assert len(tiny.grounder(title_tokens=1).catalogue) < 7


def test_equally_popular_items_of_a_title_come_by_number(tiny):
    grounder = tiny.grounder(train=interactions_from([[0, 4], [1]], 10))
    items, _ = expand(grounder.catalogue, grounder.catalogue.titles[[4]])
    assert items.tolist() == [0, 4]


def test_a_list_of_the_trie_is_that_of_all_titles_expanded(tiny):
    grounder = tiny.grounder()
    histories, excluded = [[0, 1], [], [9, 5, 2]], [[4], [], [8, 3]]
    found = grounder.by_trie(interactions_from(histories, 10), interactions_from(excluded, 10), 10, 7)
    popularity = [1, 1, 1, 1, 3, 0, 0, 0, 2, 1]
    for row, (history, gone) in enumerate(zip(histories, excluded, strict=True)):
        score = tiny.titles(grounder, history)
        left = [item for item in range(10) if item not in gone and item != 5]
        left.sort(key=lambda item: (-score[grounder.catalogue.titles[item]], -popularity[item], item))
        n = len(left)
        assert found.items[row].tolist() == [*left, 5, *[-1] * (9 - n)]  # 5 has no title
        expected = [score[grounder.catalogue.titles[item]] for item in left]
        np.testing.assert_allclose(found.scores[row, :n], expected, rtol=1e-4)
        assert found.scores[row, n] == pytest.approx(found.scores[row, n - 1] - 1)


def test_an_item_without_a_title_is_never_explained_as_written(tiny):
    grounder = tiny.grounder(num_beams=2)
    history = interactions_from([[0], [2]], 10)
    found = grounder.by_trie(history, history, 9, 2)
    reasons = explain.by_trie(grounder, history, found)
    for items, about in zip(found.items.tolist(), reasons, strict=True):
        assert "popularity" in about[items.index(5)]["written"]
        assert about[0]["written"] == grounder.catalogue.texts[items[0]]
    assert json.dumps(reasons, allow_nan=False)


def test_written_titles_bring_their_best_new_items_in_turn(tiny, monkeypatch):
    grounder = tiny.grounder(grounding="bm25", loss="free", items_per_query=2)
    queries = [[Query("red door", -1.0), Query("Blue", -2.0), Query("red", -3.0)], [Query("green", -1.0)]]
    monkeypatch.setattr(grounder, "queries", lambda history: iter(queries))
    found = grounder.by_bm25(interactions_from([[], []], 10), interactions_from([[0, 8], []], 10), 6)
    scores = grounder.retriever().scores("red door")[np.argsort(grounder.catalogue.popular)]
    assert set(np.flatnonzero(scores > 0)) == {0, 1, 2, 3, 4, 6}
    best = sorted({1, 2, 3, 4, 6}, key=lambda item: -scores[item])
    assert best[0] == 4  # the red door, since 0 is excluded
    assert found.items[0, :2].tolist() == best[:2]
    assert found.items[0, 2] == 7  # blue, since 8 is excluded
    rest = [item for item in (2, 6, 1, 3) if item not in best[:2]]
    assert found.items[0, 3] == rest[0]
    assert found.scores[0, :4].tolist() == [-1, -1, -2, -3]
    # No title shares a word with the other user's: what is popular fills the list.
    assert found.items[1].tolist() == [4, 8, 0, 1, 2, 3]
    assert found.scores[1].tolist() == [-1, -2, -3, -4, -5, -6]


def test_lists_leave_out_what_is_excluded_or_there_already():
    exclude = interactions_from([[3], [], [0, 1, 2, 3, 4]], 5)
    first = Candidates(np.array([1, 1, 1]), np.array([2, 0, 2]), np.array([-1.0, -2.0, -3.0]))
    second = Candidates(np.array([0, 0, 2]), np.array([3, 4, 1]), np.array([-1.0, -4.0, -1.0]))
    found = to_lists([first, second], exclude, np.array([4, 3, 2, 1, 0]), 3)
    assert found.items.tolist() == [[4, 2, 1], [2, 0, 4], [-1, -1, -1]]
    assert found.scores[:2].tolist() == [[-4, -5, -6], [-1, -2, -3]]
    assert (found.scores[2] == -np.inf).all()
    nobody = to_lists([], interactions_from([], 5), np.arange(5), 3)
    assert nobody.items.shape == (0, 3)


def test_popular_first_is_by_train_and_then_by_number():
    assert popular_first(interactions_from([[3, 1], [3], [0, 2]], 5)).tolist() == [3, 0, 1, 2, 4]


def test_titles_are_those_of_the_field_that_has_some():
    frame = DataFrame({"id": ["a", "b"], "title": ["", " "], "name": ["x  y", ""], "brand": ["p", ""]}).assign(text="t")
    assert item_titles(frame, None, "m") == ["x y", ""]
    assert item_titles(frame, "brand", "m") == ["p", ""]
    with pytest.raises(DataError, match=r"^m: the items .* \(field 'id'\).*m\.title_field=FIELD, of name, brand$"):
        item_titles(frame, "id", "m")
    with pytest.raises(DataError, match=r"of which there is none$"):
        item_titles(frame[["id", "title"]], None, "m")


def test_no_item_may_have_a_title_of_no_token(tiny):
    grounder = tiny.grounder()
    catalogue = make_catalogue(["", "red"], grounder.tokenizer, 4, np.arange(2))
    assert catalogue.titles.tolist() == [NONE, 0]
