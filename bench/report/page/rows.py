"""A row of a table as the page has it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import plain
from bench.files import read_regular
from bench.messages.cell import Result
from bench.report.page.document import Change, Environment, Failure, RowPart, Source
from bench.report.page.tuning import untuned
from bench.report.row import Row
from bench.report.table import Table
from bench.report.verdict import Verdict
from bench.runs.store import Store

LOG_LINES = 12
"""Of the end of a failed run's log."""
_LARGEST_LOG = 2**24


def row_part(
    table: Table, row: Row, judged: Verdict, store: Store, names: Mapping[Path, str], environments: list[Environment]
) -> RowPart:
    """The numbers of a row and where they come from: ``names`` of folders; a new one is added to ``environments``."""
    every, begun = (*row.results, *row.failures), untuned(table, row, store)
    groups = [] if row.failed else list(table.groups)
    halves = {group: row.half_widths(group, table.metrics) for group in groups}
    standings = {group: one for group in groups if (one := judged.standings.get((row.name, group)))}
    for group, standing in standings.items():
        halves[group][table.metrics.index(table.main_metrics[0])] = standing.half_width
    costs = {"fit": row.cost("fit", "seconds"), "recommend": row.cost("recommend", "seconds"), "memory": row.peak_mib}
    return RowPart(
        name=row.title,
        model=row.model,
        preset=row.preset,
        origins=list(dict.fromkeys(names[store.path(result.cell_id).parents[1]] for result in every)),
        seeds=row.seeds,
        folds=row.folds,
        one_of_many_seeds=row.one_of_many_seeds,
        ablation=bool(row.ablation),
        failures=[_failure(store, row, result) for result in row.failures],
        means={plain(group): [row.mean(group, metric) for metric in table.metrics] for group in groups},
        half_widths={plain(group): values for group, values in halves.items()},
        runs={plain(group): row.runs(group, table.metrics) for group in groups if len(row.results) > 1},
        ranks={plain(group): (one.first, one.last) for group, one in standings.items() if judged.compares},
        costs={} if row.failed else costs,
        looks={} if row.failed else {name: row.look(name) for name in table.looks},
        untuned=begun.title if begun else "",
        source=_source(table, row, environments),
    )


def _failure(store: Store, row: Row, result: Result) -> Failure:
    try:
        log = read_regular(store.path(result.cell_id) / "worker.log", _LARGEST_LOG).decode("utf-8", "replace")
    except OSError:
        log = ""  # published results have none
    lines = [plain(line, 300) for line in log.splitlines()[-LOG_LINES:]]
    return Failure(run=plain(row.name + result.cell.run), reason=plain(result.reason or ""), log=lines)


def _source(table: Table, row: Row, environments: list[Environment]) -> Source:
    every = [*row.results, *row.failures]
    cell, newest = row.first.cell, max(every, key=lambda result: result.created)
    environment = Environment(
        hardware=inert(newest.hardware), packages=inert(newest.packages), confinement=plain(newest.confinement)
    )
    own = f" in its environment {newest.plugin.environment}" if newest.plugin.environment else ""
    if environment not in environments:
        environments.append(environment)
    return Source(
        cells=[result.cell_id for result in every],
        runs=[_run(result) for result in row.results],
        created=newest.created,
        commands=list(dict.fromkeys(plain(result.command) for result in every if result.command)),
        config=inert(_config(row)),
        changes=_changes(table, row),
        code=cell.code,
        content=cell.content,
        plugin=plain(f"{newest.plugin.distribution} {newest.plugin.version}{own}"),
        git_revision=plain(newest.git_revision or ""),
        device=plain(cell.device),
        environment=environments.index(environment),
        facts=inert(newest.facts),
    )


def _run(result: Result) -> str:
    fold = "" if result.cell.fold is None else f"fold {result.cell.fold} "
    return f"{fold}seed {result.cell.seed}"


def _changes(table: Table, row: Row) -> list[Change]:
    """To the first row of the same model with its default preset."""
    cell = row.first.cell
    cells = [other.first.cell for other in table.rows]
    same = [one.config for one in cells if one.model == cell.model and one.preset == "default" and not one.ablation]
    if not same:
        return []
    before, now = same[0], _config(row)
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return [Change(field=plain(key), before=inert(before.get(key)), now=inert(now.get(key))) for key in keys]


def _config(row: Row) -> dict[str, Any]:
    """Of a model that was tuned in each of several splits, where they differ all values in the order of the splits."""
    by_fold = {result.cell.fold or 0: result.cell.config for result in (*row.results, *row.failures)}
    configs = [by_fold[fold] for fold in sorted(by_fold)]
    values = {key: [config.get(key) for config in configs] for config in configs for key in config}
    return {key: found[0] if found.count(found[0]) == len(found) else found for key, found in values.items()}


def inert(value: Any) -> Any:
    """A JSON value with all of its texts :func:`bench.errors.plain`."""
    if isinstance(value, dict):
        return {plain(str(key)): inert(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [inert(part) for part in value]
    return plain(value) if isinstance(value, str) else value
