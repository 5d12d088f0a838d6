"""Filters of a card, in their order."""

import datetime

import pytest

from bench.data.prepare import prepare
from bench.errors import BenchError

DAY = 86_400


def kept(data):
    """(user, item, time) of what is left."""
    users, items, whole = data.user_texts()["id"], data.item_texts()["id"], data.interactions
    return [
        (int(users[u]), int(items[i]), int(t)) for u, i, t in zip(whole.users, whole.items, whole.times, strict=True)
    ]


def steps(data):
    return dict(data.facts["steps"])


def test_low_ratings_are_no_interactions(own_card):
    rows = [(1, 1, 0, 4.0), (1, 2, 1, 3.9), (2, 1, 2, 5.0), (2, 2, 3, 1.0)]
    data = prepare(own_card(rows, filters={"min_rating": 4}))
    assert kept(data) == [(1, 1, 0), (2, 1, 2)]
    assert steps(data)["rating 4 or more"] == 2


def test_rating_counts_before_repeated_pairs(own_card):
    """Who disliked an item first and liked it later has liked it."""
    rows = [(1, 1, 0, 1.0), (1, 1, 9, 5.0), (1, 2, 3, 5.0)]
    assert kept(prepare(own_card(rows, filters={"min_rating": 4}))) == [(1, 2, 3), (1, 1, 9)]


def test_threshold_without_ratings_is_an_error(own_card):
    with pytest.raises(BenchError, match="asks for ratings of 4 and more, but has no ratings"):
        prepare(own_card([(1, 1, 0)], filters={"min_rating": 4}))


def test_window_begins_with_its_first_day_and_ends_before_its_last(own_card):
    rows = [(1, 1, 10 * DAY - 1), (1, 2, 10 * DAY), (1, 3, 12 * DAY - 1), (1, 4, 12 * DAY)]
    window = {"since": datetime.date(1970, 1, 11), "until": datetime.date(1970, 1, 13)}
    data = prepare(own_card(rows, filters=window))
    assert [item for _, item, _ in kept(data)] == [2, 3]
    assert steps(data) == {
        "usable rows": 4, "since 1970-01-11": 3, "before 1970-01-13": 2, "one per user and item, the first": 2,
    }  # fmt: skip


@pytest.mark.parametrize(("keep", "time"), [("first", 3), ("last", 8)])
def test_repeated_pair_is_kept_by_time_whatever_the_row(own_card, keep, time):
    rows = [(1, 1, 5), (1, 1, 8), (1, 1, 3), (1, 1, 4)]
    assert kept(prepare(own_card(rows, filters={"duplicates": keep}))) == [(1, 1, time)]


def test_items_with_little_text_are_dropped_before_the_core(own_card):
    rows = [(u, i, 10 * u + i) for u in (1, 2) for i in (1, 2)] + [(3, 1, 90), (3, 3, 91), (1, 3, 92)]
    titles = {1: "long enough", 2: "long enough too", 3: "short"}
    texts = {"item": {"parts": ["title {title}"]}}
    data = prepare(own_card(rows, titles, texts=texts, filters={"min_text": 12, "k_core": 2}))
    assert {(user, item) for user, item, _ in kept(data)} == {(1, 1), (1, 2), (2, 1), (2, 2)}
    assert steps(data)["items with 12 characters of text"] == 5


def test_steps_are_recorded_in_their_fixed_order(own_card):
    every = {
        "k_core": 1, "min_text": 1, "duplicates": "last", "until": datetime.date(2001, 1, 1),
        "since": datetime.date(1970, 1, 1), "min_rating": 0.5,
    }  # fmt: skip
    data = prepare(own_card([(1, 1, 0, 1.0)], {1: "x"}, filters=every))
    assert [name for name, _ in data.facts["steps"]] == [
        "usable rows", "rating 0.5 or more", "since 1970-01-01", "before 2001-01-01", "one per user and item, the last",
        "items with 1 characters of text", "1-core",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("filters", "step"),
    [
        ({"k_core": 3}, "3-core"),
        ({"min_rating": 6}, "rating 6 or more"),
        ({"since": datetime.date(2001, 1, 1)}, "since 2001-01-01"),
        ({"min_text": 100}, "items with 100 characters of text"),
    ],
)
def test_nothing_left_names_the_data_set_and_says_so(own_card, new_cache, filters, step):
    with pytest.raises(BenchError, match=r"'own': no interaction is left after the step") as caught:
        prepare(own_card([(1, 1, 0, 5), (1, 2, 1, 5)], {1: "x", 2: "y"}, filters=filters))
    assert step in str(caught.value)
    assert [path for path in new_cache.rglob("*") if path.is_file()] == []
