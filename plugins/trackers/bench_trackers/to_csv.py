"""Two tables: ``cells.csv`` with a row for each cell that has a result, and ``validations.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from bench.messages.cell import Cell, Result, ValidationRecord
from bench.report.names import csv as safe
from bench_trackers.content import metrics, parameters, provenance
from bench_trackers.hooks import Hooks
from bench_trackers.table import Row, Table


class CsvTracker:
    """Nothing is open between two calls, so that other runs may write to the same tables."""

    def __init__(self, folder: Path) -> None:
        self._cells, self._validations = Table(folder / "cells.csv"), Table(folder / "validations.csv")

    def knows(self, result: Result) -> bool:
        row = self._cells.last(result.cell_id)
        return row is not None and row["created"] == result.created

    def begin(self, cell: Cell) -> None:
        self._validations.put([], instead_of=cell.id)

    def validated(self, cell: Cell, records: Sequence[ValidationRecord]) -> None:
        about = {"id": cell.id, "label": cell.label, "metric": cell.stopping.name}
        self._validations.put(_rows([{**about, **record.model_dump()} for record in records]))

    def end(self, cell: Cell, result: Result) -> None:
        told = {"id": cell.id, "label": cell.label, **provenance(result), **parameters(cell), **metrics(result)}
        self._cells.put(_rows([told]), instead_of=cell.id)

    def close(self, interrupted: Sequence[Cell]) -> None:
        """Nothing is open."""


def _rows(told: Sequence[Mapping[str, object]]) -> list[Row]:
    """As texts, of which none is a formula to a spreadsheet."""
    return list(csv.DictReader(io.StringIO(safe(pd.DataFrame(told)), newline="")))


hooks = Hooks(CsvTracker)
