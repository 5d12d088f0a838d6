"""What does each part of a model bring? A table of differences to the whole model, paired over users."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import ResultsError
from bench.report import leaderboard
from bench.report.compare import paired
from bench.report.names import csv, markdown, slug
from bench.report.numbers import number, signed
from bench.report.row import Row
from bench.report.table import Table
from bench.runs.store import Store

GROUPS = ("all", "long tail")

_log = logging.getLogger("bench")


@dataclass(frozen=True)
class Ablations:
    """The rows of one model and preset that leave something away, each beside the row of the whole model."""

    table: Table
    """The leaderboard with all these rows."""
    whole: Row
    """The first of the whole models; there are several where options were varied."""
    frame: pd.DataFrame
    """A line for each whole model, its ``ablation`` empty, then one per ablation, best first, failed ones last. Columns
    ablation, status, reason, changes, fit_seconds and, by group, GROUP, GROUP/difference, GROUP/low, GROUP/high."""

    @property
    def title(self) -> str:
        cell = self.whole.first.cell
        backbone = f" ({self.whole.backbone})" if self.whole.backbone else ""
        return f"Ablations of {cell.name}{backbone} on {self.table.dataset}, protocol {cell.protocol.name}"

    @property
    def name(self) -> str:
        """File name without ending."""
        cell = self.whole.first.cell
        preset = "" if cell.preset == "default" else f"@{slug(cell.preset)}"
        return f"{self.table.name}-ablations-{slug(cell.model)}{preset}"

    def text(self) -> str:
        """The differences of each group as Markdown, and what each ablation changes."""
        metric = self.table.main_metrics[0]
        records: list[dict[str, Any]] = json.loads(self.frame.to_json(orient="records"))
        parts = []
        for group in (group for group in GROUPS if group in self.frame):
            score = f"{metric} {group} (n={self.table.groups[group][1]:,})"
            heads = ["ablation", score, "difference", "95 % interval", "fit s"][: 5 if group == "all" else 4]
            lines = [_line(record, group)[: len(heads)] for record in records]
            parts.append(leaderboard.pipe(lines, heads, text_columns=1))
        pairing = (
            f"Differences of {metric} to the whole model with 95 % intervals over users and seeds, of the seeds that "
            f"both have; of one seed, {self.table.seed_spread('all', [metric])} is assumed."
        )
        said = "\n".join("- " + markdown(f"{r['row']}: {r['changes']}") for r in records if r["ablation"])
        title = markdown(f"{self.title} ({self.whole.first.cell.fingerprint[:8]})")
        return "\n\n".join([title, *parts, pairing, said])

    def document(self) -> dict[str, Any]:
        """The table as JSON."""
        cell = self.whole.first.cell
        return {
            "dataset": self.table.dataset,
            "protocol": cell.protocol.model_dump(mode="json"),
            "fingerprint": cell.fingerprint,
            "model": cell.model,
            "preset": cell.preset,
            "metric": self.table.main_metrics[0],
            "rows": json.loads(self.frame.to_json(orient="records")),
        }


def _line(record: dict[str, Any], group: str) -> list[str]:
    if record["status"] != "finished":
        return [record["row"], "failed", "", "", ""]
    found = [record[f"{group}/{name}"] for name in ("difference", "low", "high")]
    difference, low, high = ("" if value is None else signed(value) for value in found)
    score, seconds = (math.nan if value is None else value for value in (record[group], record["fit_seconds"]))
    interval = f"[{low}, {high}]" if low else ""
    return [record["row"], number(score), difference, interval, f"{seconds:.1f}"]


def ablations(table: Table, store: Store) -> list[Ablations]:
    """The ablations in ``table``, by model and preset. A row counts if its whole model was run with the same code."""
    rows = {result.cell_id: row for row in table.rows for result in (*row.results, *row.failures) if not row.ablation}
    ablated: dict[tuple[str, str], dict[int, tuple[Row, list[Row]]]] = {}
    for row in table.rows:
        runs = [result.cell.unablated.id for result in (*row.results, *row.failures)]
        whole = next((rows[run] for run in runs if run in rows), None) if row.ablation else None
        if whole is not None:
            cell = whole.first.cell
            found = ablated.setdefault((cell.model, cell.preset), {})
            found.setdefault(id(whole), (whole, []))[1].append(row)
    made = []
    for _, found in sorted(ablated.items()):
        records = []
        for whole, those in found.values():
            records += [_record(table, store, row, whole) for row in (whole, *those)]
        made.append(Ablations(table, next(iter(found.values()))[0], pd.DataFrame(records)))
    return made


def _record(table: Table, store: Store, row: Row, whole: Row) -> dict[str, Any]:
    cell, metric = row.first.cell, table.main_metrics[0]
    before = cell.unablated.config
    changed = {key: value for key, value in cell.config.items() if before.get(key) != value}
    record: dict[str, Any] = {
        "row": (row.ablation or "whole model") + row.variant,
        "ablation": row.ablation,
        "status": row.first.status,
        "reason": next((result.reason for result in row.failures), "") or "",
        "seeds": row.seeds,
        "changes": ", ".join(f"{key} {_value(before.get(key))} → {_value(new)}" for key, new in changed.items()),
        "fit_seconds": row.cost("fit", "seconds"),
    }
    for group in (group for group in GROUPS if group in table.groups):
        found = (math.nan,) * 3 if row is whole else _difference(table, store, row, whole, group, metric)
        record[group] = row.mean(group, metric)
        record |= {f"{group}/{name}": value for name, value in zip(("difference", "low", "high"), found, strict=True)}
    return record


def _difference(table: Table, store: Store, row: Row, whole: Row, group: str, metric: str) -> tuple[float, ...]:
    """Mean over users, low and high end of its interval, of the runs that both have; not a number if there is none."""
    pairs = {result.cell_id for result in whole.results} & {result.cell.unablated.id for result in row.results}
    own, other = (
        replace(one, results=[r for r in one.results if r.cell.unablated.id in pairs]) for one in (row, whole)
    )
    if not (own.has(group, metric) and other.has(group, metric)):
        return (math.nan,) * 3
    try:
        pair = paired(store, own, other, [f"{group}/{metric}"], table.seed_spread(group, [metric]))
        interval = pair.difference.interval()
    except ResultsError as error:
        _log.warning("warning: %s has no difference to the whole model: %s", row.name, error)
        return (math.nan,) * 3
    return tuple(float(part[0]) for part in interval)


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def write(found: Ablations, folder: Path) -> list[Path]:
    """Write ``.md``, ``.csv`` and ``.json`` into ``folder``, beside the leaderboard; returns the paths."""
    records = found.frame.to_dict("records")
    failed = "\n".join("- " + markdown(f"{r['row']} failed: {r['reason']}") for r in records if r["reason"])
    page = "\n\n".join(part for part in (f"# {found.text()}", failed) if part) + "\n"
    return leaderboard.write_all(folder / found.name, page, csv(found.frame), found.document())
