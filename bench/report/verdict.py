"""What can a table tell apart? Intervals over users and seeds, and the ranks that each row may have."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from bench.errors import BenchError, ResultsError
from bench.evaluation.intervals import ERRORS, Sample, detectable, holm, ranks, stacked
from bench.report.per_user import common_users, per_user, sample
from bench.report.references import Reference, matching
from bench.report.replication import Comparison, compare
from bench.report.table import Row, Table
from bench.runs.store import Store
from bench.runs.studies import TUNED, find_study


class Standing(NamedTuple):
    """Of a row in a group of users."""

    half_width: float
    """Half of the 95 % interval of its mean, over users and seeds; of users alone where it has one seed."""
    first: int
    """The best rank that it may have."""
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"


class Pair(NamedTuple):
    """Two rows of a table in a group of users."""

    a: str
    b: str
    difference: float
    """a − b."""
    half_width: float
    """Half of its 95 % interval, by itself."""
    p: float
    """Adjusted by Holm's rule for the number of pairs of the table."""


@dataclass(frozen=True)
class Verdict:
    """Of the first main metric of a table, for each group of users; ablations have a table of their own."""

    standings: dict[tuple[str, str], Standing] = field(default_factory=dict)
    """By name of the row and group."""
    pairs: dict[str, list[Pair]] = field(default_factory=dict)
    """All of them, by group."""
    detectable: float = np.nan
    """The difference of two rows that these users and seeds would show in 80 % of all cases: the median of pairs."""
    notes: list[str] = field(default_factory=list)
    """Which rows have no rank, and why, and what tuning brought, a line each."""
    references: list[Reference] = field(default_factory=list)
    """Figures of others on the same data under the same protocol."""
    comparisons: list[Comparison] = field(default_factory=list)
    """What the rows reach of them."""

    @property
    def compares(self) -> bool:
        """Whether there are two rows to be told apart."""
        return len({row for row, _ in self.standings}) > 1

    def level(self, row: str, group: str) -> bool:
        """Whether the row is known to be level with the best."""
        standing = self.standings.get((row, group))
        return self.compares and standing is not None and standing.first == 1

    def record(self, row: str, group: str, metric: str) -> dict[str, Any]:
        """Columns of a table for programs."""
        standing = self.standings.get((row, group))
        found = (standing.half_width, standing.first, standing.last) if standing else (np.nan, None, None)
        names = ("half_width", "rank_first", "rank_last")
        return {f"{group}/{metric}/{name}": value for name, value in zip(names, found, strict=True)}


def verdict(table: Table, store: Store) -> Verdict:
    """Compare all pairs of rows in each group, from what ``store`` has of each user."""
    metric = table.main_metrics[0]
    standings: dict[tuple[str, str], Standing] = {}
    pairs: dict[str, list[Pair]] = {}
    smallest, notes = np.nan, dict[str, None]()
    for group in table.groups:
        column, values = f"{group}/{metric}", {}
        for row in table.rows:
            if row.has(group, metric) and not row.ablation:
                try:
                    values[row.name] = (row, per_user(store, row, [column]))
                except ResultsError as error:
                    notes[f"{row.name} has no rank: {error}"] = None
        users = common_users(*(frames for _, frames in values.values())) if values else np.empty(0, np.int64)
        if len(users) < 2:
            continue
        samples = {name: sample(row, frames, users) for name, (row, frames) in values.items()}
        pairs[group], shown = _pairs(samples)
        for (name, one), place in zip(samples.items(), _places(list(samples), pairs[group]), strict=True):
            standings[name, group] = Standing(float(one.estimate.half_width()[0]), *place)
        smallest = shown if group == "all" else smallest
    tuned = [_of_tuning(table, row, store, metric) for row in table.rows if row.first.cell.preset == TUNED]
    found = matching(table)
    return Verdict(
        standings, pairs, smallest, [*notes, *(line for line in tuned if line)], found, compare(table, found)
    )


def _of_tuning(table: Table, row: Row, store: Store, metric: str) -> str:
    """What the trials of a tuned row were, and whether test followed validation; empty if the study is gone."""
    cell = row.first.cell
    try:
        study = find_study(store.roots, cell.dataset, cell.model, cell.fingerprint)
    except BenchError:
        return ""
    before, best = study.trials[0].score, study.best
    if row.failed or best is None or before is None or best.score is None:
        return ""
    told = f"{row.name}: best of {len(study.trials)} trials in {study.seconds:,.0f} s"
    gain = f"; {study.metric} from the preset to it, validation {before:.4f} to {best.score:.4f}"
    untuned = [o for o in table.rows if o.first.cell.model == cell.model and o.first.cell.preset == study.preset]
    if metric != study.metric or len(untuned) != 1 or untuned[0].failed:
        return told + gain
    return f"{told}{gain}, test {untuned[0].mean('all', metric):.4f} to {row.mean('all', metric):.4f}"


def _pairs(samples: dict[str, Sample]) -> tuple[list[Pair], float]:
    """All pairs of rows, and the median difference that could be shown."""
    names = list(itertools.combinations(samples, 2))
    if not names:
        return [], np.nan
    differences = stacked([samples[a].minus(samples[b]) for a, b in names])
    columns = (differences.mean, differences.half_width(), holm(differences.p_values()))
    numbers = zip(*(column.tolist() for column in columns), strict=True)
    pairs = [Pair(a, b, *found) for (a, b), found in zip(names, numbers, strict=True)]
    return pairs, float(np.median(detectable(differences)))


def _places(names: list[str], pairs: list[Pair]) -> list[tuple[int, int]]:
    """The ranks that each row may have."""
    better = np.zeros((len(names),) * 2, bool)
    number = {name: i for i, name in enumerate(names)}
    for pair in pairs:
        if pair.p < ERRORS:
            a, b = number[pair.a], number[pair.b]
            better[(a, b) if pair.difference > 0 else (b, a)] = True
    return ranks(better)
