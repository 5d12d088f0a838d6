"""What can a table tell apart? Intervals over users and seeds, and the ranks that each row may have."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from bench.errors import BenchError, ResultsError
from bench.evaluation.intervals import ERRORS, LEAST_USERS, Sample, Spread, detectable, holm, ranks, stacked
from bench.report.per_user import PerUser, common_users, per_user, sample
from bench.report.references import Reference, matching
from bench.report.replication import Comparison, compare
from bench.report.row import Row
from bench.report.table import Table
from bench.runs.store import Store
from bench.runs.studies import studies_of


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
    """Adjusted by Holm's rule for the number of pairs of the table, where rows of the same values count as one."""


class Judged(NamedTuple):
    """The rows of a table in a group of users."""

    n: int
    """Users that all of them have."""
    samples: dict[str, Sample]
    """By name of the row, of the first main metric; none of fewer than :data:`LEAST_USERS` users."""
    spread: Spread
    """Over seeds, as the rows tell it together."""
    pairs: list[Pair]
    """All of them."""
    detectable: tuple[float, float]
    """The difference that a pair would show by itself in 80 % of all cases: the median of pairs, and the smallest."""
    notes: list[str]
    """Which rows have no rank, and why."""


@dataclass(frozen=True)
class Verdict:
    """Of the first main metric of a table, for each group of users; ablations have a table of their own."""

    standings: dict[tuple[str, str], Standing] = field(default_factory=dict)
    """By name of the row and group."""
    pairs: dict[str, list[Pair]] = field(default_factory=dict)
    """All of them, by group."""
    detectable: tuple[float, float] = (np.nan, np.nan)
    """Of all users, see :class:`Judged`."""
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
    standings: dict[tuple[str, str], Standing] = {}
    groups = {group: judged(table, store, group) for group in table.groups}
    for group, own in groups.items():
        for (name, one), place in zip(own.samples.items(), _places(list(own.samples), own.pairs), strict=True):
            standings[name, group] = Standing(float(one.estimate.half_width()[0]), *place)
    notes = dict.fromkeys(note for own in groups.values() for note in own.notes)
    tuned = [_of_tuning(table, row, store) for row in table.rows]
    found = matching(table)
    return Verdict(
        standings,
        {group: own.pairs for group, own in groups.items() if own.samples},
        groups["all"].detectable if "all" in groups else (np.nan, np.nan),
        [*notes, *(line for line in tuned if line)],
        found,
        compare(table, found),
    )


def judged(table: Table, store: Store, group: str) -> Judged:
    """Compare all pairs of rows of ``table`` by its first main metric in a group, ablations left out."""
    metric, notes = table.main_metrics[0], list[str]()
    values: dict[str, tuple[Row, dict[int, PerUser]]] = {}
    for row in table.rows:
        if row.lacks and not row.failed:
            notes.append(f"{row.name} has no rank: it lacks {row.lacks}, so that its mean is of other test items")
        elif row.has(group, metric) and not row.ablation:
            try:
                values[row.name] = (row, per_user(store, row, [f"{group}/{metric}"]))
            except ResultsError as error:
                notes.append(f"{row.name} has no rank: {error}")
    users = common_users(*(found for _, found in values.values())) if values else np.empty(0, np.int64)
    spread = table.seed_spread(group, [metric])
    if len(users) < LEAST_USERS:
        return Judged(len(users), {}, spread, [], (np.nan, np.nan), notes)
    samples = {name: sample(row, found, users) for name, (row, found) in values.items()}
    return Judged(len(users), samples, spread, *_pairs(samples, spread), notes)


def below_floor(table: Table, verdict: Verdict) -> list[str]:
    """Names of personalized rows below one that is not: in the mean, and not level with it where that is known.

    Few users show nothing.
    """
    floor = table.floor.name if table.floor else ""
    pairs = [pair for pair in verdict.pairs.get("all", ()) if floor in (pair.a, pair.b) and pair.p >= ERRORS]
    level = {name for pair in pairs for name in (pair.a, pair.b)}
    rows = (row for row in table.rows if row.users("all") >= LEAST_USERS and row.name not in level)
    return [row.name for row in rows if table.is_below_floor(row)]


def _of_tuning(table: Table, row: Row, store: Store) -> str:
    """What the trials of a tuned row were, and whether test followed validation; empty if there is no study."""
    metric = table.main_metrics[0]
    try:
        studies = studies_of(store.roots, row.cells)
    except BenchError:
        return ""
    scores = [(study.trials[0].score, study.best.score if study.best else None) for study in studies]
    known = [(before, best) for before, best in scores if before is not None and best is not None]
    if row.failed or not studies or len(known) < len(scores):
        return ""
    first, own = studies[0], studies[0].fingerprint == row.first.cell.fingerprint
    fewest, most = (end(len(study.trials) for study in studies) for end in (min, max))
    told = f"{row.name}: best of {fewest}{f' to {most}' if most > fewest else ''} trials"
    told += f" in each of {len(studies)} splits" if len(studies) > 1 else ""
    spent = sum(study.seconds for study in studies)
    told += f", {spent:,.0f} s of training" if own else f" on {first.dataset} ({first.fingerprint[:8]})"
    limited = sum(trial.at_limit for study in studies for trial in study.trials)
    told += f", {limited} of them at their limit of time" if limited else ""
    before, best = np.mean(known, axis=0)
    gains = [f"validation {before:.4f} to {best:.4f}"] if own else []
    untuned = table.only(first.began_with)
    if metric == first.metric and untuned is not None:
        gains.append(f"test {untuned.mean('all', metric):.4f} to {row.mean('all', metric):.4f}")
    return f"{told}; {first.metric} from the preset to it, {', '.join(gains)}" if gains else told


def _pairs(samples: dict[str, Sample], spread: Spread) -> tuple[list[Pair], tuple[float, float]]:
    """All pairs of rows, and the differences that could be shown: see :class:`Judged`."""
    names = list(itertools.combinations(samples, 2))
    if not names:
        return [], (np.nan, np.nan)
    known: dict[bytes, int] = {}  # rows of the same values, such as lists that were imported again, are one
    number = {name: known.setdefault(one.per_user.tobytes(), len(known)) for name, one in samples.items()}
    ends = np.array([sorted((number[a], number[b])) for a, b in names])
    kinds, same = ends[:, 0] * len(known) + ends[:, 1], ends[:, 0] == ends[:, 1]
    differences = stacked([samples[a].minus(samples[b], spread) for a, b in names])
    p = np.where(same, 1.0, holm(np.where(same, np.nan, differences.p_values()), kinds))
    numbers = zip(*(column.tolist() for column in (differences.mean, differences.half_width(), p)), strict=True)
    pairs = [Pair(a, b, *found) for (a, b), found in zip(names, numbers, strict=True)]
    shown = detectable(differences)[~same][np.unique(kinds[~same], return_index=True)[1]]
    return pairs, (float(np.median(shown)), float(shown.min())) if len(shown) else (np.nan, np.nan)


def _places(names: list[str], pairs: list[Pair]) -> list[tuple[int, int]]:
    """The ranks that each row may have."""
    better = np.zeros((len(names),) * 2, bool)
    number = {name: i for i, name in enumerate(names)}
    for pair in pairs:
        if pair.p < ERRORS:
            a, b = number[pair.a], number[pair.b]
            better[(a, b) if pair.difference > 0 else (b, a)] = True
    return ranks(better)
