"""Groups of users by their number of train interactions."""

import numpy as np
import pytest

from bench.data.catalog import LongTail
from bench.data.groups import user_groups

AT_MOST_4 = LongTail(rule="train-at-most", value=4)


def members(lengths, rule):
    return {group.name: np.flatnonzero(group.members).tolist() for group in user_groups(np.array(lengths), rule)}


def test_every_bin_has_its_bounds():
    found = members([0, 4, 5, 9, 10, 19, 20, 500], AT_MOST_4)
    assert found == {
        "all": [0, 1, 2, 3, 4, 5, 6, 7],
        "long tail": [0, 1],
        "head": [2, 3, 4, 5, 6, 7],
        "0-4": [0, 1],
        "5-9": [2, 3],
        "10-19": [4, 5],
        "20+": [6, 7],
    }


@pytest.mark.parametrize(
    ("lengths", "share", "tail"),
    [
        ([5, 1, 4, 2, 3], 0.2, [1]),
        ([5, 1, 4, 2, 3], 0.4, [1, 3]),
        ([5, 1, 4, 2, 3], 0.5, [1, 3, 4]),  # two and a half users: rounded up
        ([2, 2, 2, 9, 9], 0.2, [0, 1, 2]),  # ties are in
        ([7, 7, 7], 0.2, [0, 1, 2]),
        ([], 0.2, []),
    ],
)
def test_least_active_share_includes_ties(lengths, share, tail):
    found = members(lengths, LongTail(rule="least-active-share", value=share))
    assert found["long tail"] == tail
    assert sorted(found["head"] + found["long tail"]) == found["all"]


def test_rule_says_its_bound():
    rules = {g.name: g.rule for g in user_groups(np.array([3, 8, 9]), LongTail(rule="least-active-share", value=0.2))}
    assert rules["long tail"] == "at most 3 train interactions, the least active 20% with ties"
    assert rules["head"] == "more than 3 train interactions"
