"""Tables: a pure function of results, one per data set and protocol fingerprint."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from bench.evaluation import metrics
from bench.evaluation.intervals import Spread, likely_spread
from bench.files import content_hash
from bench.messages.cell import Cell, GroupResult, Result
from bench.report.names import slug
from bench.report.row import Row
from bench.report.variants import settings_of, told_apart

_MAIN = ("ndcg", "recall", "mrr", "hit")


@dataclass(frozen=True)
class Table:
    """All rows of one data set under one protocol, best first, then those that lack folds, failed ones last."""

    rows: list[Row]
    left_out: list[str] = field(default_factory=list)
    """What was left out since it cannot be compared with the rest, a line each."""

    @property
    def cell(self) -> Cell:
        """Any cell of the table; all have the same data set and protocol."""
        return self.rows[0].first.cell

    @property
    def dataset(self) -> str:
        return self.cell.dataset

    @property
    def name(self) -> str:
        """File name without ending: data set, protocol, and the beginning of the fingerprint."""
        protocol = self.cell.protocol.name.replace("*", "-changed").replace(":", "-")
        return "-".join(slug(part) for part in (self.dataset, protocol, self.cell.fingerprint[:8]))

    @cached_property
    def groups(self) -> dict[str, tuple[str, int]]:
        """Rule and number of users of each group, the largest of all runs; groups without users are left out."""
        found: dict[str, tuple[str, int]] = {}
        for name, group in (both for row in self.rows for result in row.results for both in result.groups.items()):
            found[name] = (group.rule, max(group.n, found[name][1] if name in found else 0))
        return {name: rule for name, rule in found.items() if rule[1]}

    @cached_property
    def metrics(self) -> list[str]:
        """Names of all metrics that any row has, in the form ``metric@k``."""
        found = dict.fromkeys(
            name for row in self.rows for result in row.results for g in result.groups.values() for name in g.metrics
        )
        return [name for name in found if re.fullmatch(r"\w+@\d{1,9}", name)]

    @cached_property
    def floor(self) -> Row | None:
        """The best row that is not personalized, such as popularity: the rows are ordered."""
        return next((row for row in self.rows if row.personalized is False), None)

    def is_below_floor(self, row: Row) -> bool:
        """Whether the mean of a row that is not known to be without personalization is below that of one that is."""
        if self.floor is None or row.personalized is False or row.lacks or self.floor.lacks:
            return False
        return row.mean("all", self.main_metrics[0]) < self.floor.mean("all", self.main_metrics[0])

    def seed_spread(self, group: str, metrics: Sequence[str]) -> Spread:
        """What the whole models of several seeds tell of the spread over seeds of ``metrics`` in a group of users."""
        rows = [row for row in self.rows if row.spreads and not (row.failed or row.ablation or row.lacks)]
        measured = [row for row in rows if all(row.has(group, metric) for metric in metrics)]
        return likely_spread([row.seed_means(group, metrics) for row in measured])

    @property
    def looks(self) -> list[str]:
        """Names of what is known of the lists, at all cut-offs."""
        return list(dict.fromkeys(name for row in self.rows for result in row.results for name in result.beyond))

    def only(self, fits: Callable[[Cell], bool]) -> Row | None:
        """The finished row without an ablation whose cell ``fits``; None if there is none, or more than one."""
        found = [row for row in self.rows if not (row.failed or row.ablation) and fits(row.first.cell)]
        return found[0] if len(found) == 1 else None

    def frame(self) -> pd.DataFrame:
        """One row per model; columns as :func:`bench.run` says."""
        return pd.DataFrame([self._record(row) for row in self.rows])

    def _record(self, row: Row) -> dict[str, Any]:
        first = row.first
        record: dict[str, Any] = {
            "model": row.model,
            "preset": first.cell.preset,
            "ablation": row.ablation,
            "backbone": row.backbone,
            "seeds": row.seeds,
            "folds": row.folds,
            "status": first.status,
            "failed_runs": len(row.failures),
            "reason": next((result.reason for result in row.failures), "") or "",
            "violations": sum(row.violations().values()),
            "below_popularity": self.is_below_floor(row),
            "import_seconds": row.cost("import", "seconds"),
            "fit_seconds": row.cost("fit", "seconds"),
            "recommend_seconds": row.cost("recommend", "seconds"),
            "epoch_seconds": row.epoch_seconds,
            "peak_mib": row.peak_mib,
            "kwh": row.kwh,
            "parameters": row.parameters,
            "config_hash": content_hash(first.cell.config)[:12],
            "code_hash": first.cell.code[:12],
            "fingerprint": first.cell.fingerprint[:12],
        }
        record |= {name: row.look(name) for name in self.looks}
        record[f"validation/{first.cell.stopping.name}"] = row.validation
        for group in self.groups:
            for metric in self.metrics:
                record[f"{group}/{metric}"] = row.mean(group, metric)
                record[f"{group}/{metric}/sd_runs"] = row.spread(group, metric)
                record[f"{group}/{metric}/se_users"] = row.user_error(group, metric)
        return record

    @property
    def cut_off(self) -> int:
        """That of the main table."""
        return metrics.main_cut_off(metrics.cut_offs(self.metrics))

    @property
    def main_metrics(self) -> list[str]:
        """The metrics of the main table; the first one orders the rows."""
        return [f"{metric}@{self.cut_off}" for metric in _MAIN]


def tables(results: Iterable[Result]) -> list[Table]:
    """Sort results into rows and tables.

    A row is made of its :func:`current` results. Metrics of another version, groups of one name with other members
    than the newest result has, and seeds that lack folds beside others that have all are left out with a line.
    """
    split: dict[tuple[str, str], list[list[Result]]] = {}
    for row in current(results):
        split.setdefault((row[0].cell.dataset, row[0].cell.fingerprint), []).append(row)
    made = []
    for key in sorted(split):
        rows, left_out = _comparable(split[key])
        whole, incomplete = _whole(rows)
        made.append(Table(_ordered(told_apart(whole)), [*left_out, *incomplete]))
    return made


def _whole(rows: list[list[Result]]) -> tuple[list[list[Result]], list[str]]:
    """The rows without finished seeds that lack folds where others have all, and a line for each such seed."""
    found, lines = [], []
    for row in rows:
        cell = row[0].cell
        folds: dict[int, set[int | None]] = {}
        for result in row:
            if result.status == "finished":
                folds.setdefault(result.cell.seed, set()).add(result.cell.fold)
        partial = {seed for seed, has in folds.items() if len(has) < len(cell.protocol.folds)}
        if partial == folds.keys():
            partial = set()
        lines += [f"{cell.name} seed {seed} lacks folds that its other seeds have" for seed in sorted(partial)]
        found.append([r for r in row if r.status == "failed" or r.cell.seed not in partial])
    return found, lines


def current(results: Iterable[Result]) -> list[list[Result]]:
    """The results that count, by row: those of the newest code and data, and of each fold and seed the newest.

    Of code and data that went back to what they were, see :attr:`bench.messages.cell.Result.asked`.
    """
    grouped: dict[tuple[str, ...], list[Result]] = {}
    for result in sorted(results, key=lambda result: (result.counts_from, result.cell_id)):
        cell = result.cell
        settings = sorted(([*key, value] for key, value in settings_of(cell).items()), key=lambda part: part[:2])
        grouped.setdefault((cell.dataset, cell.fingerprint, content_hash(settings)), []).append(result)
    rows = []
    for found in grouped.values():
        same_code = [result for result in found if result.cell.code == found[-1].cell.code]
        given = {result.cell.fold: _given(result.cell) for result in same_code}  # the newest of each fold
        runs = {(r.cell.fold or 0, r.cell.seed): r for r in same_code if _given(r.cell) == given[r.cell.fold]}
        rows.append([runs[run] for run in sorted(runs)])
    return rows


def _given(cell: Cell) -> tuple[str, dict[str, str]]:
    """What the model was given: two results of one row must not be averaged over different data."""
    return cell.content, cell.files


def _comparable(rows: list[list[Result]]) -> tuple[list[list[Result]], list[str]]:
    """The results without what was measured by other definitions, and a line for each that had some."""
    newest: dict[tuple[int | None, str], GroupResult] = {}  # the same group has other members in another fold
    for result in sorted((result for row in rows for result in row), key=lambda result: result.counts_from):
        if result.metrics_version == metrics.VERSION:
            newest |= {(result.cell.fold, name): group for name, group in result.groups.items()}
    lines: dict[str, None] = {}
    found: list[list[Result]] = []
    for row in rows:
        found.append([])
        for result in row:
            current = result.metrics_version == metrics.VERSION or result.status == "failed"
            groups = result.groups if current else {}
            fold = result.cell.fold
            same = {name: group for name, group in groups.items() if group.members == newest[fold, name].members}
            if not current:
                what = f"metrics of version {result.metrics_version}, which is not {metrics.VERSION}"
                lines[f"{result.cell.name} has {what}: 'bench run' measures it again"] = None
            for name in groups.keys() - same.keys():
                lines[f"{result.cell.name} was measured with another group '{name}' of the same name"] = None
            found[-1].append(result.model_copy(update={"groups": same}))
    return found, sorted(lines)


def _ordered(rows: list[Row]) -> list[Row]:
    best = Table(rows).main_metrics[0]

    def rank(row: Row) -> tuple[bool, bool, bool, float, str]:
        mean = row.mean("all", best)
        return row.failed, math.isnan(mean), bool(row.lacks), 0.0 if math.isnan(mean) else -mean, row.name

    return sorted(rows, key=rank)
