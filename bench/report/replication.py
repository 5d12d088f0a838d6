"""Rows beside the figures of others: which of them are reached."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.errors import plain
from bench.report.numbers import number
from bench.report.references import Figure, Reference
from bench.report.row import Row
from bench.report.table import Table
from bench.strict import Strict

REPLICATED = 0.05
"""A row is as good as a figure from which it is no further than this share: the rule of eSASRec's README."""
IMPLAUSIBLE = 0.25
"""A row that is better than the best figure by more than this share is rather wrong than good."""
_SOURCE = 32
"""Characters of a source that a table shows."""


class Comparison(Strict):
    """A row beside the best figure of its model."""

    row: str
    metric: str
    value: float
    model: str
    """As the source calls it."""
    figure: float
    source: str
    says: str
    """In words."""

    def __str__(self) -> str:
        numbers = f"{self.metric} {number(self.value)} beside {number(self.figure)} of {self.model}"
        return f"{self.row}: {self.says} ({numbers}, {self.source})"


def compare(table: Table, found: list[Reference]) -> list[Comparison]:
    """Each row of a model of these cards beside the best figure of it that can be reached."""
    compared = [_compared(table, row, found) for row in table.rows if not row.failed]
    return [one for one in compared if one is not None]


def _compared(table: Table, row: Row, found: list[Reference]) -> Comparison | None:
    same = [(card, one) for card in found for one in card.figures if one.is_of(row) and not one.not_reached]
    for metric in (*table.main_metrics, *table.metrics):
        value = row.mean("all", metric)
        known = [(figure.metrics[metric], card, figure) for card, figure in same if metric in figure.metrics]
        if known and not math.isnan(value):
            best, card, figure = max(known, key=lambda one: one[0])
            return Comparison(
                row=row.name,
                metric=metric,
                value=value,
                model=figure.model,
                figure=best,
                source=card.origin,
                says=_words(value / best - 1),
            )
    return None


def _words(ratio: float) -> str:
    """``ratio`` is the share by which a row is better."""
    if ratio > IMPLAUSIBLE:
        return f"implausibly high, by {100 * ratio:.0f} %: check for a leak"
    if abs(ratio) <= REPLICATED:
        return f"replicated within {100 * REPLICATED:.0f} %"
    return f"{'above' if ratio > 0 else 'below'} by {100 * abs(ratio):.0f} %"


def lines(
    cards: Sequence[Reference], metrics: Sequence[str], rows: Sequence[Row] = (), most: int | None = None
) -> tuple[list[list[str]], list[str], int]:
    """Lines and heads of a table of figures, best first by the first metric, and how many figures are left out.

    Of more than ``most`` figures, the best ones stay and those of the models of ``rows``.
    """
    heads = [metric for metric in metrics if any(metric in figure.metrics for card in cards for figure in card.figures)]
    found = [(card, figure) for card in cards for figure in card.figures if figure.metrics.keys() & set(heads)]
    found.sort(key=lambda one: [-one[1].metrics.get(metric, -1.0) for metric in heads])
    shown = [
        (card, figure)
        for place, (card, figure) in enumerate(found)
        if most is None or place < most or any(figure.is_of(row) for row in rows)
    ]
    cells = [[_name(figure), plain(card.origin, _SOURCE), *map(figure.told, heads)] for card, figure in shown]
    return cells, ["model of others", "source", *heads], len(found) - len(shown)


def _name(figure: Figure) -> str:
    return figure.model + (" (not reached)" if figure.not_reached else "")
