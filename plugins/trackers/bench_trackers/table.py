"""A table in a CSV file that grows at its end."""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bench.files import write_text

Row = dict[str, str]


class Table:
    """Rows that each have an ``id``, which several may share. Under a lock, so that several runs may write to one file.

    New rows are appended. The file is rewritten as a whole where they take the place of others or bring new columns.
    What a crash left of a last line counts for nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None
        """The version of the file that the following is true of."""
        self._columns: list[str] = []
        self._last: dict[str, Row] = {}
        self._whole = True

    def last(self, key: str) -> Row | None:
        """The last row of this id."""
        self._look()
        return self._last.get(key)

    def put(self, rows: Sequence[Row], instead_of: str | None = None) -> None:
        """Add rows, in the place of all those of the id ``instead_of``."""
        with self._locked():
            self._look()
            columns = list(dict.fromkeys([*self._columns, *(column for row in rows for column in row)]))
            gone = instead_of in self._last
            if gone or (rows and not (self._whole and columns == self._columns)):
                kept = [row for row in self._read()[1] if row["id"] != instead_of]
                write_text(self._path, _lines([*kept, *rows], columns, header=True))
            elif rows:
                self._append(rows)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_name(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _append(self, rows: Sequence[Row]) -> None:
        with self._path.open("ab") as file:
            file.write(_lines(rows, self._columns).encode())
            file.flush()
            os.fsync(file.fileno())
            self._seen = _version(file)
        self._last |= {row["id"]: row for row in rows}

    def _look(self) -> None:
        """Read the file, if it is not the one that was seen or written last."""
        try:
            with self._path.open("rb") as file:
                version = _version(file)
        except FileNotFoundError:
            version = None
        if version is None or version != self._seen:
            self._columns, rows, self._whole = self._read()
            self._last = {row["id"]: row for row in rows}
            self._seen = version

    def _read(self) -> tuple[list[str], list[Row], bool]:
        """Columns, whole rows, and whether there is nothing else."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return [], [], True
        lines = data[: data.rfind(b"\n") + 1]
        reader = csv.DictReader(io.StringIO(lines.decode(), newline=""))
        columns, rows = list(reader.fieldnames or []), list(reader)
        if within := lines.count(b'"') % 2 == 1:  # the last line break is one within a text
            rows.pop()
        return columns, rows, len(lines) == len(data) and not within


def _version(file: BinaryIO) -> tuple[int, ...]:
    facts = os.fstat(file.fileno())
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _lines(rows: Iterable[Row], columns: Sequence[str], *, header: bool = False) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
