"""Leaderboards as text: Markdown for people, CSV and JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tabulate

from bench.files import write_text
from bench.messages.cell import Result
from bench.report.table import Row, Table

tabulate.MIN_PADDING = 0  # columns as narrow as their content, to stay within 100


def markdown(table: Table) -> str:
    """The whole page: protocol, tables, groups, notes, and the commands that made it."""
    protocol = table.cell.protocol
    commands = sorted({result.command for row in table.rows for result in row.results})
    return _page(
        f"# {table.dataset}, protocol {protocol.name}",
        f"{protocol.describe().capitalize()}; fingerprint {table.cell.fingerprint[:12]}.",
        *_tables(table),
        "\n".join(f"- {name}: {rule}, n = {n:,}" for name, (rule, n) in table.groups.items()),
        failures(table),
        _notes(table),
        "Made by\n\n" + "\n".join(f"    {command}" for command in commands) if commands else "",
    )


def terminal(table: Table, root: Path) -> str:
    """What ``bench run`` prints, at most 100 columns wide. ``root`` is the results folder."""
    sizes = ", ".join(f"{name} {n:,}" for name, (_, n) in table.groups.items())
    return _page(
        f"{table.dataset}, protocol {table.cell.protocol.name} ({table.cell.fingerprint[:8]})",
        *_tables(table),
        f"users: {sizes}" if sizes else "",
        failures(table, root),
        _notes(table),
    ).rstrip()


def _page(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def _tables(table: Table) -> list[str]:
    return [main(table), "± is a 95 % interval over users.", by_group(table)]


WIDTH = 100
"""Columns of a terminal that a table may take."""


def main(table: Table) -> str:
    """The main table as Markdown, with as many of its metrics as there is room for."""
    metrics = list(table.main_metrics)
    text = _main(table, metrics)
    while text.index("\n") > WIDTH and len(metrics) > 1:
        metrics.pop()
        text = _main(table, metrics)
    return text


def _main(table: Table, metrics: list[str]) -> str:
    lines = []
    for row in table.rows:
        name = [row.model, row.preset, row.seeds if row.folds == 1 else f"{row.seeds} × {row.folds} folds"]
        if row.failed:
            lines.append([*name, "failed", *[""] * (len(metrics) + 2)])
            continue
        shown = [number(row.mean("all", metric)) for metric in metrics]
        shown[0] += f" ±{number(1.96 * row.user_error('all', metrics[0]))}"
        costs = [f"{row.cost('fit', 'seconds'):.1f}", f"{row.cost('recommend', 'seconds'):.1f}", f"{row.peak_mib:.0f}"]
        lines.append([*name, *shown, *costs])
    return pipe(lines, ["model", "preset", "seeds", *metrics, "fit s", "rank s", "MiB"], text_columns=2)


def _blocks(names: Sequence[str], columns: int) -> list[list[str]]:
    """Names in blocks that fit side by side into so many columns."""
    blocks: list[list[str]] = [[]]
    width = 0
    for name in names:
        cell = max(len(name), 5) + 3
        if width + cell > columns:
            blocks.append([])
            width = 0
        blocks[-1].append(name)
        width += cell
    return blocks


def by_group(table: Table) -> str:
    """The first metric of the main table for each group of users, and its spread over seeds and folds."""
    metric = table.main_metrics[0]
    rows = [row for row in table.rows if not row.failed]
    if not rows:
        return ""
    parts = []
    spread = [_SPREAD] if any(len(row.results) > 1 for row in rows) else []
    left = max(len(metric), *(len(row.title) for row in rows)) + 4
    for names in _blocks([*table.groups, *spread], WIDTH - left):
        lines = [[row.title, *(_by_group_cell(row, name, metric) for name in names)] for row in rows]
        parts.append(pipe(lines, [metric, *names], text_columns=1))
    return "\n\n".join(parts)


_SPREAD = "sd of runs"


def _by_group_cell(row: Row, name: str, metric: str) -> str:
    return number(row.spread("all", metric) if name == _SPREAD else row.mean(name, metric))


def failures(table: Table, root: Path | None = None) -> str:
    """A line for each failed row: the reason and where its log lies, below the results folder ``root``."""
    failed = [result for row in table.rows for result in row.failures]
    place = (root or Path()) / "cells"
    return "\n".join(f"- {r.cell.label} failed: {r.reason} (log: {place / r.cell_id / 'worker.log'})" for r in failed)


def _notes(table: Table) -> str:
    notes = [f"- left out: {line}" for line in table.left_out]
    for row in table.rows:
        if found := row.violations():
            text = ", ".join(f"{number:,} {kind}" for kind, number in found.items())
            notes.append(f"- {row.name} broke the contract in these slots: {text}; they count as misses")
        notes += [f"- {row.name}: {line}" for line in dict.fromkeys(w for r in row.results for w in r.warnings)]
        if any(result.stopped_by_budget for result in row.results):
            notes.append(f"- {row.name} was stopped by its time budget of {row.first.cell.time_budget:g} s")
    return "\n".join(notes)


def number(value: float) -> str:
    """Four decimals without the leading zero."""
    return "–" if math.isnan(value) else f"{value:.4f}".removeprefix("0")


def pipe(lines: Sequence[Sequence[Any]], heads: Sequence[str], text_columns: int) -> str:
    """A Markdown table, its first ``text_columns`` columns to the left and the others to the right."""
    align = ["left"] * text_columns + ["right"] * (len(heads) - text_columns)
    return tabulate.tabulate(lines, headers=heads, tablefmt="pipe", colalign=align, disable_numparse=True)


def write(table: Table, folder: Path) -> list[Path]:
    """Write the table as ``.md``, ``.csv`` and ``.json`` into ``folder``; returns the paths."""
    frame = table.frame()
    document = {
        "dataset": table.dataset,
        "protocol": table.cell.protocol.model_dump(mode="json"),
        "fingerprint": table.cell.fingerprint,
        "groups": {name: {"rule": rule, "n": n} for name, (rule, n) in table.groups.items()},
        "rows": [
            {**json.loads(frame.iloc[[i]].to_json(orient="records"))[0], "results": [_source(r) for r in row.results]}
            for i, row in enumerate(table.rows)
        ],
    }
    texts = {
        "md": markdown(table),
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
        "code": cell.code,
        "plugin": result.plugin.model_dump(),
        "confinement": result.confinement,
        "git_revision": result.git_revision,
        "created": result.created,
        "command": result.command,
        "hardware": result.hardware,
        "packages": result.packages,
    }
