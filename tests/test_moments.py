"""Times below a second order interactions everywhere, though arrays hold seconds; ties are counted."""

import random

import numpy as np
import pytest

from bench.data.prepare import prepare
from bench.data.protocol import protocol
from bench.data.split import split
from bench.data.statistics import statistics

START = 1_600_000_000
ROWS = [(user, item, START * 1000 + 100 * user + 7 * item) for user in range(4) for item in range(6)]
"""Milliseconds; item by item, all of a user within one second."""


@pytest.fixture
def data(own_card):
    shuffled = random.Random(0).sample(ROWS, len(ROWS))
    return prepare(own_card(shuffled))


def lists(data, part):
    items = data.item_texts()["id"].to_numpy()[part.items].astype(int)
    return [items[a:b].tolist() for a, b in zip(part.indptr, part.indptr[1:], strict=False)]


def test_leave_one_out_takes_the_last_milliseconds(data):
    found = split(data, protocol("loo"))
    assert lists(data, found.visible.train) == [[0, 1, 2, 3]] * 4
    assert lists(data, found.visible.valid) == [[4]] * 4
    assert lists(data, found.hidden.test) == [[5]] * 4
    assert set(found.hidden.test.times.tolist()) == {START}


@pytest.mark.parametrize("name", ["random", "strong", "kfold:3"])
def test_union_of_parts_is_in_order(data, name):
    rules = protocol(name)
    found = split(data, rules, rules.folds[0])
    test = lists(data, found.hidden.test)
    for row, hidden in zip(lists(data, found.visible.union("train+valid")), test, strict=True):
        assert row == sorted(set(range(6)) - set(hidden))


def test_cut_in_time_falls_within_a_second(data):
    found = split(data, protocol("temporal"))
    whole = sorted(time for _, _, time in ROWS)
    assert len(found.visible.train) == sum(time < whole[int(0.8 * len(whole))] for time in whole)
    assert len(found.hidden.test)


def test_moments_are_part_of_what_is_visible(own_card, data):
    swapped = [(user, item, START * 1000 + 100 * user + 7 * (item ^ 1 if item < 2 else item)) for user, item, _ in ROWS]
    contents = {split(prepare(own_card(rows)), protocol("loo")).visible.content for rows in (ROWS, swapped)}
    later = [(user, item, time + 1) for user, item, time in ROWS]
    contents.add(split(prepare(own_card(later)), protocol("loo")).visible.content)
    assert len(contents) == 3


@pytest.mark.parametrize(("keep", "place"), [("first", 0), ("last", 1)])
def test_first_or_last_of_a_pair_within_a_second(own_card, keep, place):
    times = (START + 0.25, START + 0.5)
    rows = [(1, 1, times[1]), (1, 2, START + 0.3), (1, 1, times[0])]
    data = prepare(own_card(rows, filters={"duplicates": keep}))
    assert lists(data, data.interactions) == [[[1, 2], [2, 1]][place]]


def test_whole_seconds_keep_nothing_more(own_card):
    data = prepare(own_card([(user, item, time // 1000) for user, item, time in ROWS]))
    assert not data.is_finer
    np.testing.assert_array_equal(data.moments, data.interactions.times)
    assert not list(split(data, protocol("loo")).visible.path.glob("*moments*"))


def ties(own_card, rows, name="loo"):
    card = own_card(rows)
    return statistics(prepare(card), card, protocol(name)).get("ties")


def test_users_whose_split_ties_decide_are_counted(own_card):
    rows = [(1, item, 5) for item in range(3)] + [(2, item, item) for item in range(3)]
    rows += [(3, 0, 1), (3, 1, 1), (3, 2, 2), (3, 3, 3), (4, 0, 1), (4, 1, 2), (4, 2, 2)]
    assert ties(own_card, rows) == "2 users (50.0%) whose split the order of the raw file decides"  # users 1 and 4
    assert ties(own_card, ROWS).startswith("0 users")
    assert ties(own_card, rows, "random") is None
