"""Filters over interactions, each a name and a mask."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.data.catalog import Filters

Ids = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Rows:
    """Raw rows as numbers, each array (n,)."""

    users: Ids
    items: Ids
    times: NDArray[np.int64]
    """Seconds since 1970."""
    moments: NDArray[np.int64]
    """The same as exactly as the raw file tells it, in any one unit: what orders the rows."""
    ratings: NDArray[np.float64] | None
    """Not a number where a row has none; None if no row has one."""
    text_lengths: NDArray[np.int64] | None = None
    """Characters of the longest text field of the row's item, if they were asked for."""

    def where(self, kept: Mask) -> Rows:
        """Only the rows that the mask (n,) names."""
        if kept.all():
            return self
        times = self.times[kept]
        moments = times if self.moments is self.times else self.moments[kept]
        ratings = None if self.ratings is None else self.ratings[kept]
        lengths = None if self.text_lengths is None else self.text_lengths[kept]
        return Rows(self.users[kept], self.items[kept], times, moments, ratings, lengths)


class Filter(NamedTuple):
    """One step of preparing a data set."""

    name: str
    keep: Callable[[Rows], Mask]
    """Which of the rows (n,) that the steps before have left stay."""


def filters_of(rules: Filters) -> list[Filter]:
    """What ``rules`` ask for, in the order of its fields."""
    steps = []
    if (least := rules.min_rating) is not None:
        steps.append(Filter(f"rating {least:g} or more", lambda rows: _ratings(rows) >= least))
    if rules.since is not None:
        first = _midnight(rules.since)
        steps.append(Filter(f"since {rules.since}", lambda rows: rows.times >= first))
    if rules.until is not None:
        end = _midnight(rules.until)
        steps.append(Filter(f"before {rules.until}", lambda rows: rows.times < end))
    which = rules.duplicates
    steps.append(
        Filter(
            f"one per user and item, the {which}",
            lambda rows: unique_pairs(rows.users, rows.items, rows.moments, which),
        )
    )
    if rules.min_text:
        steps.append(
            Filter(f"items with {rules.min_text} characters of text", lambda rows: _lengths(rows) >= rules.min_text)
        )
    if rules.k_core:
        steps.append(Filter(f"{rules.k_core}-core", lambda rows: k_core(rows.users, rows.items, rules.k_core)))
    return steps


def _ratings(rows: Rows) -> NDArray[np.float64]:
    assert rows.ratings is not None
    return rows.ratings


def _lengths(rows: Rows) -> NDArray[np.int64]:
    assert rows.text_lengths is not None
    return rows.text_lengths


def _midnight(day: datetime.date) -> float:
    return datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC).timestamp()


def unique_pairs(users: Ids, items: Ids, times: NDArray[np.int64], keep: str) -> Mask:
    """Keep the ``first`` or ``last`` interaction, by time and then row, of every (user, item) pair.

    ``users``, ``items`` and ``times`` are (n,).
    """
    keys = users.astype(np.int64) * (int(items.max(initial=0)) + 1) + items
    ordered = np.sort(keys)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    mask = np.ones(len(keys), bool)
    if len(repeated):  # sorting whole rows is slow, and most data sets need none of it
        rows = np.flatnonzero(np.isin(keys, repeated))
        mask[rows] = _edges(keys[rows], times[rows], keep)
    return mask


def _edges(keys: Ids, times: NDArray[np.int64], keep: str) -> Mask:
    order = np.lexsort((times, keys))
    ordered = keys[order]
    edge = np.ones(len(keys), bool)
    if keep == "first":
        edge[1:] = ordered[1:] != ordered[:-1]
    else:
        edge[:-1] = ordered[1:] != ordered[:-1]
    mask = np.zeros(len(keys), bool)
    mask[order[edge]] = True
    return mask


def k_core(users: Ids, items: Ids, k: int) -> Mask:
    """The largest set of interactions in which every user and every item that occurs has at least ``k``.

    It is unique, whatever the order of removal (Batagelj & Zaveršnik 2003).
    """
    kept = np.arange(len(users))
    while len(kept):
        few_users = np.bincount(users[kept])[users[kept]] < k
        few_items = np.bincount(items[kept])[items[kept]] < k
        leave = few_users | few_items
        if not leave.any():
            break
        kept = kept[~leave]
    mask = np.zeros(len(users), bool)
    mask[kept] = True
    return mask
