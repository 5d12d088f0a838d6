"""Why a cell failed, in one line: what was raised, at which line of the plugin, and the wall if that was in the way."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator

from bench.errors import BenchError, one_line, place_of, plain

_FILES = (
    "the worker may not read or write there: it reads the files whose paths its config names, and writes into "
    "context.folder (docs/model.md); --unconfined lifts this"
)
_NET = "the worker has no network: 'bench models fetch' fetches before a run (docs/model.md); --unconfined lifts this"
_HOME = "the worker has a home of its own: name the file in the config by its whole path (docs/model.md)"


def reason_of(error: BaseException, package: str) -> str:
    """What ended a job of a model of the top-level ``package``."""
    place = place_of(error, package)
    if isinstance(error, MemoryError):
        return f"out of memory: {plain(str(error)) or 'no more address space'}{place}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full: {one_line(error)}{place}"
    wall = "" if isinstance(error, BenchError) else _wall(error)
    return f"{one_line(error)}{place}{wall and f'; {wall}'}"


def _wall(error: BaseException) -> str:
    """What the worker was not allowed, if that is why; empty otherwise."""
    held = os.environ.get("BENCH_CONFINED", "")
    if not held.startswith("Landlock"):
        return ""
    for one in _chain(error):
        path = os.fsdecode(one.filename) if isinstance(one.filename, str | bytes) else ""
        if isinstance(one, PermissionError) and path:
            return _FILES
        if isinstance(one, PermissionError | socket.gaierror) and "TCP" in held and not path:
            return _NET
        if isinstance(one, FileNotFoundError) and path.startswith(f"{os.environ['HOME']}/"):
            return _HOME
    return ""


def _chain(error: BaseException) -> Iterator[OSError]:
    """The system's errors among an error, what it wraps, and what it was raised from."""
    seen: list[BaseException] = []
    todo: list[object] = [error]
    while todo:
        one = todo.pop(0)
        if isinstance(one, BaseException) and not any(one is other for other in seen):
            seen.append(one)
            todo += [vars(one).get("reason"), one.__cause__, one.__context__]  # the first is urllib's
            if isinstance(one, OSError):
                yield one
