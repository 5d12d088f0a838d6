"""Start a worker, confined, and end it with all that it started: ``python -P bootstrap.py PROCESS.json``.

Standard library alone, and nothing of bench. Standard input is a pipe that only the parent holds open. This process
becomes the guardian, small and unconfined, and forks the worker. The worker takes a home of its own, confines itself
(``confine.py``) and runs a module as ``__main__``. The guardian waits for the worker to end, or for the end of standard
input: the parent is gone, however it went, or wants no more. Then it kills what is left, also what went into a session
of its own, removes the scratch folder and ends as the worker ended. If the guardian is killed, the worker dies too, but
not what the worker had put into other sessions.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import resource
import select
import signal
import site
import sys
import types
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

_SUBREAPER, _PARENT_DEATH_SIGNAL = 36, 1
_WANT_NO_MORE = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LINUX = sys.platform == "linux"

_HOMES = {"HOME": "home", "TMPDIR": "tmp", "XDG_CACHE_HOME": "cache"}
_CACHES = {
    "CUDA_CACHE_PATH": "cuda",
    "HF_HOME": "huggingface",
    "MPLCONFIGDIR": "matplotlib",
    "NUMBA_CACHE_DIR": "numba",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TORCH_EXTENSIONS_DIR": "extensions",
    "TRITON_CACHE_DIR": "triton",
}
_BESIDE = (
    "TEMP",
    "TMP",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "HUGGINGFACE_HUB_CACHE",
    "HF_TOKEN_PATH",
)
"""Variables that would lead to the real home again."""

CANNOT_CONFINE = 78
"""Exit status of a worker that should have been confined but could not be (``EX_CONFIG``)."""


class Process(NamedTuple):
    """The content of PROCESS.json."""

    module: str
    """Run as ``__main__``."""
    arguments: list[str]
    events: int
    """Descriptor that takes the line ``{"event": "confined", "held": …}``, and then belongs to the module."""
    confine: bool
    network: bool
    """Whether TCP stays open and the hub's cache can be written."""
    read: list[str]
    """Files and folders to be read beside the interpreter and what it can import. All paths are absolute."""
    write: list[str]
    """Folders for regular files and folders."""
    scratch: str
    """Home and temporary folder, made if it is missing and removed at the end. Short: a socket's path has 107 bytes."""
    closed: Sequence[str] = ()
    """Folders that nobody should reach: ``held`` says so where one lies in what is open to every worker."""


def main(path: str) -> None:
    """Become the guardian; return in the worker alone, when its module is done."""
    file = os.open(path, os.O_RDONLY)  # stays open, and locked until the guardian ends
    fcntl.flock(file, fcntl.LOCK_EX)
    process = Process(**json.loads(Path(path).read_text(encoding="utf-8")))
    confine = _sibling("confine")
    wakeup, wakeup_end = os.pipe()
    os.set_blocking(wakeup_end, False)
    before = {number: signal.getsignal(number) for number in (signal.SIGCHLD, *_WANT_NO_MORE)}
    for number in before:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(wakeup_end)
    if _LINUX:
        confine.prctl(_SUBREAPER, 1)
    guardian = os.getpid()
    gc.freeze()  # memory that is not looked at is not copied
    worker = os.fork()
    if worker:
        os.close(process.events)
        _guard(worker, wakeup, process.scratch)
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)
    for descriptor in (wakeup, wakeup_end, file):
        os.close(descriptor)
    _work(process, confine, guardian)


def _sibling(name: str) -> Any:
    """A module beside this one; an import would need its folder on ``sys.path``, where its neighbours shadow others."""
    module = types.ModuleType(f"bench_{name}")
    SourceFileLoader(module.__name__, str(Path(__file__).absolute().with_name(f"{name}.py"))).exec_module(module)
    return module


# The worker


