"""Two tables: ``cells.csv`` with a row for each cell that has a result, and ``validations.csv``."""

from __future__ import annotations

import csv
import fcntl
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from bench.files import write_text
from bench.messages.cell import Cell, Result, ValidationRecord
from bench.report.names import csv as safe
from bench_trackers.content import metrics, parameters, provenance
from bench_trackers.hooks import Hooks

Row = dict[str, str]


class CsvTracker:
    """Rewrites a table as a whole, so that a reader never sees a part of it, under a lock, so that runs share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def knows(self, result: Result) -> bool:
        return any(
            (row["id"], row["created"]) == (result.cell_id, result.created) for row in _read(self._folder / "cells.csv")
        )

    def begin(self, cell: Cell) -> None:
        with self._changed("validations.csv") as rows:
            rows[:] = [row for row in rows if row["id"] != cell.id]

    def validated(self, cell: Cell, record: ValidationRecord) -> None:
        with self._changed("validations.csv") as rows:
            told = {"id": cell.id, "label": cell.label, "metric": cell.stopping.name, **record.model_dump()}
            rows.append(_row(told))

    def end(self, cell: Cell, result: Result) -> None:
        told = {"id": cell.id, "label": cell.label, **provenance(result), **parameters(cell), **metrics(result)}
        with self._changed("cells.csv") as rows:
            rows[:] = [row for row in rows if row["id"] != cell.id]
            rows.append(_row(told))

    def close(self, interrupted: Sequence[Cell]) -> None:
        """Nothing is open."""

    @contextmanager
    def _changed(self, name: str) -> Iterator[list[Row]]:
        """The rows of a table, which are written when the block has changed them."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            rows = _read(self._folder / name)
            before = list(rows)
            yield rows
            if rows == before:
                return
            columns = dict.fromkeys(column for row in rows for column in row)
            text = io.StringIO()
            writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            write_text(self._folder / name, text.getvalue())


def _read(path: Path) -> list[Row]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []


def _row(told: Mapping[str, object]) -> Row:
    """As texts, of which none is a formula to a spreadsheet."""
    return next(csv.DictReader(io.StringIO(safe(pd.DataFrame([told])))))


hooks = Hooks(CsvTracker)
