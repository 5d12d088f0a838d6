"""Groups of users, items and test cases, each defined by a rule and reported with its size.

A group is known by name and content: an edited group file, or other data, makes another group of the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.data import memory
from bench.data.catalog import LongTail
from bench.errors import ConfigError, UnknownName
from bench.files import array_hash, content_hash
from bench.interactions import Interactions

_BINS = ((0, 4), (5, 9), (10, 19), (20, None))


class Group(NamedTuple):
    """Some of the users, of the items, or of the test cases: the pairs of a user and a test item.

    The metrics of a group of items or cases count only its test items as relevant, for users that have one.
    """

    name: str
    rule: str
    """The rule in words."""
    members: NDArray[np.bool_]
    """(n_users,), (n_items,) or (n_test,): who is in it."""
    of: Literal["users", "items", "cases"] = "users"

    @property
    def content(self) -> str:
        """SHA-256 in hex of who is in it."""
        return content_hash([self.of, array_hash(self.members)])


def find_groups(
    train: Interactions,
    long_tail: LongTail,
    user_ids: Sequence[str] = (),
    families: Sequence[str] = (),
    cases: Callable[[], list[Group]] = list,
) -> list[Group]:
    """All users, long tail and head, activity bins, and the families that are asked for.

    ``train`` is what a model may know of each user: of held-out users, their known part. A family is a name of
    :data:`FAMILIES`, :data:`CASES`, whose groups ``cases`` makes, or the path of a CSV file with the columns ``user``
    (original id) and ``group``, whose values name the groups.

    Raises
    ------
    UnknownName
        If there is no such family.
    ConfigError
        If a file is missing, names no user of the data set, or gives a group the name of another one; the names of
        built-in groups are reserved, whether or not they are asked for.
    """
    groups = [*long_tail_groups(train.lengths, long_tail), *activity_bins(train.lengths)]
    reserved = {group.name for group in groups} | {g.name for make in FAMILIES.values() for g in make(train)}
    reserved |= set(memory.NAMES)
    for family in dict.fromkeys(families):
        if family.endswith(".csv"):
            own = groups_of_file(Path(family), user_ids)
            if taken := sorted({group.name for group in own} & reserved):
                raise ConfigError(f"{family}: the group '{taken[0]}' has the name of another one: give it another name")
            reserved |= {group.name for group in own}
            groups += own
        elif family in FAMILIES:
            groups += FAMILIES[family](train)
        elif family == CASES:
            groups += cases()
        else:
            raise UnknownName("family of groups", family, [*FAMILIES, CASES], "'bench run --help'")
    return groups


def long_tail_groups(lengths: NDArray[np.int64], long_tail: LongTail) -> list[Group]:
    """All users, long tail and head. ``lengths`` is (n_users,), train interactions per user.

    For ``least-active-share`` the bound is the length of the user at that share of all users sorted by length; users
    with the same length are in, so the group can be larger.
    """
    if long_tail.rule == "train-at-most":
        bound, note = int(long_tail.value), ""
    else:
        bound = _quantile(lengths, long_tail.value)
        note = f", the least active {long_tail.value:.0%} with ties"
    tail = lengths <= bound
    return [
        Group("all", "all users", np.ones(len(lengths), bool)),
        Group("long tail", f"at most {bound} train interactions{note}", tail),
        Group("head", f"more than {bound} train interactions", ~tail),
    ]


def activity_bins(lengths: NDArray[np.int64]) -> list[Group]:
    """0-4, 5-9, 10-19 and 20 or more train interactions."""
    groups = []
    for low, high in _BINS:
        inside = (lengths >= low) & (lengths <= (high if high is not None else np.inf))
        name = f"{low}+" if high is None else f"{low}-{high}"
        groups.append(Group(name, f"{name} train interactions", inside))
    return groups


def quantile_groups(lengths: NDArray[np.int64], n: int, letter: str) -> list[Group]:
    """N groups by activity, of equal size but for ties: users with the same length are in the same group."""
    groups, low = [], -1
    for i in range(1, n + 1):
        high = _quantile(lengths, i / n)
        rule = f"{low + 1} to {high} train interactions" if high > low else "empty by ties"
        groups.append(Group(f"{letter}{i}", rule, (lengths > low) & (lengths <= high)))
        low = max(low, high)
    return groups


def popularity_groups(counts: NDArray[np.int64]) -> list[Group]:
    """The fifth of the items with the most train interactions, ties included, and the others.

    ``counts`` is (n_items,), train interactions per item.
    """
    bound = int(np.sort(counts)[::-1][max(0, int(np.ceil(0.2 * len(counts))) - 1)])
    popular = counts >= bound
    return [
        Group("popular items", f"at least {bound} train interactions, the top 20% with ties", popular, "items"),
        Group("niche items", f"fewer than {bound} train interactions", ~popular, "items"),
    ]


def cold_groups(train: Interactions) -> list[Group]:
    """Users and items without a train interaction."""
    counts = train.popularity
    return [
        Group("cold users", "no train interaction", train.lengths == 0),
        Group("cold items", "no train interaction", counts == 0, "items"),
    ]


def case_groups(train: Interactions, history: Interactions, test: Interactions) -> list[Group]:
    """See :mod:`bench.data.memory`."""
    rules = (
        "test items that directly follow the user's last known item in train",
        "others that stand in a row of train with a known item of the user",
        "test items that never stood in train beside a known item of the user",
    )
    found = memory.memory(train, history, test)
    return [Group(name, rule, found[name], "cases") for name, rule in zip(memory.NAMES, rules, strict=True)]


CASES = "memory"
"""The family of test cases."""

FAMILIES: dict[str, Callable[[Interactions], list[Group]]] = {
    "quartiles": lambda train: quantile_groups(train.lengths, 4, "Q"),
    "deciles": lambda train: quantile_groups(train.lengths, 10, "D"),
    "popularity": lambda train: popularity_groups(train.popularity),
    "cold": cold_groups,
}


def groups_of_file(path: Path, user_ids: Sequence[str]) -> list[Group]:
    """The groups of a user's own CSV file; users that it does not name are in none.

    Its columns are ``user`` (original id) and ``group``, a row per membership: a user may be in several groups. The
    rule of a group says how many of its names are no users of the data set.

    Raises
    ------
    ConfigError
        If it is missing, has rows that cannot be read, or names no user of the data set.
    """
    from bench.data.sources.csv import read_csv

    if not path.is_file():
        raise ConfigError(f"the group file {path} does not exist")
    problems: dict[str, int] = {}
    table = read_csv(path, ["user", "group"], problems)
    if problems:
        raise ConfigError(f"{', '.join(f'{n:,} {what}' for what, n in problems.items())}: correct {path}")
    number = {user: i for i, user in enumerate(user_ids)}
    strangers = [user for user in table["user"] if user not in number]
    if len(strangers) == len(table):
        raise ConfigError(f"{path} names no user of the data set, for instance '{strangers[0] if strangers else ''}'")
    groups = []
    for name, users in table.drop_duplicates().groupby("group")["user"]:
        known = [number[user] for user in users if user in number]
        members = np.zeros(len(user_ids), bool)
        members[known] = True
        lost = len(users) - len(known)
        unknown = f", {lost:,} of its {len(users):,} users are not in the data set" if lost else ""
        groups.append(Group(str(name), f"'{name}' of {path.name}{unknown}", members))
    return groups


def _quantile(lengths: NDArray[Any], share: float) -> int:
    """The length of the user at ``share`` of all users sorted by length."""
    if not len(lengths):
        return 0
    return int(np.sort(lengths)[max(0, int(np.ceil(share * len(lengths))) - 1)])
