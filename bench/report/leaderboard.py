"""Leaderboards: a pure function of results, one table per data set and protocol fingerprint."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tabulate import tabulate

from bench.data.protocol import Protocol
from bench.files import content_hash, write_text
from bench.runs.cell import Cell, Result

_MAIN = ("ndcg@10", "recall@10", "mrr@10", "hit@10")


@dataclass(frozen=True)
class Row:
    """The results of one model with one config, over seeds."""

    results: list[Result]
    """Finished ones; if there are none, the failed ones."""
    variant: str = ""
    """What tells its config from that of other rows of the same model and preset."""

    @property
    def first(self) -> Result:
        return self.results[0]

    @property
    def failed(self) -> bool:
        return self.first.status == "failed"

    @property
    def model(self) -> str:
        return self.first.cell.model + self.variant

    @property
    def name(self) -> str:
        """The model with its preset, if it has several: what a user calls the row."""
        cell = self.first.cell
        preset = "" if cell.preset == "default" else f"@{cell.preset}"
        return f"{cell.model}{preset}{self.variant}"

    @property
    def seeds(self) -> int:
        return len(self.results)

    def values(self, group: str, metric: str) -> list[float]:
        """The metric of each seed; empty where it was not measured."""
        found = (result.groups[group].metrics.get(metric) for result in self.results if group in result.groups)
        return [value for value in found if value is not None]

    def mean(self, group: str, metric: str) -> float:
        """Mean over seeds."""
        values = self.values(group, metric)
        return float(np.mean(values)) if values else math.nan

    def spread(self, group: str, metric: str) -> float:
        """Standard deviation over seeds; not a number for fewer than two."""
        values = self.values(group, metric)
        return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan

    def user_error(self, group: str, metric: str) -> float:
        """Standard error of the mean over users, averaged over seeds."""
        found = [result.groups[group].errors.get(metric, math.nan) for result in self.results if group in result.groups]
        return float(np.mean(found)) if found else math.nan

    def cost(self, phase: str, what: str) -> float:
        """Mean over seeds of ``seconds`` or ``peak_mib`` of a phase."""
        found = [getattr(result.phases[phase], what) for result in self.results if phase in result.phases]
        return float(np.mean(found)) if found else math.nan

    def violations(self) -> dict[str, int]:
        """Sum over seeds, by kind, of what is not zero."""
        kinds = sorted({kind for result in self.results for kind in result.violations})
        sums = {kind: sum(result.violations.get(kind, 0) for result in self.results) for kind in kinds}
        return {kind: number for kind, number in sums.items() if number}


@dataclass(frozen=True)
class Table:
    """All rows of one data set under one protocol, best first, failed ones last."""

    rows: list[Row]

    @property
    def _cell(self) -> Cell:
        return self.rows[0].first.cell

    @property
    def dataset(self) -> str:
        return self._cell.dataset

    @property
    def name(self) -> str:
        """File name without ending: data set, protocol, and the beginning of the fingerprint."""
        protocol = self._cell.protocol["name"].replace("*", "-changed").replace(":", "-")
        return f"{self._cell.dataset}-{protocol}-{self._cell.fingerprint[:8]}"

    @cached_property
    def groups(self) -> dict[str, tuple[str, int]]:
        """Rule and number of users of each group; groups without users are left out."""
        found = {
            name: (group.rule, group.n)
            for row in self.rows
            for result in row.results
            for name, group in result.groups.items()
        }
        return {name: rule for name, rule in found.items() if rule[1]}

    @cached_property
    def metrics(self) -> list[str]:
        """Names of all metrics, those of the main table first if they were measured."""
        found = dict.fromkeys(
            name for row in self.rows for result in row.results for g in result.groups.values() for name in g.metrics
        )
        return list(found)

    def frame(self) -> pd.DataFrame:
        """One row per model; columns as :func:`bench.run` says."""
        return pd.DataFrame([self._record(row) for row in self.rows])

    def _record(self, row: Row) -> dict[str, Any]:
        first = row.first
        record: dict[str, Any] = {
            "model": row.model,
            "preset": first.cell.preset,
            "seeds": row.seeds,
            "status": first.status,
            "reason": first.reason or "",
            "violations": sum(row.violations().values()),
            "import_seconds": row.cost("import", "seconds"),
            "fit_seconds": row.cost("fit", "seconds"),
            "recommend_seconds": row.cost("recommend", "seconds"),
            "peak_mib": max(row.cost(phase, "peak_mib") for phase in ("import", "fit", "recommend")),
            "config_hash": content_hash(first.cell.config)[:12],
            "source_hash": first.cell.plugin.source_hash[:12],
            "fingerprint": first.cell.fingerprint[:12],
        }
        for group in self.groups:
            for metric in self.metrics:
                record[f"{group}/{metric}"] = row.mean(group, metric)
                record[f"{group}/{metric}/sd_seeds"] = row.spread(group, metric)
                record[f"{group}/{metric}/se_users"] = row.user_error(group, metric)
        return record

    def markdown(self) -> str:
        """The whole page: head, main table, table by group, notes. At most 100 columns wide."""
        cell, protocol = self._cell, Protocol.model_validate(self._cell.protocol)
        commands = sorted({result.command for row in self.rows for result in row.results})
        parts = [
            f"# {cell.dataset}, protocol {protocol.name}",
            f"{protocol.describe().capitalize()}; fingerprint {cell.fingerprint[:12]}.",
            self.main(),
            self._legend(),
            self.by_group(),
            "\n".join(f"- {name}: {rule}, n = {n:,}" for name, (rule, n) in self.groups.items()),
            self.failures(),
            self._notes(),
            "Made by:\n\n" + "\n".join(f"    {command}" for command in commands),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def terminal(self, root: Path) -> str:
        """What ``bench run`` prints: the tables, failures and notes, without the commands. ``root`` is the results folder."""
        cell = self._cell
        head = f"{cell.dataset}, protocol {cell.protocol['name']} ({cell.fingerprint[:8]}). {self._legend()}"
        return "\n\n".join(part for part in (head, self.main(), self.by_group(), self.failures(root), self._notes()) if part)

    def _legend(self) -> str:
        sizes = ", ".join(f"{name} n = {n:,}" for name, (_, n) in self.groups.items())
        return f"± is a 95 % interval over users. Users: {sizes}." if sizes else ""

    @property
    def _main_metrics(self) -> list[str]:
        usual = [metric for metric in _MAIN if metric in self.metrics]
        return usual or self.metrics[:4] or ["ndcg@10"]

    def main(self) -> str:
        """The main table as Markdown."""
        metrics = self._main_metrics
        heads = ["model", "preset", "seeds", *metrics]
        costs = ["fit s", "rank s", "MiB"]
        lines = []
        for row in self.rows:
            if row.failed:
                lines.append([row.model, row.first.cell.preset, row.seeds, "failed", *[""] * (len(metrics) - 1 + len(costs))])
                continue
            error = 1.96 * row.user_error("all", metrics[0])
            shown = [_number(row.mean("all", metric)) for metric in metrics]
            shown[0] += "" if math.isnan(error) else f" ±{_number(error)}"
            peak = max(row.cost(phase, "peak_mib") for phase in ("import", "fit", "recommend"))
            lines.append([
                row.model, row.first.cell.preset, row.seeds, *shown,
                f"{row.cost('fit', 'seconds'):.1f}", f"{row.cost('recommend', 'seconds'):.1f}", f"{peak:.0f}",
            ])  # fmt: skip
        return _markdown(lines, [*heads, *costs], text_columns=2)

    def by_group(self) -> str:
        """The first metric of the main table for each group of users, and its spread over seeds."""
        metric = self._main_metrics[0]
        lines = [
            [row.model, *[_number(row.mean(group, metric)) for group in self.groups], _number(row.spread("all", metric))]
            for row in self.rows
            if not row.failed
        ]
        return _markdown(lines, [metric, *self.groups, "sd of seeds"], text_columns=1) if lines else ""

    def failures(self, root: Path | None = None) -> str:
        """A line for each failed row: the reason and where its log lies, below the results folder ``root``."""
        failed = [result for row in self.rows if row.failed for result in row.results]
        place = (root or Path()) / "cells"
        return "\n".join(f"- {r.cell.label} failed: {r.reason} (log: {place / r.cell_id / r.log})" for r in failed)

    def _notes(self) -> str:
        notes = []
        for row in self.rows:
            if found := row.violations():
                text = ", ".join(f"{number:,} {kind}" for kind, number in found.items())
                notes.append(f"- {row.model} broke the contract in these slots: {text}; they count as misses")
            if any(result.stopped_by_budget for result in row.results):
                notes.append(f"- {row.model} was stopped by its time budget of {row.first.cell.time_budget:g} s")
        return "\n".join(notes)


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}".removeprefix("0")


def _markdown(lines: Sequence[Sequence[Any]], heads: Sequence[str], text_columns: int) -> str:
    align = ["left"] * text_columns + ["right"] * (len(heads) - text_columns)
    return tabulate(lines, headers=heads, tablefmt="pipe", colalign=align, disable_numparse=True)


def tables(results: Iterable[Result]) -> list[Table]:
    """Sort results into tables and rows. Of one model, config and seed with several code versions the newest counts."""
    newest: dict[tuple[str, ...], Result] = {}
    for result in sorted(results, key=lambda r: (r.status == "finished", r.created)):
        newest[_row_key(result) + (str(result.cell.seed),)] = result
    rows: dict[tuple[str, ...], list[Result]] = {}
    for result in newest.values():
        rows.setdefault(_row_key(result), []).append(result)
    split: dict[tuple[str, ...], list[list[Result]]] = {}
    for key, found in rows.items():
        finished = [result for result in found if result.status == "finished"]
        split.setdefault(key[:2], []).append(sorted(finished or found, key=lambda r: r.cell.seed))
    return [Table(_ordered(_told_apart(split[key]))) for key in sorted(split)]


def _row_key(result: Result) -> tuple[str, ...]:
    cell = result.cell
    budget = str(cell.time_budget)
    return (cell.dataset, cell.fingerprint, cell.model, cell.preset, content_hash(cell.config), budget, cell.device)


def _told_apart(rows: list[list[Result]]) -> list[Row]:
    """Rows with a variant ``[key=value]`` where one model and preset stands in the table with several configs."""
    made = []
    for results in rows:
        cell = results[0].cell
        twins = [r[0].cell for r in rows if (r[0].cell.model, r[0].cell.preset) == (cell.model, cell.preset)]
        settings = [{**twin.config, "time_budget": twin.time_budget, "device": twin.device} for twin in twins]
        own = {**cell.config, "time_budget": cell.time_budget, "device": cell.device}
        differing = [key for key in own if any(other.get(key) != own[key] for other in settings)]
        text = ", ".join(f"{key}={own[key]}" for key in differing)
        made.append(Row(results, f" [{text}]" if text else ""))
    return made


def _ordered(rows: list[Row]) -> list[Row]:
    def key(row: Row) -> tuple[bool, float, str]:
        score = row.mean("all", "ndcg@10")
        return row.failed, -score if not math.isnan(score) else 0.0, row.model

    return sorted(rows, key=key)


def write(table: Table, folder: Path) -> list[Path]:
    """Write the table as ``.md``, ``.csv`` and ``.json`` into ``folder``; returns the paths."""
    frame = table.frame()
    document = {
        "dataset": table.dataset,
        "protocol": table.rows[0].first.cell.protocol,
        "fingerprint": table.rows[0].first.cell.fingerprint,
        "groups": {name: {"rule": rule, "n": n} for name, (rule, n) in table.groups.items()},
        "rows": [
            {**json.loads(frame.iloc[[i]].to_json(orient="records"))[0], "results": [_source(r) for r in row.results]}
            for i, row in enumerate(table.rows)
        ],
    }
    texts = {
        "md": table.markdown(),
        "csv": frame.to_csv(index=False),
        "json": json.dumps(document, indent=2, ensure_ascii=False) + "\n",
    }
    paths = []
    for ending, text in texts.items():
        paths.append(folder / f"{table.name}.{ending}")
        write_text(paths[-1], text)
    return paths


def _source(result: Result) -> dict[str, Any]:
    """What a reader needs to trace a number of the table."""
    cell = result.cell
    return {
        "cell_id": result.cell_id,
        "seed": cell.seed,
        "config": cell.config,
        "plugin": cell.plugin.model_dump(),
        "git_revision": result.git_revision,
        "created": result.created,
        "command": result.command,
        "hardware": result.hardware,
        "packages": result.packages,
    }
