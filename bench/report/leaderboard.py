"""Leaderboards as text: Markdown for people, CSV and JSON for programs."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import tabulate

from bench.errors import plain
from bench.evaluation.beyond import NAMES
from bench.evaluation.intervals import LEAST_USERS
from bench.files import write_text
from bench.messages.cell import Result
from bench.report import names, replication
from bench.report.numbers import number, signed
from bench.report.row import Row
from bench.report.table import Table
from bench.report.verdict import Verdict, below_floor
from bench.runs.fuse import FUSED
from bench.runs.store import Store

_VALID = "valid"
"""Head of the first metric over validation users: which rows fell from there to test, and how far."""
WIDTH = 100
"""Columns of a terminal that a table may take."""
_LEFT_OUT_FIRST = ("MiB", "rank s", "fit s", "Wh", "seeds")
"""Columns that a terminal drops after that of validation and all metrics but the first."""
_GAP = ("head", "long tail")
"""Groups whose difference has a column."""
SWING = 0.1
"""Standard deviation over seeds, as a share of the mean, beyond which a row bears a mark."""

BELOW = "↓"
"""Marks a personalized row below one that gives everybody the same list, see :func:`below_floor`."""

_MOST_OTHERS = 5
"""Figures of others that a terminal shows beside those of the models of the table."""

_NOTHING = Verdict()
"""Where values per user are not at hand."""

_Column = str | tuple[str, str] | None  # of :func:`_by_group_cell`
Key = TypeVar("Key")
Words = Callable[[str], str]
"""Makes a stranger's text fit for the page: :func:`bench.errors.plain` or :func:`bench.report.names.markdown`."""


def markdown(table: Table, verdict: Verdict = _NOTHING) -> str:
    """The whole page: protocol, tables, groups, notes, and the commands that made it."""
    protocol, words = table.cell.protocol, names.markdown
    commands = sorted({plain(result.command) for row in table.rows for result in row.results})
    return _page(
        f"# {words(table.dataset)}, protocol {words(protocol.name)}",
        f"{protocol.describe().capitalize()}; fingerprint {words(table.cell.fingerprint[:12])}.",
        pipe(*_main(table, verdict), text_columns=2),
        reading(table, verdict),
        by_group(table, verdict),
        "\n".join(f"- {words(name)}: {words(rule)}, n = {n:,}" for name, (rule, n) in table.groups.items()),
        others(table, verdict, words),
        looks(table),
        "\n".join(f"- {name}: {meaning}" for name, meaning in NAMES.items()) if table.looks else "",
        failures(table, words=words),
        _listed(notes(table, verdict), words),
        f"Config, code, packages and hardware of each run: [{table.name}.json]({table.name}.json).",
        "Made by\n\n" + "\n".join(textwrap.indent(command, "    ") for command in commands) if commands else "",
    )


def terminal(table: Table, store: Store, verdict: Verdict = _NOTHING) -> str:
    """What ``bench run`` prints, about :data:`WIDTH` columns wide."""
    return _page(
        f"{plain(table.dataset)}, protocol {plain(table.cell.protocol.name)} ({plain(table.cell.fingerprint[:8])})",
        main(table, verdict),
        textwrap.fill(reading(table, verdict), WIDTH),
        by_group(table, verdict, WIDTH),
        looks(table, WIDTH),
        others(table, verdict, plain, _MOST_OTHERS),
        failures(table, store.path),
        _listed(notes(table, verdict), plain),
    ).rstrip()


