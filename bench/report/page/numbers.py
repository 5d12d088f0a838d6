"""Every number of the page as one table: ``report.csv``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from bench.report.names import csv
from bench.report.page.document import Page, RowPart, TablePart

COLUMNS = ("table", "row", "other", "group", "quantity", "number", "value")


def as_csv(page: Page) -> str:
    """One line per number, columns :data:`COLUMNS`.

    ``quantity`` is a metric, or ``METRIC/half_width``, ``METRIC/RUN``, ``rank_first``, ``difference``, ``p``, …;
    ``other`` the second row of a pair, or whose figure it is; ``number`` that of a trial.
    """
    lines = [line for table in page.tables for line in _lines(table)]
    frame = pd.DataFrame(lines, columns=list(COLUMNS))
    return csv(frame.astype({"number": "Int64"}))


def _lines(table: TablePart) -> Iterator[tuple[Any, ...]]:
    for group in table.groups:
        yield table.name, "", "", group.name, "n", None, group.n
    yield table.name, "", "", "all", f"{table.first}/detectable", None, table.detectable
    yield table.name, "", "", "all", f"{table.first}/detectable_least", None, table.detectable_least
    for row in table.rows:
        for group_name, quantity, value in _of_row(table, row):
            yield table.name, row.name, "", group_name, quantity, None, value
    for group_name, pairs in table.pairs.items():
        for pair in pairs:
            a, b = table.rows[pair.a].name, table.rows[pair.b].name
            yield table.name, a, b, group_name, f"{table.first}/difference", None, pair.difference
            yield table.name, a, b, group_name, f"{table.first}/difference/half_width", None, pair.half_width
            yield table.name, a, b, group_name, f"{table.first}/difference/p", None, pair.p
    for one in table.references:
        for metric, mean in one.means.items():
            yield table.name, "", f"{one.model} ({one.source})", "all", metric, None, mean
        for metric, deviation in one.deviations.items():
            yield table.name, "", f"{one.model} ({one.source})", "all", f"{metric}/sd", None, deviation
    for study in table.tuning:
        for number, (score, best) in enumerate(zip(study.scores, study.best, strict=True)):
            yield table.name, study.model, "", "validation", study.metric, number, score
            yield table.name, study.model, "", "validation", f"{study.metric}/best", number, best
        yield table.name, study.model, "", "validation", "seconds", None, study.seconds


def _of_row(table: TablePart, row: RowPart) -> Iterator[tuple[str, str, float]]:
    yield "", "seeds", row.seeds
    for name, value in {**row.costs, **row.looks}.items():
        yield "", name, value
    for group, means in row.means.items():
        for metric, mean, half in zip(table.metrics, means, row.half_widths[group], strict=True):
            yield group, metric, mean
            yield group, f"{metric}/half_width", half
        for run, values in zip(row.source.runs, row.runs.get(group, []), strict=False):
            for metric, value in zip(table.metrics, values, strict=True):
                yield group, f"{metric}/{run}", value
    for group, (first, last) in row.ranks.items():
        yield group, f"{table.first}/rank_first", first
        yield group, f"{table.first}/rank_last", last
