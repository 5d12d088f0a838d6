"""What the statistics of a data set say of its order, on histories that are easily counted."""

import pytest

from bench.data.prepare import prepare
from bench.data.protocol import protocol
from bench.data.statistics import statistics

HISTORIES = ["abcd", "abce", "abdf"]


@pytest.fixture
def found(own_card, new_cache):
    """Users at other times of one day; the first has all at one time."""
    rows = [
        (f"u{user}", item, 1000 * user + (0 if user == 0 else place))
        for user, items in enumerate(HISTORIES)
        for place, item in enumerate(items)
    ]
    own = own_card(rows, titles={"a": "Soap", "b": "soap", "c": "Oil", "d": ""})
    return statistics(prepare(own), own, protocol("loo"))


def test_steps_without_an_order_of_their_own(found):
    assert found["equal times"].startswith("33.3% of the steps")  # three of nine


def test_items_that_follow(found):
    """From a to b three times; from b to c twice and to d once; from c to d and e; from d to f."""
    assert found["next items"].startswith("1.5 different ones")  # six pairs from four items
    assert "77.8% of all steps" in found["next items"]  # 3 + 2 + 1 + 1 of nine


def test_test_items_are_older_than_the_newest_of_train(found):
    """Train ends at 2001: of the test items, at 0, 1003 and 2003, two are older."""
    assert found["time leak"].startswith("66.7%")


def test_pairs_that_train_knows(found):
    """Train is ab, ab, ab, validation c, c, d, and test d, e, f: none of these is in train."""
    assert found["test pairs"] == "seen transition 0.0%, seen together 0.0%, new pair 100.0%"


def test_titles_are_compared_without_case_and_empty_ones_not_at_all(found):
    assert found["same titles"].startswith("2 items share")
