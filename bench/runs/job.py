"""One cell in one child process: start it, follow its events, end it whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.dataset import VisibleSplit, save_array
from bench.files import write_json
from bench.runs.cell import Cell

Event = dict[str, Any]

_HIDDEN_FROM_WORKERS = ("BENCH_RAW_DIR", "BENCH_CACHE_DIR")


@dataclass(frozen=True)
class Limits:
    """What a worker may use."""

    timeout: float | None = None
    """Seconds of wall time."""
    memory: int | None = None
    """Bytes of address space."""
    threads: int = 1
    """CPU threads of numerical libraries."""


@dataclass(frozen=True)
class Demand:
    """What a worker is to do for whom."""

    users: NDArray[np.int64]
    """(n,) whom to recommend to."""
    k: int
    """Length of the lists."""
    save_model: bool = False
    load: Path | None = None
    """The folder of a saved model, which is loaded instead of training one."""
    explain: bool = False
    """Whether the model is asked to explain its lists, in ``explanations.json``."""


@dataclass
class Job:
    """A cell that is being run."""

    cell: Cell
    interpreter: str
    folder: Path
    limits: Limits
    outcome: Event = field(default_factory=lambda: {"event": "lost"})
    """The worker's last word: its ``done`` or ``failed`` event."""
    validations: list[Event] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None
    _killed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, split: VisibleSplit, demand: Demand, tell: Callable[[Event], None]) -> str | None:
        """Run the worker to its end; ``tell`` gets its events. Returns why it failed, or None.

        Its working folder is ``work`` in :attr:`folder`, and has to be there.
        """
        self._write(split, demand)
        read, write = os.pipe()
        with (self.folder / "worker.log").open("wb") as log, self._lock:
            if self._killed:
                return "interrupted"
            self._process = subprocess.Popen(
                [self.interpreter, "-m", "bench.runs.worker", str(self.folder), str(write)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[write],
                cwd=self.folder / "work",
                start_new_session=True,
                env=self._environment(),
            )
        os.close(write)
        reader = threading.Thread(target=self._read, args=(read, tell))
        reader.start()
        late = None
        try:
            status = self._process.wait(self.limits.timeout)
        except subprocess.TimeoutExpired:
            late = f"timeout after {self.limits.timeout:g} s"
            self.kill()
            status = self._process.wait()
        self.kill()  # children that the worker left behind; they may hold the pipe open
        reader.join()
        return late or self._verdict(status)

    def kill(self) -> None:
        """Kill the worker, if it still runs, and all its children."""
        with self._lock:
            self._killed = True
            if self._process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def _write(self, split: VisibleSplit, demand: Demand) -> None:
        save_array(self.folder / "users.npy", demand.users)
        write_json(
            self.folder / "job.json",
            {
                "cell": self.cell.model_dump(mode="json"),
                "split": str(split.path),
                "memory_limit": self.limits.memory,
                "k": demand.k,
                "save_model": demand.save_model,
                "load": str(demand.load) if demand.load else None,
                "explain": demand.explain,
            },
        )

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if key not in _HIDDEN_FROM_WORKERS}
        threads = str(self.limits.threads)
        numerical = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
        return {**kept, **numerical, "PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1"}

    def _read(self, pipe: int, tell: Callable[[Event], None]) -> None:
        with os.fdopen(pipe, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    event: Event = json.loads(line)
                except ValueError:  # the worker died within a line
                    continue
                if event["event"] in ("done", "failed"):
                    self.outcome = event
                elif event["event"] == "validation":
                    self.validations.append({key: event[key] for key in ("stage", "epoch", "score", "improved")})
                tell(event)

    def _verdict(self, status: int) -> str | None:
        if self.outcome["event"] == "done" and status == 0:
            return None
        if self.outcome["event"] == "failed":
            return str(self.outcome["reason"])
        if status < 0:
            name = signal.Signals(-status).name
            hint = " (out of memory, or killed from outside)" if name == "SIGKILL" else ""
            return f"killed by {name}{hint}"
        return f"the worker ended with exit status {status}"
