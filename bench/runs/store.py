"""The results folder: one folder per cell, each whole or absent."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from bench.errors import BenchError
from bench.files import write_text
from bench.runs.cell import Result


class Store:
    """Cells under ``ROOT/cells`` and leaderboards under ``ROOT/leaderboards``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cells = root / "cells"
        self.work = self.cells / ".work"
        """Working folders of cells that are not finished, by cell id."""
        self.leaderboards = root / "leaderboards"

    def open_for_writing(self) -> None:
        """Make the folders and sweep away what a killed run of this machine left behind."""
        self.cells.mkdir(parents=True, exist_ok=True)
        for draft in self.cells.glob(f".*.{socket.gethostname()}-*"):
            pid = draft.name.rsplit("-", 2)[1]
            if pid.isdigit() and not _alive(int(pid)):
                self._keep_work(draft.name[1:].split(".")[0], draft)
                shutil.rmtree(draft, ignore_errors=True)

    def path(self, cell_id: str) -> Path:
        """Folder of a cell."""
        return self.cells / cell_id

    def result(self, cell_id: str) -> Result | None:
        """The result of a cell, or None if it was never run.

        Raises
        ------
        BenchError
            If the file cannot be read or is not a result.
        """
        path = self.path(cell_id) / "result.json"
        try:
            return Result.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValidationError, UnicodeDecodeError) as error:
            lines = str(error).splitlines()
            raise BenchError(
                f"{path} is not a valid result ({' '.join(lines[1:3] or lines)}): move the folder {path.parent} away "
                "and run the cell again"
            ) from error

    def results(self) -> list[Result]:
        """All results, oldest first."""
        if not self.cells.is_dir():
            return []
        names = sorted(path.name for path in self.cells.iterdir() if path.is_dir() and not path.name.startswith("."))
        found = [result for name in names if (result := self.result(name)) is not None]
        return sorted(found, key=lambda result: (result.created, result.cell_id))

    def replace(self, result: Result) -> None:
        """Write a result anew, for a cell whose other files are in place."""
        write_text(self.path(result.cell_id) / "result.json", result.model_dump_json(indent=2) + "\n")

    @contextmanager
    def draft(self, cell_id: str) -> Iterator[Path]:
        """A folder for a cell in the making; it takes the place of the cell's folder when the block ends well.

        Only that of a finished one is not given to a failed one.

        Its folder ``work`` has the files that an attempt before left there; those that are there when the block ends,
        however it ends, are kept for the next one. Of two attempts at a time one has them and the other starts anew.
        """
        folder = self._temporary(cell_id)
        try:
            with contextlib.suppress(FileNotFoundError):
                (self.work / cell_id).rename(folder)  # onto an empty folder, so that it is taken as a whole or not
            (folder / "work").mkdir(exist_ok=True)
            try:
                yield folder
            finally:
                self._keep_work(cell_id, folder)
            folder.chmod(0o755)
            if _status(folder) != "failed" or _status(self.path(cell_id)) != "finished":
                self._put(folder, self.path(cell_id))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def forget_work(self, cell_id: str, draft: Path | None = None) -> None:
        """Delete the working files of a cell that is finished: in its draft, and what another attempt may have left."""
        for folder in (self.work / cell_id, *([draft / "work"] if draft else [])):
            shutil.rmtree(folder, ignore_errors=True)

    def _keep_work(self, cell_id: str, draft: Path) -> None:
        """Move the working files of ``draft``, if there are any, to where the next attempt finds them."""
        parts = [draft / "work", draft / "epochs.jsonl"]
        if any(files for _, _, files in os.walk(parts[0])):
            self.work.mkdir(exist_ok=True)
            kept = self._temporary(cell_id)
            with contextlib.suppress(FileNotFoundError):  # another process sweeps it, or there was no epoch yet
                for part in parts:
                    part.rename(kept / part.name)
            if any(kept.iterdir()):
                self._put(kept, self.work / cell_id)
            shutil.rmtree(kept, ignore_errors=True)
        shutil.rmtree(parts[0], ignore_errors=True)
        parts[1].unlink(missing_ok=True)

    def _temporary(self, cell_id: str) -> Path:
        """A new folder that is swept away if this process dies."""
        prefix = f".{cell_id}.{socket.gethostname()}-{os.getpid()}-"
        return Path(tempfile.mkdtemp(prefix=prefix, dir=self.cells)).absolute()

    def _put(self, folder: Path, target: Path) -> None:
        """Rename ``folder`` to ``target``; a cell that failed before, or that another run made meanwhile, makes way."""
        while True:
            try:
                folder.rename(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            else:
                return
            old = self._temporary(target.name)
            with contextlib.suppress(FileNotFoundError):
                target.rename(old / "old")
            shutil.rmtree(old, ignore_errors=True)


def _status(folder: Path) -> str | None:
    """Of the result in ``folder``; None if there is none that can be read."""
    try:
        status: str = json.loads((folder / "result.json").read_text(encoding="utf-8"))["status"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return status


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
