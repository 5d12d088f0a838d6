"""Rows and tables: a pure function of results, one table per data set and protocol fingerprint."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bench.errors import plain
from bench.evaluation import metrics
from bench.evaluation.intervals import LEAST_USERS, Estimate, Part
from bench.files import content_hash
from bench.messages.cell import Cell, GroupResult, Result
from bench.report.names import slug

PHASES = ("import", "fit", "recommend")

_MAIN = ("ndcg", "recall", "mrr", "hit")


@dataclass(frozen=True)
class Row:
    """The results of one model with one config, over runs."""

    results: list[Result]
    """The finished ones."""
    failures: list[Result]
    """The failed ones, which have no numbers."""
    variant: str = ""
    """What tells its config from that of other rows of the same model and preset."""

    @property
    def first(self) -> Result:
        return (self.results or self.failures)[0]

    @property
    def failed(self) -> bool:
        """Whether no seed finished."""
        return not self.results

    @property
    def ablation(self) -> str:
        """Name of what was left away; empty for a whole model."""
        ablation = self.first.cell.ablation
        return ablation.name if ablation else ""

    @property
    def model(self) -> str:
        return plain(f"{self.first.cell.model} {self.ablation}") + self.variant

    @property
    def backbone(self) -> str:
        """What the model notes as its backbone, such as ``scratch``; empty if it notes nothing."""
        found = {plain(str(result.facts.get("backbone") or "")) for result in self.results}
        return ", ".join(sorted(found - {""}))

    @property
    def preset(self) -> str:
        """With the backbone, so that nobody takes one trained from scratch for a pretrained one."""
        return plain(self.first.cell.preset) + (f" ({self.backbone})" if self.backbone else "")

    @property
    def name(self) -> str:
        """The model with its preset, if it has several, and its ablation: what a user calls the row."""
        return plain(self.first.cell.name) + self.variant

    @property
    def title(self) -> str:
        """The name with the backbone."""
        return self.name + (f" ({self.backbone})" if self.backbone else "")

    @property
    def personalized(self) -> bool | None:
        """What its model declares; None where no result knows."""
        return next((r.personalized for r in self.results if r.personalized is not None), None)

    @property
    def plan(self) -> str:
        """Hash of the plan that all its runs were a part of; empty otherwise."""
        plans = {result.plan for result in (*self.results, *self.failures)}
        return plans.pop() if len(plans) == 1 else ""

    @property
    def seeds(self) -> int:
        """Number of different seeds."""
        return len({result.cell.seed for result in self.results or self.failures})

    @property
    def one_of_many_seeds(self) -> bool:
        """Whether it has one seed, and others would give something else."""
        return self.seeds == 1 and not self.first.cell.deterministic

    @property
    def folds(self) -> int:
        """Number of folds that were tested; 1 if the protocol has none."""
        return len({result.cell.fold for result in self.results or self.failures})

    @property
    def lacks(self) -> str:
        """The folds of the protocol that one of its seeds has not, as of a run that goes on: its mean is of other test
        items than those of other rows. Empty where nothing is missing.
        """
        has = {(result.cell.seed, result.cell.fold) for result in self.results}
        folds = [f for f in self.first.cell.protocol.folds if any((seed, f) not in has for seed, _ in has)]
        return f"fold{'s' * (len(folds) > 1)} {', '.join(map(str, folds))}" if folds else ""

    def values(self, group: str, metric: str) -> list[float]:
        """The metric of each run (a seed on a fold); empty where it was not measured."""
        found = (result.groups[group].metrics.get(metric) for result in self.results if group in result.groups)
        return [value for value in found if value is not None]

    def has(self, group: str, metric: str) -> bool:
        """Whether every run that has users in the group was measured so, and one has."""
        known = [result for result in self.results if group in result.groups]
        filled = sum(result.groups[group].n > 0 for result in known)
        return filled > 0 and len(known) == len(self.results) and len(self.values(group, metric)) == filled

    def mean(self, group: str, metric: str) -> float:
        """Mean over runs."""
        values = self.values(group, metric)
        return float(np.mean(values)) if values else math.nan

    def spread(self, group: str, metric: str) -> float:
        """Standard deviation over runs; not a number for fewer than two."""
        values = self.values(group, metric)
        return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan

    def user_error(self, group: str, metric: str) -> float:
        """Standard error of the mean over users, averaged over runs."""
        found = [result.groups[group].errors.get(metric, math.nan) for result in self.results if group in result.groups]
        return float(np.mean(found)) if found else math.nan

    def runs(self, group: str, metrics: Sequence[str]) -> list[list[float]]:
        """Of each run the ``metrics``; not a number where it was not measured."""
        found = [result.groups[group].metrics if group in result.groups else {} for result in self.results]
        return [[one.get(metric, math.nan) for metric in metrics] for one in found]

    def half_widths(self, group: str, metrics: Sequence[str]) -> list[float]:
        """Half of the 95 % interval over users and seeds of each metric, from what results alone tell.

        Of several seeds it is a little wider than that of a verdict, which is from the values per user: the chance
        within users is in both parts. Not a number below :data:`LEAST_USERS` users.
        """
        if self.users(group) < LEAST_USERS:
            return [math.nan] * len(metrics)
        runs, seeds = np.array(self.runs(group, metrics)), np.array([result.cell.seed for result in self.results])
        means = np.stack([runs[seeds == seed].mean(axis=0) for seed in np.unique(seeds)])
        many = len(means) > 1 and not self.first.cell.deterministic
        parts = (Part(means.std(axis=0, ddof=1) / math.sqrt(len(means)), len(means) - 1),) if many else ()
        users = np.array([self.user_error(group, metric) for metric in metrics])
        return [float(half) for half in Estimate(runs.mean(axis=0), users, parts).half_width()]

    def users(self, group: str) -> int:
        """The smallest number of users of a run that has some; 0 where it was not measured."""
        found = (result.groups[group].n for result in self.results if group in result.groups)
        return min((n for n in found if n), default=0)

    @property
    def validation(self) -> float:
        """Mean over runs of the score on validation users; not a number where it was not measured."""
        found = [result.validation for result in self.results if result.validation is not None]
        return float(np.mean(found)) if found else math.nan

    def look(self, name: str) -> float:
        """Mean over runs of what lists are like, such as ``coverage@10``; not a number where it was not measured."""
        found = [result.beyond[name] for result in self.results if name in result.beyond]
        return float(np.mean(found)) if found else math.nan

    def cost(self, phase: str, what: str) -> float:
        """Mean over runs of ``seconds`` or ``peak_mib`` of a phase."""
        found = [getattr(result.phases[phase], what) for result in self.results if phase in result.phases]
        return float(np.mean(found)) if found else math.nan

    @property
    def peak_mib(self) -> float:
        """Largest memory of any phase."""
        return max(self.cost(phase, "peak_mib") for phase in PHASES)

    def violations(self) -> dict[str, int]:
        """Sum over runs, by kind, of what is not zero."""
        kinds = sorted({kind for result in self.results for kind in result.violations})
        sums = {kind: sum(result.violations.get(kind, 0) for result in self.results) for kind in kinds}
        return {kind: number for kind, number in sums.items() if number}


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

    @property
    def looks(self) -> list[str]:
        """Names of what is known of the lists, at all cut-offs."""
        return list(dict.fromkeys(name for row in self.rows for result in row.results for name in result.beyond))

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
            "peak_mib": row.peak_mib,
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
    def main_metrics(self) -> list[str]:
        """The metrics of the main table: at 10, or at the largest cut-off there is; the first one orders the rows."""
        cuts = {int(name.split("@")[1]) for name in self.metrics}
        cut = 10 if 10 in cuts or not cuts else max(cuts)
        return [f"{metric}@{cut}" for metric in _MAIN]


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
        made.append(Table(_ordered(_told_apart(whole)), [*left_out, *incomplete]))
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
        settings = sorted(([*key, value] for key, value in _settings(cell).items()), key=lambda part: part[:2])
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


def _settings(cell: Cell) -> dict[tuple[str, str], Any]:
    """What may tell two rows of one name apart, by kind and name: a config may have any key."""
    whole = cell.unablated.config
    return {
        ("", "model"): cell.model,
        ("", "preset"): cell.preset,
        ("", "ablation"): cell.ablation.name if cell.ablation else "",
        **{("config", key): value for key, value in cell.config.items()},
        **{("unablated", key): value for key, value in whole.items() if cell.config.get(key) != value},
        ("", "time_budget"): cell.time_budget,
        ("", "device"): cell.device,
        **{("stopping", key): value for key, value in cell.stopping.model_dump().items()},
    }


def _told_apart(rows: list[list[Result]]) -> list[Row]:
    """Rows with a variant ``[key=value]`` where one name stands in the table with several settings."""
    made = []
    for results in rows:
        cell = results[0].cell
        twins = [r[0].cell for r in rows if plain(r[0].cell.name) == plain(cell.name)]
        own, others = _settings(cell), [_settings(twin) for twin in twins]
        differing = [
            f"{key}={value}" if kind in ("", "config") else f"{kind} {key}={value}"
            for (kind, key), value in own.items()
            if any(other.get((kind, key)) != value for other in others)
        ]
        finished, failed = ([r for r in results if r.status == status] for status in ("finished", "failed"))
        made.append(Row(finished, failed, f" [{plain(', '.join(differing))}]" if differing else ""))
    return made


def _ordered(rows: list[Row]) -> list[Row]:
    best = Table(rows).main_metrics[0]

    def rank(row: Row) -> tuple[bool, bool, bool, float, str]:
        mean = row.mean("all", best)
        return row.failed, math.isnan(mean), bool(row.lacks), 0.0 if math.isnan(mean) else -mean, row.name

    return sorted(rows, key=rank)
