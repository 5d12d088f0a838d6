"""Groups of users by their number of train interactions."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.contract import Interactions
from bench.data.catalog import LongTail
from bench.data.groups import Group, find_groups, groups_of_file, popularity_groups, quantile_groups
from bench.errors import BenchError, ConfigError

AT_MOST_4 = LongTail(rule="train-at-most", value=4)


def train_of(lengths, n_items=600):
    """Users with so many train interactions, of the first items each."""
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    items = np.concatenate([np.arange(length) for length in [*lengths, 0]]).astype(np.int32)
    return Interactions(indptr, items, np.zeros(len(items), np.int64), n_items)


def listed(groups):
    return {group.name: np.flatnonzero(group.members).tolist() for group in groups}


def members(lengths, rule):
    return listed(find_groups(train_of(lengths), rule))


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
    rules = {g.name: g.rule for g in find_groups(train_of([3, 8, 9]), LongTail(rule="least-active-share", value=0.2))}
    assert rules["long tail"] == "at most 3 train interactions, the least active 20% with ties"
    assert rules["head"] == "more than 3 train interactions"


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(2, 10))
def test_quantiles_are_a_partition_that_keeps_ties_together(lengths, n):
    groups = quantile_groups(np.array(lengths), n, "Q")
    assert [group.name for group in groups] == [f"Q{i + 1}" for i in range(n)]
    assert (np.sum([group.members for group in groups], axis=0) == 1).all()
    ranges = [np.array(lengths)[group.members] for group in groups if group.members.any()]
    assert all(low.max() < high.min() for low, high in itertools.pairwise(ranges))


def test_quartiles_of_distinct_lengths_are_quarters():
    assert listed(quantile_groups(np.array([8, 1, 7, 2, 6, 3, 5, 4]), 4, "Q")) == {
        "Q1": [1, 3], "Q2": [5, 7], "Q3": [4, 6], "Q4": [0, 2],
    }  # fmt: skip


def test_popular_items_are_the_top_fifth_with_ties():
    groups = popularity_groups(np.array([1, 9, 2, 9, 0, 1, 2, 3, 1, 0]))
    assert listed(groups) == {"popular items": [1, 3], "niche items": [0, 2, 4, 5, 6, 7, 8, 9]}
    assert {group.of for group in groups} == {"items"}


def test_cold_users_and_items_have_no_train_interaction():
    groups = find_groups(train_of([2, 0, 3], n_items=5), AT_MOST_4, families=["cold"])
    assert {name: ids for name, ids in listed(groups).items() if "cold" in name} == {
        "cold users": [1], "cold items": [3, 4],
    }  # fmt: skip


def test_groups_of_a_file(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("user,group\nb,new\nc,old\na,new\nstranger,old\n")
    assert listed(groups_of_file(path, ["a", "b", "c", "d"])) == {"new": [0, 1], "old": [2]}
    rules = {group.name: group.rule for group in groups_of_file(path, ["a", "b", "c", "d"])}
    assert rules == {"new": "'new' of mine.csv", "old": "'old' of mine.csv, 1 of its 2 users are not in the data set"}
    with pytest.raises(BenchError, match="names no user of the data set"):
        groups_of_file(path, ["x"])
    with pytest.raises(BenchError, match="does not exist"):
        groups_of_file(tmp_path / "none.csv", ["x"])


def test_rows_of_a_file_that_cannot_be_read_are_one_line(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("user,group\nb,new\nc\na,new,old\n")
    with pytest.raises(BenchError, match=r"^2 rows of mine.csv with too few .*: correct /.*mine.csv$"):
        groups_of_file(path, ["a", "b", "c"])


def test_an_unknown_family_has_a_suggestion():
    with pytest.raises(BenchError, match="did you mean 'deciles'"):
        find_groups(train_of([1]), AT_MOST_4, families=["decile"])


def test_names_of_built_in_groups_are_reserved(tmp_path):
    for name in ("all", "long tail", "5-9", "Q1", "niche items", "new pair"):
        path = tmp_path / "mine.csv"
        path.write_text(f"user,group\na,{name}\n")
        with pytest.raises(ConfigError, match=f"the group '{name}' has the name of another one: give it another name"):
            find_groups(train_of([1]), AT_MOST_4, ["a"], [str(path)])


def test_a_file_without_the_columns_says_what_it_has(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("uid,group\na,x\n")
    with pytest.raises(BenchError, match=r"mine\.csv has no column 'user', but uid, group: is it another file\?"):
        groups_of_file(path, ["a"])


def test_two_files_cannot_share_a_name_and_one_file_given_twice_counts_once(tmp_path):
    for file in ("one.csv", "two.csv"):
        (tmp_path / file).write_text("user,group\na,mine\n")
    with pytest.raises(ConfigError, match="'mine' has the name of another one"):
        find_groups(train_of([1]), AT_MOST_4, ["a"], [str(tmp_path / "one.csv"), str(tmp_path / "two.csv")])
    once = find_groups(train_of([1]), AT_MOST_4, ["a"], [str(tmp_path / "one.csv")] * 2)
    assert [group.name for group in once].count("mine") == 1


def test_group_is_known_by_who_is_in_it(tmp_path):
    path, found = tmp_path / "mine.csv", []
    for text in ("a,x\nb,x", "b,x\na,x", "a,x", "a,x\nnobody,x"):
        path.write_text(f"user,group\n{text}\n")
        [group] = groups_of_file(path, ["a", "b", "c"])
        found.append(group.content)
    assert found[0] == found[1] != found[2] == found[3]
    users, items = (Group("g", "r", np.array([True, False]), of) for of in ("users", "items"))
    assert users.content != items.content
