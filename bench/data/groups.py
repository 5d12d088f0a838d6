"""Groups of users, by how many train interactions they have: a declared rule each, printed with its n."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.data.catalog import LongTail

VERSION = 1
"""Goes up when the rule of any group changes."""

_BINS = ((0, 4), (5, 9), (10, 19), (20, None))


class Group(NamedTuple):
    """Some of the users."""

    name: str
    rule: str
    """The rule in words."""
    members: NDArray[np.bool_]
    """(n_users,): who is in it."""


def user_groups(train_lengths: NDArray[np.int64], long_tail: LongTail) -> list[Group]:
    """All users, long tail and head, and activity bins.

    ``train_lengths`` is (n_users,), train interactions per user. For ``least-active-share`` the bound is the length of
    the user at that share of all users sorted by length; users with the same length are in, so the group can be larger.
    """
    if long_tail.rule == "train-at-most":
        bound = int(long_tail.value)
        note = ""
    else:
        ordered = np.sort(train_lengths)
        bound = int(ordered[max(0, int(np.ceil(long_tail.value * len(ordered))) - 1)]) if len(ordered) else 0
        note = f", the least active {long_tail.value:.0%} with ties"
    tail = train_lengths <= bound
    groups = [
        Group("all", "all users", np.ones(len(train_lengths), bool)),
        Group("long tail", f"at most {bound} train interactions{note}", tail),
        Group("head", f"more than {bound} train interactions", ~tail),
    ]
    for low, high in _BINS:
        inside = (train_lengths >= low) & (train_lengths <= (high if high is not None else np.inf))
        name = f"{low}+" if high is None else f"{low}-{high}"
        groups.append(Group(name, f"{name} train interactions", inside))
    return groups
