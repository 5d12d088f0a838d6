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
    tuning/DATASET-FINGERPRINT-MODEL.json what tuning found; its trials are cells of tuning/cells
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import re
from collections.abc import Callable, Collection
from pathlib import Path

from pydantic import ValidationError

from bench.data.catalog import NAME
from bench.errors import ResultsError, plain
from bench.files import read_regular, remove, sweep_drafts, write_text
from bench.messages.cell import Result
from bench.runs import claims
from bench.runs.index import Index, Known, stamp

_log = logging.getLogger("bench")


LARGEST = 2**26
"""Bytes of a result that is read."""
_WAY_OUT = "run the cell again or remove it"


class Store:
    """Cells under ``ROOT/cells`` and leaderboards under ``ROOT/leaderboards``.

    Results of other folders, ``beside``, are read as if they were here, but for cells that are here too.
    """

    def __init__(self, root: Path, *beside: Path) -> None:
        self.root = root
        self.beside = [Store(other) for other in beside]
        self.cells = root / "cells"
        self.leaderboards = root / "leaderboards"
        self.left_out: list[str] = []
        """Which results cannot be read, and why: a line each, which is given once as a warning."""

    def open_for_writing(self) -> None:
        """Make the folders and remove what killed runs of this machine left behind, but for checkpoints."""
        self.cells.mkdir(parents=True, exist_ok=True)
        known = self.known()
        for folder in self.cells.iterdir():
            if folder.is_dir() and not folder.name.startswith(".") and not claims.is_claimed(folder):
                self._tidy(folder, folder.name in known and known[folder.name].finished)

    def _tidy(self, folder: Path, finished: bool) -> None:
        sweep_drafts(folder)
        if finished:
            leave_finished(folder)
        claims.clear(folder)
        with contextlib.suppress(OSError):  # it is not empty
            folder.rmdir()

    @property
    def roots(self) -> list[Path]:
        """All results folders that are read, its own first."""
        return [self.root, *(root for other in self.beside for root in other.roots)]

    def path(self, cell_id: str) -> Path:
        """Folder of a cell."""
        own = self.cells / cell_id
        if not (own / "result.json").exists():
            for other in self.beside:
                if (found := other.path(cell_id) / "result.json").exists():
                    return found.parent
        return own

    def result(self, cell_id: str) -> Result | None:
        """The result of a cell; None if it has none, or a damaged one, which is told in a warning."""
        try:
            return self._read(cell_id)
        except ResultsError as error:
            if str(error) not in self.left_out:
                _log.warning("warning: left out: %s", error)
                self.left_out.append(str(error))
            return None

    def _read(self, cell_id: str) -> Result | None:
        path = self.path(cell_id) / "result.json"
        try:
            found = Result.model_validate_json(read_regular(path, LARGEST))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ResultsError(f"{plain(str(path))} cannot be read ({error.strerror}): {_WAY_OUT}") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            what = plain(f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip(), 200)
            raise ResultsError(f"{plain(str(path))} is not a valid result ({what}): {_WAY_OUT}") from error
        if not cell_id == found.cell_id == found.cell.id:
            raise ResultsError(f"{plain(str(path))} is the result of another cell: remove its folder")
        if problem := _contradiction(found):
            raise ResultsError(f"{plain(str(path))} is not a valid result ({problem}): {_WAY_OUT}")
        return found

    def results(
        self,
        dataset: str | None = None,
        fingerprints: Collection[str] | None = None,
        models: Collection[str] | None = None,
    ) -> list[Result]:
        """All results, or those of a data set, of some fingerprints, or of some models; the latest is last.

        A damaged one is left out with a warning.
        """

        def wanted(known: Known) -> bool:
            named = dataset in (None, known.dataset) and (models is None or known.model in models)
            return named and (fingerprints is None or known.fingerprint in fingerprints)

        found: list[Result] = []
        self._look(wanted, found)
        return sorted(found, key=lambda result: (result.counts_from, result.cell_id))

    def known(self) -> dict[str, Known]:
        """What each valid result is of, by cell; those that the index knows are not read for that."""
        return self._look(lambda _: False, [])

    def _look(self, wanted: Callable[[Known], bool], found: list[Result]) -> dict[str, Known]:
        """What is known of all cells; results that are wanted are added to ``found``."""
        index, everything = Index(self.root), {}
        for name in sorted(self._names()):
            path = self.path(name) / "result.json"
            mark = stamp(path)  # before it is read: it may be replaced meanwhile
            known = index.get(path, mark)
            if known is None or wanted(known):
                result = self.result(name)
                if result is None:
                    continue
                known = index.put(path, mark, result)
                if wanted(known):
                    found.append(result)
            everything[name] = known
        index.save()
        return everything

    def _names(self) -> set[str]:
        """Of all cells, with and without a result."""
        own = self.cells.iterdir() if self.cells.is_dir() else ()
        names = {path.name for path in own if path.is_dir() and path.name[0] != "."}
        return names.union(*(other._names() for other in self.beside))

    def write(self, result: Result) -> None:
        """Put a result in the place of any before, whole or not at all."""
        write_text(self.cells / result.cell_id / "result.json", result.model_dump_json(indent=2) + "\n")

    def commit(self, result: Result, again: bool = False) -> None:
        """Put a result in place, the last step of a cell.

        Nothing takes the place of a finished one, but what finished when it was made ``again``, since the lists of the
        other were damaged.
        """
        folder = self.path(result.cell_id)
        before = self.result(result.cell_id)
        if before is None or before.status == "failed" or (again and result.status == "finished"):
            self.write(result)
        if result.status == "finished":
            leave_finished(folder)
        else:
            remove(folder / "job")


def _contradiction(result: Result) -> str | None:
    """What cannot be true in a result of the right form, in words."""
    cell = result.cell
    try:
        for moment in (result.created, result.counts_from):
            datetime.datetime.fromisoformat(moment)
    except ValueError:
        return "created is no date"
    if not re.fullmatch(NAME, cell.dataset):
        return "its data set has no name"
    if not re.fullmatch(r"[0-9a-f]{8,}", cell.fingerprint):
        return "its fingerprint is none"
    if result.stopped_by_budget and cell.time_budget is None:
        return "it was stopped by a time budget that it does not have"
    if result.status == "finished" and "all" not in result.groups:
        return "it has no group of all users"
    named = [name for group in result.groups.values() for name in (*group.metrics, *group.errors)]
    wrong = [name for name in named if not re.fullmatch(r"[a-z]+@[1-9][0-9]{0,8}", name)]
    return f"{plain(wrong[0], 60)} is no metric" if wrong else None


def leave_finished(folder: Path) -> None:
    """Remove what only an unfinished cell needs."""
    for name in ("job", "work"):
        remove(folder / name)
