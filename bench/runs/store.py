"""The results folder: a folder per cell, whose ``result.json``, put in place last, is the commit.

::

    cells/ID/result.json                  the result; a folder without it is a cell that is not finished
             lists.parquet                the lists, without slots that break the contract
             per_user.parquet             metrics per user
             worker.log
             model/                       if models are kept
             work/                        checkpoints and epoch log, for the next attempt; gone when finished
             job/                         input and output of the worker; gone when it has ended
             claim.N                      who works at it (:mod:`bench.runs.claims`)
    leaderboards/                         tables as md, csv and json
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

from pydantic import ValidationError

from bench.errors import ResultsError
from bench.files import remove, sweep_drafts, write_text
from bench.messages.cell import Result
from bench.runs import claims

_log = logging.getLogger("bench")


class Store:
    """Cells under ``ROOT/cells`` and leaderboards under ``ROOT/leaderboards``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cells = root / "cells"
        self.leaderboards = root / "leaderboards"

    def open_for_writing(self) -> None:
        """Make the folders and remove what killed runs of this machine left behind, but for checkpoints."""
        self.cells.mkdir(parents=True, exist_ok=True)
        for folder in self.cells.iterdir():
            if folder.is_dir() and not folder.name.startswith(".") and not claims.is_claimed(folder):
                self._tidy(folder)

    def _tidy(self, folder: Path) -> None:
        sweep_drafts(folder)
        result = self.result(folder.name)
        if result is not None and result.status == "finished":
            leave_finished(folder)
        claims.clear(folder)
        with contextlib.suppress(OSError):  # it is not empty
            folder.rmdir()

    def path(self, cell_id: str) -> Path:
        """Folder of a cell."""
        return self.cells / cell_id

    def result(self, cell_id: str) -> Result | None:
        """The result of a cell; None if it has none, or a damaged one, which is told in a warning."""
        try:
            return self._read(cell_id)
        except (ResultsError, OSError) as error:
            _log.warning("warning: left out: %s", error)
            return None

    def _read(self, cell_id: str) -> Result | None:
        path = self.path(cell_id) / "result.json"
        try:
            found = Result.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            lines = str(error).splitlines()
            raise ResultsError(
                f"{path} is not a valid result ({' '.join(lines[1:3] or lines)}): run the cell again or remove it"
            ) from error
        if not cell_id == found.cell_id == found.cell.id:
            raise ResultsError(f"{path} is the result of another cell: remove {path.parent}")
        return found

    def results(self) -> list[Result]:
        """All results, oldest first; a damaged one is left out with a warning."""
        if not self.cells.is_dir():
            return []
        names = sorted(path.name for path in self.cells.iterdir() if path.is_dir() and path.name[0] != ".")
        found = [result for name in names if (result := self.result(name)) is not None]
        return sorted(found, key=lambda result: (result.created, result.cell_id))

    def commit(self, result: Result) -> None:
        """Put a result in place, the last step of a cell; a failed one never takes the place of a finished one."""
        folder = self.path(result.cell_id)
        before = self.result(result.cell_id) if result.status == "failed" else None
        if before is None or before.status == "failed":
            write_text(folder / "result.json", result.model_dump_json(indent=2) + "\n")
        if result.status == "finished":
            leave_finished(folder)
        else:
            remove(folder / "job")


def leave_finished(folder: Path) -> None:
    """Remove what only an unfinished cell needs."""
    for name in ("job", "work"):
        remove(folder / name)
