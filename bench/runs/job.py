"""One cell in one worker: give it its input, follow its events, and say how it ended."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from bench.data.visible import VisibleSplit
from bench.errors import PluginError, one_line, plain
from bench.files import cache_folder, remove
from bench.interactions import save_array
from bench.messages import events
from bench.messages.cell import Cell, ValidationRecord
from bench.messages.events import Confined, Failed, Progress, Validated, WorkerEvent
from bench.messages.job import JobFolders, Outcome, Request
from bench.runs.outputs import adopt, clean, link_tree, read_output
from bench.runs.process import Child, Rights, await_end, verdict
from bench.worker.kept import read_entry

_LONGEST_LINE = 2**16
_LAST_WORDS = 2.0
"""Seconds to wait for the end of the events, which a process that outlived the guardian may hold open."""
_PROGRESS_EVERY = 0.02
"""Seconds between two events of progress that are told; what comes sooner is dropped."""
_MOST_EVENTS = 100_000
"""Other events that are told of one worker."""
_ENTRY = re.compile(r"[a-z0-9][a-z0-9-]{0,60}-[0-9a-f]{24}")
"""The name of a kept intermediate result."""


@dataclass(frozen=True)
class Limits:
    """What a worker may use."""

    timeout: float | None = None
    """Seconds of wall time."""
    memory: int | None = None
    """Bytes of address space."""
    threads: int = 1
    """CPU threads of numerical libraries, of all processes together."""
    processes: int = 1
    """That train together. They need local connections, which leave the net open."""
    confine: bool = True
    """Whether it is confined where the system can do it."""
    closed: tuple[Path, ...] = ()
    """Files that it must not reach, such as raw data inside a package."""

    @property
    def hardware(self) -> dict[str, int]:
        """What a row says of them."""
        return {"threads": self.threads} | ({"processes": self.processes} if self.processes > 1 else {})


@dataclass(frozen=True)
class Ended:
    """How a worker ended."""

    reason: str | None
    """Why it failed; None if it did not."""
    outcome: Outcome
    """What it said at last; what is known of it if it said nothing."""
    held: str
    """What the system held it to."""
    hardware: dict[str, Any] | None = None
    """Of the machine that it ran on; None for this one."""
    kwh: float | None = None
    """That the machine took meanwhile; None if it was not measured."""


@dataclass
class Job:
    """A worker that runs a cell below ``root``: ``root/in``, ``root/out``, and ``work`` beside it."""

    cell: Cell
    interpreter: str
    root: Path
    work: Path
    split: VisibleSplit
    limits: Limits
    model: Path | None = None
    """Folder of a saved model that it may read."""
    validations: list[ValidationRecord] = field(default_factory=list)
    held: str = ""
    said: str = ""
    """Reason of a failure, as the worker told it while it could."""
    over: bool = False
    """Whether the worker has ended, and nothing more is to be told of it."""

    def __post_init__(self) -> None:
        """Say where its folders are; nothing is made yet."""
        kept = cache_folder() / "kept" / self.cell.code[:24]
        self.folders = JobFolders(
            input=self.root / "in",
            output=self.root / "out",
            work=self.work,
            split_arrays=kept / f"split-{self.split.content[:24]}",
            text_arrays=kept / f"texts-{self.split.texts_hash[:24]}",
        )
        self.folders = JobFolders(*(path.absolute() for path in self.folders))
        own = [self.folders.output, self.folders.work]
        reads = [self.folders.input, self.folders.split_arrays, self.folders.text_arrays]
        reads += [self.model.absolute()] if self.model else []
        limits, together = self.limits, self.limits.processes > 1
        rights = Rights([*reads, *self._named_paths()], own, self._closed(), network=together, confine=limits.confine)
        threads = max(1, limits.threads // limits.processes)
        self.child = Child(self.interpreter, "bench.worker.run", rights, threads)

    def run(self, request: Request, users: NDArray[np.int64], tell: Callable[[WorkerEvent], None]) -> Ended:
        """Run the worker to its end; ``tell`` gets its events. What it kept is taken over, however it ended."""
        self._give(request, users)
        read, write = os.pipe()
        with (self.root.parent / "worker.log").open("wb") as log:
            started = self.child.start(self.folders.input, self.folders, log, write)
        os.close(write)
        reader = threading.Thread(target=self._read, args=(read, tell), daemon=True)
        reader.start()
        late, status = None, -9
        try:
            if started:
                status = self.child.wait(self.limits.timeout)
        except subprocess.TimeoutExpired:
            late = f"timeout after {self.limits.timeout:g} s"
        self.child.end()
        reader.join(_LAST_WORDS)
        self.over = True
        self._keep()
        outcome = self._outcome()
        if late or not started:
            return Ended(late or "interrupted", outcome, self.held)
        if outcome.status == "done" and status == 0:
            return Ended(None, outcome, self.held)
        said = self.said or (outcome.reason if outcome.phases else None)
        if not said and status == 0 and outcome.reason:
            said = f"{verdict(status)}, but {outcome.reason}"
        return Ended(plain(said) if said else verdict(status), outcome, self.held)

    def end(self) -> None:
        """End the worker, if it still runs."""
        self.child.end()

    def found(self) -> Outcome | None:
        """The outcome of an earlier attempt whose parent was killed before it could take it."""
        if not (self.folders.output / "outcome.json").exists():
            return None
        self._keep()
        outcome = self._outcome()
        return outcome if outcome.status == "done" else None

    def _give(self, request: Request, users: NDArray[np.int64]) -> None:
        await_end(self.folders.input)  # of an earlier attempt whose parent was killed
        self._keep()  # what it made
        remove(self.root)
        clean(self.folders.work)
        for folder in self.folders:
            folder.mkdir(parents=True, exist_ok=True)
        link_tree(self.split.path, self.folders.input / "split")
        save_array(self.folders.input / "users.npy", users)
        (self.folders.input / "request.json").write_text(request.model_dump_json(), encoding="utf-8")

    def _keep(self) -> None:
        """Commit the intermediate results that the worker made, unless somebody else has made the same meanwhile."""
        targets = {"split": self.folders.split_arrays, "texts": self.folders.text_arrays}
        for name, target in targets.items():
            made = self.folders.output / "kept" / name
            if made.is_symlink() or not made.is_dir():
                continue
            for entry in filter(lambda entry: _ENTRY.fullmatch(entry.name), list(made.iterdir())):
                with contextlib.suppress(PluginError, OSError, ValueError):  # a bad one is simply not kept
                    read_entry(entry)
                    if not _is_whole(target / entry.name):
                        adopt(entry, target / entry.name)

    def _outcome(self) -> Outcome:
        try:
            return Outcome.model_validate_json(read_output(self.folders.output / "outcome.json"))
        except (PluginError, ValidationError) as error:
            reason = one_line(error) if isinstance(error, PluginError) else "the worker's outcome.json is not valid"
            return Outcome(status="failed", reason=self.said or reason, validations=self.validations)

    def _read(self, pipe: int, tell: Callable[[WorkerEvent], None]) -> None:
        told, last = 0, 0.0
        with os.fdopen(pipe, "rb") as lines:
            while line := lines.readline(_LONGEST_LINE):
                try:
                    event = events.parse(line)
                except ValidationError:  # the worker died within the line, or the plugin writes here
                    continue
                now = time.monotonic()
                late = told >= _MOST_EVENTS if not isinstance(event, Progress) else now - last < _PROGRESS_EVERY
                if self.over or late:
                    continue
                if isinstance(event, Progress):
                    last = now
                told += not isinstance(event, Progress)
                self._note(event)
                tell(event)

    def _note(self, event: WorkerEvent) -> None:
        if isinstance(event, Confined):
            self.held = self.held or plain(event.held)
        elif isinstance(event, Failed):
            self.said = event.reason
        elif isinstance(event, Validated):
            record = event.model_dump(include=set(ValidationRecord.model_fields))
            self.validations.append(ValidationRecord.model_validate(record))

    def _named_paths(self) -> list[Path]:
        """Files and folders that the config names, such as a backbone's; none that holds prepared or raw data."""
        found = []
        for value in self.cell.config.values():
            path = existing_path(value)
            if path and not any(path.is_relative_to(data) or data.is_relative_to(path) for data in self._closed()):
                found.append(path)
        return found

    def _closed(self) -> list[Path]:
        """Where prepared data, raw data and results lie."""
        raw = os.environ.get("BENCH_RAW_DIR")
        results = [path for path in self.root.absolute().parents if path.name == "cells"][:1]
        return [cache_folder().resolve(), *([Path(raw).resolve()] if raw else []), *results, *self.limits.closed]


def existing_path(value: Any) -> Path | None:
    """The absolute path that a value of a config is, if there is something at it."""
    if not (isinstance(value, str) and os.sep in value):
        return None
    try:
        path = Path(value).resolve()
        return path if path.exists() and path != Path(path.anchor) else None
    except (OSError, ValueError, RuntimeError):  # a text that begins like a path
        return None


def _is_whole(entry: Path) -> bool:
    try:
        read_entry(entry)
    except (OSError, ValueError):
        return False
    return True