def _work(process: Process, confine: Any, guardian: int) -> None:
    os.setpgid(0, 0)
    if _LINUX:
        confine.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != guardian:  # it died before
            os._exit(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    hub, token = _hub()
    _move_home(Path(process.scratch))
    os.environ["HF_HUB_CACHE"] = str(hub)
    read, write = list(process.read), list(process.write)
    if process.network:
        hub.mkdir(parents=True, exist_ok=True)
        write.append(str(hub))
        os.environ["HF_TOKEN_PATH"] = str(token)
        read += [str(token)] if token.is_file() else []
    else:
        os.environ["HF_HUB_OFFLINE"] = "1"
        read += [str(hub)] if hub.is_dir() else []
    with contextlib.suppress(OSError):  # the worker begins a new peak of memory with it
        os.environ["BENCH_CLEAR_REFS_FD"] = str(os.open("/proc/self/clear_refs", os.O_WRONLY))
    held = "unconfined: not wanted"
    if process.confine:
        try:
            held = confine.confine(read, write, process.scratch, process.network, process.closed)
        except confine.Unconfined as reason:
            held = f"unconfined: {reason}"
        except OSError as error:
            sys.stderr.write(f"the worker cannot be confined, so it does not start: {error}\n")
            sys.exit(CANNOT_CONFINE)
    os.environ["BENCH_CONFINED"] = held
    os.write(process.events, (json.dumps({"event": "confined", "held": held}) + "\n").encode())
    import runpy

    sys.argv[1:] = process.arguments
    runpy.run_module(process.module, run_name="__main__", alter_sys=True)


def _hub() -> tuple[Path, Path]:
    """The user's cache of pretrained models, and the file with the key to the hub, as huggingface_hub finds them."""
    told = os.environ.get
    home = Path(told("HF_HOME") or Path(told("XDG_CACHE_HOME") or "~/.cache", "huggingface"))
    cache = told("HF_HUB_CACHE") or told("HUGGINGFACE_HUB_CACHE") or home / "hub"
    token = told("HF_TOKEN_PATH") or home / "token"
    return Path(cache).expanduser().absolute(), Path(token).expanduser().absolute()


def _move_home(scratch: Path) -> None:
    """Home, temporary folder and caches in ``scratch``."""
    if site.ENABLE_USER_SITE:
        os.environ["PYTHONUSERBASE"] = site.getuserbase()
    for variable, name in _HOMES.items():
        (scratch / name).mkdir(parents=True, exist_ok=True)
        os.environ[variable] = str(scratch / name)
    for variable, name in _CACHES.items():  # made when they are used
        os.environ[variable] = str(scratch / "cache" / name)
    for variable in _BESIDE:
        os.environ.pop(variable, None)


# The guardian


def _guard(worker: int, wakeup: int, scratch: str) -> NoReturn:
    with contextlib.suppress(OSError):  # the worker does the same; either may be first
        os.setpgid(worker, worker)
    status = _wait(worker, wakeup)
    status = _end_all(worker, status)
    _remove(Path(scratch))
    _end_as(status)


def _wait(worker: int, wakeup: int) -> int | None:
    """The status with which the worker ended; None if it is to be ended."""
    while True:
        ready, _, _ = select.select([0, wakeup], [], [])
        if 0 in ready and not os.read(0, 4096):
            return None
        if wakeup in ready and set(os.read(wakeup, 4096)) & set(_WANT_NO_MORE):
            return None
        while True:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == worker:
                return status
            if not child:
                break


def _end_all(worker: int, status: int | None) -> int:
    """Kill all descendants; the status of the worker, which is None if it was not ended yet.

    A child whose parent dies becomes the guardian's own (it is a subreaper), so in the end all are. It kills its own
    children alone: before it has waited for them, nobody else can get their numbers.
    """
    if _children() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(worker, signal.SIGKILL)
    while True:
        children = _children()
        for child in children or ():
            os.kill(child, signal.SIGKILL)
        wait_for_all = status is None or children is not None
        try:
            child, ended = os.waitpid(-1, 0 if wait_for_all else os.WNOHANG)
        except ChildProcessError:
            child, ended = 0, 0
        if child == worker:
            status = ended
        elif not child:
            return signal.SIGKILL if status is None else status


def _children() -> list[int] | None:
    """Own child processes; None where the system does not tell: not Linux, or a kernel without this file."""
    try:
        return [int(child) for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:
        return None


def _remove(folder: Path) -> None:
    """Remove a folder and all in it, however its rights were changed; what is too deep is left to the parent."""
    with contextlib.suppress(OSError, RecursionError):
        folder.chmod(0o700)
        for path in list(folder.iterdir()):
            if path.is_dir() and not path.is_symlink():
                _remove(path)
            else:
                path.unlink()
        folder.rmdir()


def _end_as(status: int) -> NoReturn:
    if not os.WIFSIGNALED(status):
        os._exit(os.waitstatus_to_exitcode(status))
    number = os.WTERMSIG(status)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the worker has left one, if they are wanted
    with contextlib.suppress(OSError, ValueError):  # SIGKILL, and those that the C library keeps for itself
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
    os._exit(128 + number)


if __name__ == "__main__":
    main(sys.argv[1])
