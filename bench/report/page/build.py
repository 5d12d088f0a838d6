"""From results folders to the document of the page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.errors import ResultsError, plain
from bench.messages.cell import Result
from bench.report.latex import latex
from bench.report.leaderboard import markdown, notes
from bench.report.page.document import Environment, GroupPart, Page, PairPart, ReferencePart, TablePart
from bench.report.page.lists import lists
from bench.report.page.rows import row_part
from bench.report.page.tuning import tuning
from bench.report.references import Figure, Reference
from bench.report.table import Table, current, tables
from bench.report.verdict import Verdict, verdict
from bench.runs.store import Store

MOST_PAIRED = 40
"""Rows of a table, the best ones, whose pairs are on the page."""

_BY_HISTORY = (r"D\d+", r"Q\d+", r"\d+(-\d+|\+)")
"""Names of the groups that divide users by activity: deciles, quartiles, bins."""


def build(folders: Sequence[Path], dataset: str | None = None, raw_dir: Path | None = None) -> Page:
    """The page of these results folders, the first of them one's own.

    Raises
    ------
    ResultsError
        If there is no result, or one of them is no results folder.
    """
    store = read(folders)
    results, names = chosen(store, dataset), folder_names(store)
    environments: list[Environment] = []
    made = [_table(table, store, names, environments, raw_dir) for table in tables(results)]
    return Page(
        folders=list(names.values()),
        created=max(result.created for result in results),
        tables=made,
        environments=environments,
        left_out=[plain(line) for line in (*store.left_out, *_unfinished(store), *_replaced(results))],
    )


def read(folders: Sequence[Path]) -> Store:
    """The folders as one.

    Raises
    ------
    ResultsError
        If one of them is no results folder.
    """
    unique: dict[Path, Path] = {}
    for folder in folders:
        if not (folder / "cells").is_dir():
            where = f"no results in {folder / 'cells'}"
            raise ResultsError(f"{where}: make some with 'bench run', or give another --results")
        unique.setdefault(folder.resolve(), folder)
    return Store(*unique.values())


def folder_names(store: Store) -> dict[Path, str]:
    """By folder: ``own`` for the first, and for others their name, or their path if two have one name."""
    own, *others = store.roots
    names = ["own", *(root.resolve().name for root in others)]
    return {own: "own"} | {
        root: plain(name if names.count(name) == 1 else str(root.resolve()))
        for name, root in zip(names[1:], others, strict=True)
    }


def chosen(store: Store, dataset: str | None) -> list[Result]:
    """The results of a data set, or all.

    Raises
    ------
    ResultsError
        If there is none.
    """
    results = store.results(dataset)
    if not results:
        what = f"results of '{dataset}'" if dataset else "results"
        where = ", ".join(str(root / "cells") for root in store.roots)
        raise ResultsError(f"no {what} in {where}: make some with 'bench run', or give another --results")
    return results


def _unfinished(store: Store) -> list[str]:
    """Folders of cells without a result."""
    lines = []
    for root in store.roots:
        folders = [path for path in (root / "cells").iterdir() if path.is_dir() and path.name[0] != "."]
        count = sum(not (path / "result.json").exists() for path in folders)
        lines += [f"{count} folders in {root / 'cells'} that hold no result: unfinished, or something else"] * (
            count > 0
        )
    return lines


def _replaced(results: Sequence[Result]) -> list[str]:
    older = len(results) - sum(map(len, current(results)))
    return [f"{older} older runs, replaced by newer ones of the same rows"] if older else []


def _table(
    table: Table, store: Store, names: Mapping[Path, str], environments: list[Environment], raw_dir: Path | None
) -> TablePart:
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
        rows=[row_part(table, row, judged, store, names, environments) for row in table.rows],
        detectable=judged.detectable[0],
        detectable_least=judged.detectable[1],
        seed_spread=float(table.seed_spread("all", table.main_metrics[:1]).assumed[0]),
        pairs=_pairs(table, judged),
        tuning=studies,
        references=[_reference(card, figure) for card in judged.references for figure in card.figures],
        reached=[plain(str(one)) for one in judged.comparisons],
        lists=shown,
        notes=[plain(line) for line in (*notes(table, judged), *damaged, *why_not)],
        latex=latex(table, judged),
        markdown=markdown(table, judged),
    )


def _reference(card: Reference, figure: Figure) -> ReferencePart:
    return ReferencePart(
        model=plain(figure.model),
        source=plain(card.origin),
        means=dict(figure.metrics),
        deviations=dict(figure.sd),
        notes=[plain(note) for note in (figure.not_reached, figure.note, card.note) if note],
        is_reached=not figure.not_reached,
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
