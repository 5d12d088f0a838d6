"""What thousands of result files hold, in short, so that not all of them are read for one table.

The index of a results folder is a file of the cache. It is made of the results alone, speaks of a file only as long as
that file is the one that was read (by inode, size and times), and may be removed at any time.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from bench.files import cache_folder, content_hash, read_regular, write_text
from bench.messages.cell import Result
from bench.strict import Strict

LARGEST = 2**28
"""Bytes of an index that is read."""
WORTHWHILE = 200
"""Cells of a results folder that has an index; fewer are read in a blink."""


class Known(Strict):
    """Of a valid result."""

    stamp: str
    model: str
    dataset: str
    fingerprint: str
    finished: bool


Content = TypeVar("Content")
_ENTRIES = TypeAdapter(dict[str, Known])


class Index:
    """The index of the results folder ``root``."""

    def __init__(self, root: Path) -> None:
        self.file = index_file(root, "cells")
        self.entries: dict[str, Known] = read(self.file, _ENTRIES) or {}
        self._seen: dict[str, Known] = {}

    def get(self, path: Path, mark: str) -> Known | None:
        """What is known of the result file ``path``, whose stamp is ``mark``."""
        found = self.entries.get(str(path))
        if found is None or found.stamp != mark:
            return None
        self._seen[str(path)] = found
        return found

    def put(self, path: Path, mark: str, result: Result) -> Known:
        """Note what was read of ``path``; its stamp was ``mark`` before."""
        cell = result.cell
        found = Known(
            stamp=mark,
            model=cell.model,
            dataset=cell.dataset,
            fingerprint=cell.fingerprint,
            finished=result.status == "finished",
        )
        self._seen[str(path)] = found
        return found

    def save(self) -> None:
        """Keep what was seen since it was read, and nothing else."""
        if self._seen != self.entries and len(self._seen) >= WORTHWHILE:
            write(self.file, _ENTRIES.dump_json(self._seen).decode())


def index_file(root: Path, what: str) -> Path:
    """Where the cache keeps what is known of a results folder."""
    return cache_folder() / "index" / f"{content_hash(str(root.resolve()))[:24]}-{what}.json"


def stamp(path: Path) -> str:
    """Tells a file from any other that was at its path before; empty if there is none."""
    try:
        facts = path.stat()
    except OSError:
        return ""
    return f"{facts.st_dev}-{facts.st_ino}-{facts.st_size}-{facts.st_mtime_ns}-{facts.st_ctime_ns}"


def read(file: Path, kind: TypeAdapter[Content]) -> Content | None:
    """The content of an index; None if there is none, or a damaged one."""
    try:
        return kind.validate_json(read_regular(file, LARGEST))
    except (OSError, ValidationError):
        return None


def write(file: Path, text: str) -> None:
    """Write an index, if there is room: all works without."""
    with contextlib.suppress(OSError):
        write_text(file, text)
