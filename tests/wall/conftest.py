"""Workers that run a few lines of a test's own, with no other part of bench."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.worker import bootstrap, confine

PREAMBLE = """
import json, os, sys, time
from pathlib import Path
folder, guardian, told = Path(sys.argv[1]), os.getppid(), {}
def attempt(name, call):
    "What becomes of it: done, refused (EPERM, EACCES, EXDEV), or another error."
    try:
        call()
        told[name] = "done"
    except OSError as error:
        told[name] = "refused" if error.errno in (1, 13, 18) else repr(error)
def tell():
    (folder / "out" / "told.json").write_text(json.dumps(told))
def say(name):
    "Leave the number of this process in out/NAME."
    (folder / "out" / (name + ".draft")).write_text(str(os.getpid()))
    (folder / "out" / (name + ".draft")).rename(folder / "out" / name)
def grandchild(work=lambda: time.sleep(60)):
    "Start a process in a session of its own, whose parent is gone."
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            say("grandchild")
            work()
        os._exit(0)
    os.wait()
    while not (folder / "out" / "grandchild").exists():
        time.sleep(0.01)
"""


class Started:
    """A worker in ``folder``, which has ``in`` (read), ``out`` and ``work`` (written), and ``secret`` beside them."""

    def __init__(self, folder, source, *, environment=None, arguments=(), **process):
        self.folder, self.scratch = folder, folder / "scratch"
        for name in ("in", "out", "work", "site", "secret"):
            (folder / name).mkdir(exist_ok=True)
        for name in ("in", "secret"):
            (folder / name / "file").write_text("12345")
        (folder / "site" / "probe.py").write_text(PREAMBLE + source)
        self._events, end = os.pipe()
        told = {
            "module": "probe", "arguments": [str(folder), *map(str, arguments)], "events": end, "confine": True,
            "network": False, "read": [str(folder / "in")], "write": [str(folder / "out"), str(folder / "work")],
            "scratch": str(self.scratch), **process,
        }  # fmt: skip
        (folder / "process.json").write_text(json.dumps(told))
        hub = {"HF_HOME": str(folder / "hub"), "HF_HUB_CACHE": "", "HUGGINGFACE_HUB_CACHE": "", "HF_TOKEN_PATH": ""}
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", bootstrap.__file__, folder / "process.json"],
                stdin=subprocess.PIPE, stdout=log, stderr=log, pass_fds=[end], start_new_session=True,
                preexec_fn=_heed_interrupts,
                env={**os.environ, **hub, "PYTHONPATH": str(folder / "site"), **(environment or {})},
            )  # fmt: skip
        os.close(end)

    def end(self, timeout=60):
        """Wait for the end; the exit status."""
        status = self.process.wait(timeout)
        self.process.stdin.close()
        with os.fdopen(self._events) as events:
            self.events = [json.loads(line) for line in events]
        self.log = (self.folder / "log").read_text()
        return status

    def number(self, name):
        """The process number in ``out/NAME``, as soon as it is there."""
        path = self.folder / "out" / name
        assert self.soon(path.exists), (self.folder / "log").read_text()
        return int(path.read_text())

    @property
    def told(self):
        return json.loads((self.folder / "out" / "told.json").read_text())

    @staticmethod
    def soon(condition, seconds=20):
        """Whether it holds before long."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True

    def gone(self, pid):
        """Whether a process ends before long."""
        return self.soon(lambda: not alive(pid))


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError):  # one that nobody has waited for yet is dead
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return True


def _heed_interrupts():
    """Signals work, also where the tests run in the background of a shell, which has its children ignore some."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def start(tmp_path):
    """Start a worker with a source and changes to its process.json."""
    started = []

    def begin(source, **choices):
        started.append(Started(tmp_path, source, **choices))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.stdin.close()
            one.process.wait(20)


@pytest.fixture
def wall():
    """What a worker without network is held to; where nothing can be held, the test says so."""
    try:
        return confine.held(confine.abi(), network=False)
    except confine.Unconfined as reason:
        pytest.skip(str(reason))
