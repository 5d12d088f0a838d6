"""Start a module in a child process behind the wall, and end it with all that it started."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from bench.files import HOST, alive, content_hash, remove
from bench.isolated import VARIABLE
from bench.runs.log import Log
from bench.worker.bootstrap import CANNOT_CONFINE

_BOOTSTRAP = Path(__file__).parents[1] / "worker" / "bootstrap.py"
_HIDDEN = ("BENCH_RAW_DIR", "BENCH_CACHE_DIR")
"""Settings of the parent that would lead a worker to data."""
_PREFIX = f"benchw-{content_hash(HOST)[:8]}-"
"""Of scratch folders, short since sockets lie in them; the id of the process that made one stands behind it."""
_GRACE = 10.0
"""Seconds that the guardian of a worker has to end everything before it is killed itself."""
_LAST_WORDS = 2.0
"""Seconds to wait for the end of the log, which a process that outlived the guardian may hold open."""


@dataclass(frozen=True)
class Rights:
    """What a child may do where the system can confine it."""

    read: Sequence[Path] = ()
    write: Sequence[Path] = ()
    closed: Sequence[Path] = ()
    """Folders that it should not reach: it says so where one lies in what every child can read."""
    network: bool = False
    confine: bool = True


@dataclass
class Child:
    """A module that runs, or ran, in a process of its own.

    Its first process is a guardian (:mod:`bench.worker.bootstrap`), which kills everything that the module has started
    when the module ends, when this process ends, or when it is asked to.
    """

    interpreter: str
    module: str
    rights: Rights
    threads: int = 1
    gpus: Sequence[str] = ()
    """That it may see, by their names in ``CUDA_VISIBLE_DEVICES``; empty: those that this process sees."""
    _process: subprocess.Popen[bytes] | None = None
    _log: Log | None = None
    _scratch: Path | None = None
    _ended: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, folder: Path, arguments: Sequence[str | Path], log: IO[bytes], events: int | None = None) -> bool:
        """Start it; ``folder`` takes ``process.json``. False if :meth:`end` was called before.

        ``log`` gets what it prints, within the bounds of :mod:`bench.runs.log`, and is whole after :meth:`end`.
        ``events`` is a file descriptor that the child inherits, and gets as its last argument.
        """
        if events is None:
            with Path(os.devnull).open("wb") as nowhere:
                return self._start(folder, arguments, log, nowhere.fileno())
        return self._start(folder, [*arguments, str(events)], log, events)

    def _start(self, folder: Path, arguments: Sequence[str | Path], log: IO[bytes], events: int) -> bool:
        scratch = Path(tempfile.mkdtemp(prefix=scratch_prefix()))
        told = {
            "module": self.module,
            "arguments": [*map(str, arguments)],
            "events": events,
            "confine": self.rights.confine,
            "network": self.rights.network,
            "read": [str(path.absolute()) for path in self.rights.read],
            "write": [str(path.absolute()) for path in self.rights.write],
            "scratch": str(scratch),
            "closed": [str(path.absolute()) for path in self.rights.closed],
        }
        (folder / "process.json").write_text(json.dumps(told), encoding="utf-8")
        with self._lock:
            if self._ended:
                remove(scratch)
                return False
            self._scratch = scratch
            said, end = os.pipe()
            self._log = Log(said, os.dup(log.fileno()))
            try:
                self._process = subprocess.Popen(
                    [self.interpreter, "-P", str(_BOOTSTRAP), str((folder / "process.json").absolute())],
                    stdin=subprocess.PIPE,
                    stdout=end,
                    stderr=subprocess.STDOUT,
                    pass_fds=[events],
                    cwd=scratch,
                    start_new_session=True,
                    env=self._environment(),
                )
            except OSError:
                remove(scratch)
                raise
            finally:
                os.close(end)
        return True

    def wait(self, timeout: float | None = None) -> int:
        """Exit status, negative for a signal.

        Raises
        ------
        subprocess.TimeoutExpired
            If it runs longer than ``timeout`` seconds; it is still running then.
        """
        assert self._process is not None
        return self._process.wait(timeout)

    def end(self) -> None:
        """Kill it, if it still runs, and all that it started; returns when they are gone."""
        with self._lock:
            self._ended = True
            process = self._process
            if process is None:
                return
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()  # the guardian reads this as the end
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if self._log is not None:
                self._log.join(_LAST_WORDS)
            if self._scratch is not None:
                remove(self._scratch)  # the guardian has done it, unless it was killed

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in environment_of(self.interpreter).items() if key not in _HIDDEN}
        if "PYTHONPATH" in kept:  # the child has another working directory
            parts = [part for part in kept["PYTHONPATH"].split(os.pathsep) if part]
            kept["PYTHONPATH"] = os.pathsep.join(os.path.abspath(part) for part in parts)  # noqa: PTH100
        threads = str(self.threads)
        numerical = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
        # Threads of OpenMP that spin long take the cores of a busy machine from those that they wait for. Not at all
        # costs a quiet machine something (benchmarks/busy_neighbour.py).
        kept.setdefault("GOMP_SPINCOUNT", "1000")
        kept |= {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)} if self.gpus else {}
        return {**kept, **numerical, "PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1"}


def environment_of(interpreter: str) -> dict[str, str]:
    """Variables for a process of ``interpreter``, which sees no other environment of plugins than its own."""
    kept = {**os.environ, VARIABLE: ""}
    if interpreter != sys.executable:  # these would lead it back into this one
        kept = {key: value for key, value in kept.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    return kept


def run_to_end(
    child: Child, folder: Path, arguments: Sequence[str | Path], timeout: float | None = None
) -> tuple[int | None, list[str]]:
    """Run ``child`` with its ``process.json`` and log in ``folder``: its exit status, and the lines that it printed.

    The status is None if it did not end within ``timeout`` seconds; it is killed then.
    """
    with (folder / "log").open("w+b") as log:
        try:
            child.start(folder, arguments, log)
            status = child.wait(timeout)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            child.end()
        log.seek(0)
        return status, log.read().decode("utf-8", "replace").strip().splitlines()


KILLED = "killed by SIGKILL (out of memory, or killed from outside)"
"""What is said of a process that the kernel, as a rule, has ended."""


def verdict(status: int) -> str:
    """An exit status in words."""
    if status == CANNOT_CONFINE:
        return "the worker cannot be confined on this machine, its log says why: fix that, or give --unconfined"
    if status >= 0:
        return f"the worker ended with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:  # a real-time signal
        name = f"signal {-status}"
    return KILLED if name == "SIGKILL" else f"killed by {name}"


def await_end(folder: Path) -> None:
    """Wait until nothing runs any more of a child whose ``process.json`` is in ``folder`` and whose parent is gone.

    Its guardian ends it, and keeps a lock on that file until then.
    """
    end = time.monotonic() + _GRACE
    with contextlib.suppress(FileNotFoundError), (folder / "process.json").open("rb") as file:
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(0.01)


def scratch_prefix() -> str:
    """Of the names of scratch folders that this process makes."""
    return f"{_PREFIX}{os.getpid()}-"


def sweep_scratch() -> None:
    """Remove scratch folders of runs that were killed together with their workers."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}[0-9]*-*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not alive(int(pid)):
            remove(folder)
