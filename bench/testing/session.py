"""All published checks of a model, within some seconds: two runs of pytest at once, each in a process of its own.

This module is also the process that runs them: a model that ends its process, or never ends, harms nobody else.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bench.errors import BenchError, ConfigError, PluginError, by_kind, one_line, plain
from bench.messages.description import ModelRequest
from bench.plugins import find_model
from bench.runs.process import environment_of

_FILE = """
from bench.testing import {checks}

class TestModel({checks}):
    name, options = {name!r}, {options!r}
"""
_CHECKS = ("ModelChecks", "WorkerChecks")
_SETTINGS = ["-q", "--import-mode=importlib", "-p", "no:cacheprovider"]


class Checked(NamedTuple):
    """What became of a check."""

    name: str
    """In words."""
    outcome: Literal["ok", "failed", "skipped", "not run"]
    """Not run is one that needs a fitted model, where that failed in an earlier check."""
    detail: str
    """Of one that did not pass: what the contract asks, where it stands, and what was found."""


def check_model(
    name: str, options: Mapping[str, Any], seconds: float, tell: Callable[[Checked], None]
) -> list[Checked]:
    """Run the checks of the model ``name`` in other processes; ``tell`` gets each of them when it is over.

    Checks that were not over after ``seconds`` are a failed one.

    Raises
    ------
    BenchError
        If pytest is not installed, there is no such model or config key, or a process ends before its checks do.
    """
    plugin = find_model(ModelRequest.parse(name).model)
    if plugin.environment and plugin.environment.distribution("pytest") is None:
        raise ConfigError(
            f"the checks need pytest in the environment of {name}: 'bench plugin remove {plugin.environment.name}', "
            "and add it again"
        )
    if not plugin.environment and importlib.util.find_spec("pytest") is None:
        raise ConfigError("the checks need pytest, which is not installed: pip install 'recsys-bench[testing]'")
    one_at_a_time = threading.Lock()

    def told(one: Checked) -> None:
        with one_at_a_time:
            tell(one)

    def run(checks: str) -> list[Checked]:
        with tempfile.TemporaryDirectory(prefix="bench-checks-") as folder:
            text = _FILE.format(checks=checks, name=name, options=dict(options))
            (Path(folder) / "test_model.py").write_text(text, encoding="utf-8")
            (Path(folder) / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
            return _run(plugin.interpreter, Path(folder), [name, json.dumps(dict(options))], seconds, told)

    with ThreadPoolExecutor(len(_CHECKS)) as pool:
        return [one for done in pool.map(run, _CHECKS) for one in done]


def _run(
    interpreter: str, folder: Path, words: list[str], seconds: float, tell: Callable[[Checked], None]
) -> list[Checked]:
    """One process, whose checks are those of the files in ``folder``."""
    ours, theirs = socket.socketpair()
    with ours, (folder / "log").open("wb") as log:
        with theirs:
            process = subprocess.Popen(
                [interpreter, "-P", "-m", __name__, str(theirs.fileno()), *words],
                cwd=folder,
                pass_fds=[theirs.fileno()],
                stdout=log,
                stderr=log,
                env=_environment(interpreter),
            )
        late = threading.Timer(seconds, process.kill)
        late.start()
        ended = threading.Thread(target=_close_at_end, args=(process, ours))
        ended.start()
        try:
            done, at_work = _follow(ours, tell)
            status = process.wait()
        finally:
            in_time = late.is_alive()
            late.cancel()
            process.kill()
            ended.join()
    if not in_time:
        what = f"{seconds:g} s were over here: make the model quicker with --set, or allow more with --seconds"
        done.append(Checked(at_work or "all checks", "failed", what))
        tell(done[-1])
    elif status not in (0, 1):
        lines = (folder / "log").read_text(encoding="utf-8", errors="replace").split("\n")
        last = plain(next((line for line in reversed(lines) if line.strip()), ""), 300)
        where = f" in '{at_work}'" if at_work else ""
        raise PluginError(f"the process of the checks ended{where} with status {status}: {last}")
    return done


def _close_at_end(process: subprocess.Popen[bytes], ours: socket.socket) -> None:
    """End the reading with the process: what the model has started may outlive it, and hold the other end open."""
    process.wait()
    ours.shutdown(socket.SHUT_RD)


def _follow(told_by: socket.socket, tell: Callable[[Checked], None]) -> tuple[list[Checked], str]:
    """What the process tells, to its end, and which check it was at then, if any."""
    done: list[Checked] = []
    at_work = ""
    with told_by.makefile(encoding="utf-8") as lines:
        for line in lines:
            told = json.loads(line)
            if "kind" in told:
                raise by_kind(told["kind"], told["error"])
            at_work = told.get("began", "")
            if not at_work:
                done.append(Checked(**told))
                tell(done[-1])
    return done, at_work


def _environment(interpreter: str) -> dict[str, str]:
    """One thread, and pytest as it is alone."""
    kept = {name: value for name, value in environment_of(interpreter).items() if not name.startswith("PYTEST_")}
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OMP_NUM_THREADS": "1"}


# The process ----------------------------------------------------------------------------------------------------------


class _Lines:
    """Tells of each check on a file descriptor."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.seen: set[str] = set()
        """Details of failures: what all checks need, such as a fitted model, fails once."""

    def tell(self, **told: str) -> None:
        os.write(self.target, json.dumps(told).encode() + b"\n")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.tell(began=_in_words(nodeid))

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.passed and report.when != "call":
            return
        detail = ""
        if report.skipped:
            detail = str(report.longrepr[2]).removeprefix("Skipped: ")
        elif report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            detail = plain((crash.message if crash else str(report.longrepr)).removeprefix("AssertionError: "), 700)
            if report.when == "setup" and detail in self.seen:
                self.tell(name=_in_words(report.nodeid), outcome="not run", detail="")
                return
            self.seen.add(detail)
        outcome = "ok" if report.passed else "skipped" if report.skipped else "failed"
        self.tell(name=_in_words(report.nodeid), outcome=outcome, detail=detail)


def _in_words(nodeid: str) -> str:
    return nodeid.rpartition("::")[2].removeprefix("test_").replace("_", " ").replace("[", " (").replace("]", ")")


def _main(target: int, name: str, options: str) -> int:
    import pytest

    from bench.worker.describe import configured

    lines = _Lines(target)
    try:
        configured(ModelRequest.parse(name).model_copy(update={"options": json.loads(options)}))
    except BenchError as error:
        lines.tell(kind=type(error).__name__, error=one_line(error))
        return 0
    return int(pytest.main([*_SETTINGS, "test_model.py"], plugins=[lines]))


if __name__ == "__main__":
    sys.exit(_main(int(sys.argv[1]), *sys.argv[2:]))