def _page(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def reading(table: Table, verdict: Verdict) -> str:
    """How to read the tables, and what they cannot show."""
    if not verdict.standings:
        return "± is a 95 % interval over users of each run."
    text = "± is a 95 % interval over users and seeds."
    if verdict.compares:
        text += (
            " rank: those that a row may have, by Holm's rule over all pairs of rows (5 %); = is level with the best."
        )
    if any(row.one_of_many_seeds for row in table.rows if not row.failed) and verdict.compares:
        spread = table.seed_spread("all", table.main_metrics[:1])
        text += f" Of a row of one seed, ± holds users alone, and rank assumes {spread}."
    if any(row.seeds == 2 and not row.failed for row in table.rows) and verdict.compares:
        text += " Two seeds say little of their spread: the interval of such a row is wide, and a third helps most."
    median, least = map(number, verdict.detectable)
    if least == median != number(math.nan):
        text += f" By itself, a difference below {median} would mostly not show (80 % power)."
    elif least != median:
        text += (
            f" For half of the pairs, a difference below {median} would mostly not show by itself (80 % power); "
            f"for the two rows that are most alike, one below {least}."
        )
    return text


def main(table: Table, verdict: Verdict = _NOTHING) -> str:
    """The main table for a terminal: with as many of its columns as there is room for, and which are left out."""
    lines, heads = _main(table, verdict)
    metrics = [head for head in heads if head in table.main_metrics]
    dropped: list[str] = []
    text = pipe(lines, heads, text_columns=2)
    for head in [head for head in (_VALID, *reversed(metrics[1:]), *_LEFT_OUT_FIRST) if head in heads]:
        if text.index("\n") <= WIDTH:
            break
        dropped.append(head)
        shown = [i for i, other in enumerate(heads) if other not in dropped]
        text = pipe([[line[i] for i in shown] for line in lines], [heads[i] for i in shown], text_columns=2)
    left_out = ", ".join(head for head in heads if head in dropped)
    return text + (f"\n\nnot shown for want of room, see the files: {left_out}" if dropped else "")


def _main(table: Table, verdict: Verdict) -> tuple[list[list[str]], list[str]]:
    """Lines and heads of the main table."""
    metrics = table.main_metrics
    lines, below = [], below_floor(table, verdict)
    judged = table.cell.stopping.name == metrics[0] and not all(math.isnan(row.validation) for row in table.rows)
    measured = not all(math.isnan(row.kwh) for row in table.rows)
    for row in table.rows:
        model = row.model + (f" {BELOW}" if row.name in below else "")
        splits = len(row.first.cell.protocol.folds)
        tested = f"{row.folds} of {splits}" if row.lacks else str(splits)
        name = [model, row.preset, str(row.seeds) if splits == 1 else f"{row.seeds} × {tested} splits"]
        if row.failed:
            lines.append([*name, "", "failed", *[""] * (len(metrics) + judged + measured + 2)])
            continue
        standing = verdict.standings.get((row.name, "all"))
        shown = [number(row.mean("all", metric)) for metric in metrics]
        half = standing.half_width if standing else row.half_widths("all", metrics[:1])[0]
        shown[0] += "" if math.isnan(half) else f" ±{number(half)}"
        mark = "= " if verdict.level(row.name, "all") else ""
        name.append(f"{mark}{standing or ''}")
        shown += [number(row.validation)] if judged else []
        costs = [_cost(row.cost("fit", "seconds")), _cost(row.cost("recommend", "seconds")), _cost(row.peak_mib, 0)]
        costs += [_cost(1000 * row.kwh)] if measured else []
        lines.append([*name, *shown, *costs])
    heads = [
        "model",
        "preset",
        "seeds",
        "rank",
        *metrics,
        *([_VALID] if judged else []),
        "fit s",
        "rank s",
        "MiB",
        *(["Wh"] if measured else []),
    ]
    if verdict.compares:
        return lines, heads
    return [[*line[:3], *line[4:]] for line in lines], [*heads[:3], *heads[4:]]


def by_group(table: Table, verdict: Verdict = _NOTHING, width: int | None = None) -> str:
    """The first metric of the main table for each group of users, how far the long tail is behind, and its spread.

    In blocks below each other where it is wider than ``width``.
    """
    metric = table.main_metrics[0]
    rows = [row for row in table.rows if not row.failed]
    if not rows:
        return ""
    columns: dict[_Column, str] = {name: f"{plain(name)} (n={n:,})" for name, (_, n) in table.groups.items()}
    if table.groups.keys() >= set(_GAP):
        columns[_GAP] = "head − tail"
    if any(len(row.results) > 1 for row in rows):
        columns[None] = "sd of runs"
    left = max(len(metric), *(len(row.title) for row in rows)) + 4
    parts = []
    for some in blocks(columns, math.inf if width is None else width - left):
        lines = [[row.title, *(_by_group_cell(row, name, metric, verdict) for name in some)] for row in rows]
        parts.append(pipe(lines, [metric, *(columns[name] for name in some)], text_columns=1))
    return "\n\n".join(parts)


def looks(table: Table, width: int | None = None) -> str:
    """What the lists are like, at the cut-off of the main table; in blocks where it is wider than ``width``."""
    cut = table.cut_off
    heads: dict[str | None, str] = {f"{name}@{cut}": name for name in NAMES if f"{name}@{cut}" in table.looks}
    rows = [row for row in table.rows if not row.failed]
    if not rows or not heads:
        return ""
    first = f"lists of {cut}"
    left = max(len(first), *(len(row.title) for row in rows)) + 4
    parts = []
    for some in blocks(heads, math.inf if width is None else width - left):
        lines = [[row.title, *(_look(row.look(name)) for name in some if name)] for row in rows]
        parts.append(pipe(lines, [first, *(heads[name] for name in some)], text_columns=1))
    return "\n\n".join(parts)


def others(table: Table, verdict: Verdict, words: Words, most: int | None = None) -> str:
    """Figures of others under the same protocol, and what the rows reach of them."""
    lines, heads, left_out = replication.lines(verdict.references, table.main_metrics, table.rows, most)
    if not lines:
        return ""
    more = f"{left_out} more" if left_out else "more"
    notes = [
        f"{figure.model} of {card.origin} was not reached: {figure.not_reached}"
        for card in verdict.references
        for figure in card.figures
        if figure.not_reached
    ]
    return _page(
        f"Figures of others under this protocol ({more}: bench references --dataset {words(table.dataset)})",
        pipe(lines, heads, text_columns=2),
        "\n".join(f"- {words(str(note))}" for note in (*verdict.comparisons, *notes)),
    ).rstrip()


def _look(value: float) -> str:
    return number(value) if abs(value) < 1 or math.isnan(value) else f"{value:,.1f}"


def blocks(heads: Mapping[Key, str], width: float) -> list[list[Key]]:
    """Keys in blocks whose heads fit side by side, as many columns in each as the names of the rows leave room for."""
    found: list[list[Key]] = []
    left = 0.0
    for key, head in heads.items():
        cell = max(len(head), 5) + 3
        if not found or cell > left:
            found.append([])
            left = width
        found[-1].append(key)
        left -= cell
    return found


def _by_group_cell(row: Row, group: _Column, metric: str, verdict: Verdict) -> str:
    """The mean of a group; of two, the difference; of None, the spread over runs."""
    if group is None:
        return number(row.spread("all", metric))
    if isinstance(group, tuple):
        return signed(row.mean(group[0], metric) - row.mean(group[1], metric))
    if 0 < row.users(group) < LEAST_USERS:
        return f"({number(row.mean(group, metric))})"
    return ("= " if verdict.level(row.name, group) else "") + number(row.mean(group, metric))


def failures(table: Table, folder: Callable[[str], Path] = Path("cells").joinpath, words: Words = plain) -> str:
    """A line for each failed row: the reason and where its log lies, in the ``folder`` of that cell."""
    failed = [(row.name + r.cell.run, r, folder(r.cell_id) / "worker.log") for row in table.rows for r in row.failures]
    return "\n".join(
        f"- {words(name)} failed: {words(r.reason or '')} (log: {words(str(log))})" for name, r, log in failed
    )


def notes(table: Table, verdict: Verdict) -> list[str]:
    """What a reader should know of the rows beside their numbers, a line each."""
    lines = [f"left out: {line}" for line in table.left_out] + verdict.notes
    finished = [row for row in table.rows if not row.failed]
    if finished and all(row.personalized for row in finished):
        lines.append("no row of this table is without personalization: popularity would show what a model has to beat")
    if table.floor is not None and (below := below_floor(table, verdict)):
        lines.append(f"{BELOW} below {table.floor.name}, which does not know the users: {', '.join(below)}")
    if few := [f"{name} (n={n:,})" for name, (_, n) in table.groups.items() if n < LEAST_USERS]:
        lines.append(f"in brackets, without intervals and ranks, for fewer than {LEAST_USERS} users: {', '.join(few)}")
    there = {result.cell_id for row in table.rows for result in row.results}
    for row in table.rows:
        if row.first.cell.preset == FUSED and not {i for r in row.results for i in r.facts.get("cells", [])} <= there:
            lines.append(f"{row.name} is fused from lists that are not in this table any more: fuse it again")
        short = max((r.cell.list_length for r in row.results), default=math.inf)
        if not row.failed and short < table.cut_off:
            way = f"bench score {row.name} --dataset {table.dataset} --k {short}"
            lines.append(f"{row.name} has lists of {short}: '{way}' measures them")
        if found := row.violations():
            text = ", ".join(f"{number:,} {kind}" for kind, number in found.items())
            lines.append(f"{row.name} broke the contract in these slots: {text}; they count as misses")
        lines += [f"{row.name} has {row.differing}"] if row.differing else []
        lines += _warnings(row)
        lines += [
            f"{row.name}: {line}"
            for line in dict.fromkeys(plain(str(r.facts.get("caveat") or "")) for r in row.results)
            if line
        ]
        values = row.values("all", table.main_metrics[0]) if row.folds == 1 else []
        if len(values) > 1 and row.spread("all", table.main_metrics[0]) > SWING * float(np.mean(values)):
            lines.append(f"{row.name}: its seeds swing, from {number(min(values))} to {number(max(values))}")
        if any(result.stopped_by_budget for result in row.results):
            budget = f"{row.first.cell.time_budget:g} processor seconds"
            lines.append(f"{row.name} was stopped by its time budget of {budget}")
    plans = sorted({row.plan for row in table.rows} - {""})
    for plan in [*plans, *([""] if plans else [])]:
        if rows := [row.name for row in table.rows if row.plan == plan]:
            lines.append(f"{f'by plan {plan}' if plan else 'before or without a plan'}: {', '.join(rows)}")
    return lines


def _listed(lines: Sequence[str], words: Words) -> str:
    return "\n".join(f"- {words(line)}" for line in lines)


def _warnings(row: Row) -> list[str]:
    """Each once, with the runs that had it where others had not."""
    runs: dict[str, list[str]] = {}
    for result in row.results:
        for line in dict.fromkeys(result.warnings):
            runs.setdefault(line, []).append(result.cell.run)
    return [f"{row.name}{','.join(own) * (len(own) < len(row.results))}: {line}" for line, own in runs.items()]


def _cost(value: float, digits: int = 1) -> str:
    """Nothing where it is not known, as of lists that were made elsewhere."""
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def pipe(lines: Sequence[Sequence[str]], heads: Sequence[str], text_columns: int) -> str:
    """A Markdown table, its first ``text_columns`` columns to the left and the others to the right."""
    align = ["left"] * text_columns + ["right"] * (len(heads) - text_columns)
    cells = [[names.markdown(cell) for cell in line] for line in lines]
    heads = [names.markdown(head) for head in heads]
    usual, tabulate.MIN_PADDING = tabulate.MIN_PADDING, 0  # columns as narrow as their content, to fit a terminal
    try:
        return tabulate.tabulate(cells, headers=heads, tablefmt="pipe", colalign=align, disable_numparse=True)
    finally:
        tabulate.MIN_PADDING = usual


def write(table: Table, folder: Path, verdict: Verdict = _NOTHING) -> list[Path]:
    """Write the table as ``.md``, ``.csv`` and ``.json`` into ``folder``; returns the paths."""
    metric = table.main_metrics[0]
    judged = [
        {key: value for group in table.groups for key, value in verdict.record(row.name, group, metric).items()}
        for row in table.rows
    ]
    frame = table.frame().join(pd.DataFrame(judged)) if verdict.standings else table.frame()
    below = below_floor(table, verdict)
    frame["below_popularity"] = [row.name in below for row in table.rows]
    document = {
        "dataset": table.dataset,
        "protocol": table.cell.protocol.model_dump(mode="json"),
        "fingerprint": table.cell.fingerprint,
        "groups": {name: {"rule": rule, "n": n} for name, (rule, n) in table.groups.items()},
        "rows": [
            {**json.loads(frame.iloc[[i]].to_json(orient="records"))[0], "results": [_source(r) for r in row.results]}
            for i, row in enumerate(table.rows)
        ],
        "references": [card.model_dump(mode="json") for card in verdict.references],
        "comparisons": [one.model_dump(mode="json") for one in verdict.comparisons],
    }
    return write_all(folder / table.name, markdown(table, verdict), names.csv(frame), document)


def write_all(stem: Path, page: str, csv: str, document: dict[str, Any]) -> list[Path]:
    """Write ``STEM.md``, ``.csv`` and ``.json``; returns the paths."""
    texts = {"md": page, "csv": csv, "json": json.dumps(document, indent=2, ensure_ascii=False) + "\n"}
    paths = []
    for ending, text in texts.items():
        paths.append(stem.with_name(f"{stem.name}.{ending}"))
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
        "plan": result.plan,
        "command": result.command,
        "hardware": result.hardware,
        "packages": result.packages,
    }
