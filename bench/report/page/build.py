"""From results folders to the document of the page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bench.errors import ResultsError, plain
from bench.messages.cell import Result
from bench.report.latex import latex
from bench.report.leaderboard import markdown, notes
from bench.report.page.document import Environment, GroupPart, Page, PairPart, TablePart
from bench.report.page.lists import lists
from bench.report.page.rows import row_part
from bench.report.page.tuning import tuning
from bench.report.table import Table, current, tables
from bench.report.verdict import Verdict, verdict
from bench.runs.store import Store
from bench.runs.stores import Stores

MOST_PAIRED = 40
"""Rows of a table, the best ones, whose pairs are on the page."""

_BY_HISTORY = (r"D\d+", r"Q\d+", r"\d+(-\d+|\+)")
"""Names of the groups that divide users by activity: deciles, quartiles, bins."""


def build(folders: Sequence[Path], dataset: str | None = None, raw_dir: Path | None = None) -> Page:
    """The page of these results folders, the first of them one's own.

    Raises
    ------
    ResultsError
        If there is no result.
    """
    store = read(folders)
    results = chosen(store, dataset)
    environments: list[Environment] = []
    made = [_table(table, store, environments, raw_dir) for table in tables(results)]
    return Page(
        folders=list(store.stores),
        created=max(result.created for result in results),
        tables=made,
        environments=environments,
        left_out=[plain(line) for line in (*store.left_out, *_unfinished(store), *_replaced(results))],
    )


def read(folders: Sequence[Path]) -> Stores:
    """The folders as one: the first is called ``own``, others by their name, or by their path if two have one name.

    Raises
    ------
    ResultsError
        If one of them is no results folder.
    """
    unique: dict[Path, Store] = {}
    for folder in folders:
        unique.setdefault(folder.resolve(), Store(folder))
    for store in unique.values():
        if not store.cells.is_dir():
            raise ResultsError(f"no results in {store.cells}: make some with 'bench run', or give another --results")
    names = ["own", *(path.name for path in list(unique)[1:])]
    called = [name if names.count(name) == 1 else str(path) for name, path in zip(names, unique, strict=True)]
    return Stores(dict(zip(["own", *map(plain, called[1:])], unique.values(), strict=True)))


def chosen(store: Stores, dataset: str | None) -> list[Result]:
    """The results of a data set, or all.

    Raises
    ------
    ResultsError
        If there is none.
    """
    results = [result for result in store.results() if dataset in (None, result.cell.dataset)]
    if not results:
        what = f"results of '{dataset}'" if dataset else "results"
        where = ", ".join(str(one.cells) for one in store.stores.values())
        raise ResultsError(f"no {what} in {where}: make some with 'bench run', or give another --results")
    return results


def _unfinished(store: Stores) -> list[str]:
    """Folders of cells without a result."""
    lines = []
    for one in store.stores.values():
        folders = [path for path in one.cells.iterdir() if path.is_dir()]
        count = sum(not (path / "result.json").exists() for path in folders if path.name[0] != ".")
        lines += [f"{count} folders in {one.cells} that hold no result: unfinished, or something else"] if count else []
    return lines


def _replaced(results: Sequence[Result]) -> list[str]:
    older = len(results) - sum(map(len, current(results)))
    return [f"{older} older runs, replaced by newer ones of the same rows"] if older else []


def _table(table: Table, store: Stores, environments: list[Environment], raw_dir: Path | None) -> TablePart:
    judged = verdict(table, store)
    studies, damaged = tuning(table, store)
    shown, why_not = lists(table, store, raw_dir)
    return TablePart(
        name=table.name,
        dataset=plain(table.dataset),
        protocol=table.cell.protocol,
        rules=table.cell.protocol.describe(),
        fingerprint=table.cell.fingerprint,
        metrics=table.metrics,
        first=table.main_metrics[0],
        groups=[GroupPart(name=plain(name), rule=plain(rule), n=n) for name, (rule, n) in table.groups.items()],
        by_history=by_history(list(table.groups)),
        looks=table.looks,
        rows=[row_part(table, row, judged, store, environments) for row in table.rows],
        detectable=judged.detectable,
        pairs=_pairs(table, judged),
        tuning=studies,
        lists=shown,
        notes=[plain(line) for line in (*notes(table, judged), *damaged, *why_not)],
        latex=latex(table, judged),
        markdown=markdown(table, judged),
    )


def by_history(groups: Sequence[str]) -> list[str]:
    """Of names of groups, those of the finest division of users by the length of their history."""
    return max(([name for name in groups if re.fullmatch(form, name)] for form in _BY_HISTORY), key=len)


def _pairs(table: Table, judged: Verdict) -> dict[str, list[PairPart]]:
    ranked = {name for name, _ in judged.standings}
    shown = [row.name for row in table.rows if row.name in ranked][:MOST_PAIRED]
    number = {row.name: i for i, row in enumerate(table.rows) if row.name in shown}
    return {
        plain(group): [
            PairPart(a=number[one.a], b=number[one.b], difference=one.difference, half_width=one.half_width, p=one.p)
            for one in pairs
            if one.a in number and one.b in number
        ]
        for group, pairs in judged.pairs.items()
    }
