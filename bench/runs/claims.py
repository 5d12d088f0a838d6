"""Who works at a cell: a claim is a file in the cell's folder, so that several runs share the work.

Claims are numbered. The holder is the one with the highest number; taking over from a dead holder is making the next
number, which the file system lets only one process do (O_EXCL). A holder of this machine is dead when its process is
gone, or the machine was started anew; one of another machine when its file was not touched for a while.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.files import HOST, alive, read_regular, remove

STALE = 600.0
"""Seconds without a heartbeat after which a claim of another machine is dead."""
HEARTBEAT = 30.0
"""Seconds between two heartbeats."""
_HALF_WRITTEN = 2.0
"""Seconds after which a claim without content is that of a process that died while it wrote it."""


@dataclass(frozen=True)
class Claim:
    """A claim that this process holds."""

    path: Path

    @property
    def lost(self) -> bool:
        """Whether another run has taken the cell over, as from a machine that was away for a while.

        Then it holds the cell, or has left a result there. A model that removes its own folder has lost nothing.
        """
        others = (_number(other) for other in self.path.parent.glob("claim.*"))
        left = not self.path.exists() and (self.path.parent / "result.json").exists()
        return left or max(others, default=0) > _number(self.path)

    def release(self) -> None:
        """Give it up, and remove what dead holders before it left."""
        for path in self.path.parent.glob("claim.*"):
            if _number(path) < _number(self.path) and not _holder(path):
                remove(path)
        self.give_way()

    def give_way(self) -> None:
        """Give it up to another holder."""
        self.path.unlink(missing_ok=True)
        _mine.discard(self.path.absolute())


@dataclass(frozen=True)
class Held:
    """The claim of another run."""

    holder: str
    """Host and process id."""


def claim(folder: Path) -> Claim | Held:
    """Claim the cell of ``folder``, which is made if it is not there, unless a live run holds it."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)  # another run may tidy an empty folder away
        last = max(folder.glob("claim.*"), key=_number, default=None)
        if last is not None and (holder := _holder(last)):
            return Held(holder)
        number = _number(last) + 1 if last else 1
        path = folder / f"claim.{number}"
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except (FileExistsError, FileNotFoundError):  # another run was faster: look again
            continue
        _mine.add(path.absolute())
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(_identity(os.getpid()), file)
        # Numbers begin anew after a release, so that another run may have made another one meanwhile. Who sees one
        # gives way; if both do, the next look decides.
        others = [other for other in folder.glob("claim.*") if other != path]
        if holder := next(filter(None, map(_holder, others)), ""):
            Claim(path).give_way()
            return Held(holder)
        return Claim(path)


_mine: set[Path] = set()
"""Claims of this process; one that is not here was left by an interrupted call, and is nobody's."""


def is_claimed(folder: Path) -> bool:
    """Whether a live run, this one included, works at the cell of ``folder``."""
    last = max(folder.glob("claim.*"), key=_number, default=None)
    return last is not None and bool(_holder(last))


def release_all(folders: Iterable[Path]) -> None:
    """Give up what this process holds of these cells, also what an interruption left between two steps."""
    for folder in folders:
        for path in list(_mine):
            if path.parent == folder.absolute():
                path.unlink(missing_ok=True)
                _mine.discard(path)
        clear(folder)


def clear(folder: Path) -> None:
    """Remove the claims of dead runs, unless a live run has claimed the cell, which does it in the end.

    Under a claim: numbers begin anew after a release, so that one looked at could be another one when it is removed.
    """
    if any(folder.glob("claim.*")) and isinstance(held := claim(folder), Claim):
        held.release()


class Heart:
    """Touches claims from a thread while they are held."""

    def __init__(self) -> None:
        self.claims: set[Claim] = set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Heart:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stopped.wait(HEARTBEAT):
            for held in list(self.claims):
                with contextlib.suppress(OSError):  # released meanwhile, or a shared folder that is away for a moment
                    os.utime(held.path)


def _number(path: Path) -> int:
    suffix = path.name.partition(".")[2]
    return int(suffix) if re.fullmatch("[0-9]{1,18}", suffix) else 0


def _holder(path: Path) -> str:
    """Who holds the claim, in words; empty if nobody does any more."""
    try:
        told: dict[str, Any] = json.loads(read_regular(path, 2**16))
        host, boot, pid, started = told["host"], told["boot"], int(told["pid"]), told["started"]
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return ""
    except (ValueError, KeyError, TypeError, RecursionError, OSError):  # half-written, or no claim at all
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime < _HALF_WRITTEN:
                return "a run that has just begun"
        return ""
    own = _identity(os.getpid())
    if host == own["host"]:
        lives = boot == own["boot"] and alive(pid) and _started(pid) == started
        lives = lives and (pid != own["pid"] or path.absolute() in _mine)
    else:
        lives = age < STALE
    return f"process {pid} of {host}" if lives else ""


def _identity(pid: int) -> dict[str, Any]:
    return {"host": HOST, "boot": _boot_id(), "pid": pid, "started": _started(pid)}


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process was started, so that another one with its number is not taken for it; empty if not known."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
