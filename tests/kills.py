"""Kill a command at one of its file operations, or let that one fail, run it again, and see that nothing was lost.

The command runs in a fork of this process, which has everything imported already; an audit hook counts what it opens
for writing, renames, removes, makes or links below the folders that are watched, and kills it right before the one
that is wanted, or raises an ``OSError`` there, as if the disk were full or could not be written. Shared by
``tests/test_kills.py``, which tries some, and ``benchmarks/kills.py``, which tries all.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pyarrow.parquet as pq

from bench.cli import main

_IN_A_ROW = 3
"""Operations that fail one after the other: what is tried instead of the first fails too."""
_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.link", "os.symlink", "os.truncate"}


def run(
    words: Sequence[str],
    watched: Sequence[Path] = (),
    kill_at: int = 0,
    log: Path | None = None,
    failure: int = 0,
) -> tuple[int, int]:
    """Run ``bench WORDS`` in a fork; returns its wait status and the number of file operations that it got to.

    With ``failure``, a number of ``errno``, the operation ``kill_at`` and the next ones fail instead.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _install(watched, kill_at, write, failure)
        _call(words, log)
    os.close(write)
    with os.fdopen(read, "rb") as counted:
        number = len(counted.read())
    return os.waitpid(pid, 0)[1], number


def start(words: Sequence[str], log: Path) -> int:
    """Begin ``bench WORDS`` in a fork; returns its process id."""
    pid = os.fork()
    if pid == 0:
        _call(words, log)
    return pid


def _call(words: Sequence[str], log: Path | None) -> NoReturn:
    """What a fork does."""
    output = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout, sys.stderr = (open(handle, "w", buffering=1, closefd=False) for handle in (1, 2))  # noqa: SIM115
    try:
        main(list(words))
    except SystemExit as ended:
        os._exit(ended.code if isinstance(ended.code, int) else 1)
    os._exit(70)


def _install(watched: Sequence[Path], kill_at: int, counter: int, failure: int) -> None:
    roots = tuple(str(path) for path in watched)
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event == "open":
            changes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        else:
            changes = event in _CHANGES
        if changes and any(_below(argument, roots) for argument in arguments[:2]):
            count += 1
            if count == kill_at and not failure:
                os.kill(os.getpid(), signal.SIGKILL)
            if failure and kill_at <= count < kill_at + _IN_A_ROW:
                raise OSError(failure, os.strerror(failure), str(arguments[0]))
            os.write(counter, b".")

    sys.addaudithook(hook)


def _below(path: object, roots: tuple[str, ...]) -> bool:
    return isinstance(path, (str, os.PathLike)) and os.path.abspath(os.fspath(path)).startswith(roots)  # noqa: PTH100


@dataclass
class Scenario:
    """A command, and what is there before it."""

    name: str
    words: Callable[[Path], list[str]]
    """Given the folder of the attempt, whose ``results`` and ``cache`` are watched."""
    before: list[Callable[[Path], list[str]]] = field(default_factory=list)
    """Commands that were run before."""
    cut: Callable[[Path], None] | None = None
    """What happened to the folder after them."""


@dataclass
class Campaign:
    """One scenario, tried in folders below ``root``."""

    scenario: Scenario
    root: Path

    def prepare(self) -> None:
        """Make the state before the command, and the undisturbed outcome."""
        base = self.root / "base"
        base.mkdir(parents=True)
        for words in self.scenario.before:
            self._run(base, words(base))
        if self.scenario.cut:
            self.scenario.cut(base)
        whole = self._copy("whole")
        _, self.operations = self._run(whole, self.scenario.words(whole))
        self.expected = outcome(whole)

    def _run(self, folder: Path, words: list[str], kill_at: int = 0, failure: int = 0) -> tuple[int, int]:
        os.environ["BENCH_CACHE_DIR"] = str(folder / "cache")
        watched = [folder / "results", folder / "cache"]
        status, number = run(words, watched, kill_at, folder / "log", failure)
        if not kill_at and status:
            raise AssertionError(f"{' '.join(words)} ended with {status}: {(folder / 'log').read_text()}")
        return status, number

    def _copy(self, name: str) -> Path:
        folder = self.root / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.root / "base", folder, copy_function=shutil.copy2)
        return folder

    def kill(self, at: int) -> list[str]:
        """Kill the command before its operation ``at`` and run it again; what is wrong then, in words."""
        folder = self._copy("attempt")
        finished = stamps(folder)
        status, _ = self._run(folder, self.scenario.words(folder), at)
        if not os.WIFSIGNALED(status):
            return [] if os.waitstatus_to_exitcode(status) == 0 else ["it failed instead of being killed"]
        return self._after(folder, finished)

    def fail(self, at: int, failure: int) -> list[str]:
        """Let operation ``at`` of the command fail and run it again; what is wrong then, in words."""
        folder = self._copy("attempt")
        finished = stamps(folder)
        status, _ = self._run(folder, self.scenario.words(folder), at, failure)
        said = (folder / "log").read_text().splitlines()
        if os.WIFSIGNALED(status):
            return ["it was killed"]
        wrong = [line for line in said if "Traceback" in line or "should not happen" in line]
        if os.waitstatus_to_exitcode(status) and not any(word in line for line in said for word in _TOLD):
            wrong.append(f"no reason in {said[-3:]}")
        return wrong + self._after(folder, finished)

    def share(self, processes: int, killed: int, seconds: float, rng: random.Random) -> tuple[list[str], int]:
        """Let several processes run the command at once, kill some within ``seconds``; the others do all of it.

        What is wrong then, in words, and how many cells were finished more than once.
        """
        folder = self._copy("attempt")
        os.environ["BENCH_CACHE_DIR"], os.environ["ROUGH_HOOKS"] = str(folder / "cache"), str(folder / "hooks")
        words = self.scenario.words(folder)
        pids = [start(words, folder / f"log-{number}") for number in range(processes)]
        moments = sorted(rng.uniform(0, seconds) for _ in range(killed))
        began = time.monotonic()
        for moment, pid in zip(moments, pids, strict=False):
            time.sleep(max(0.0, began + moment - time.monotonic()))
            os.kill(pid, signal.SIGKILL)
        ended = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        wrong = [f"one ended with {code}" for code in ended[killed:] if code]
        found, before = outcome(folder), stamps(folder)
        wrong += [f"{name} differs" for name in self.expected if found.get(name) != self.expected[name]]
        told = [json.loads(line) for line in (folder / "hooks").read_text().splitlines()]
        finished = [one for one in told if one["hook"] == "cell finished" and one["status"] == "finished"]
        del os.environ["ROUGH_HOOKS"]
        self._run(folder, words)  # tidies up what the killed ones left
        found = outcome(folder)
        wrong += [f"finished cell {cell} was run again" for cell, at in before.items() if stamps(folder)[cell] != at]
        wrong += [f"left over: {name}" for name in found.keys() - self.expected.keys()]
        return wrong, max(0, len(finished) - len(before))

    def _after(self, folder: Path, finished: dict[str, str]) -> list[str]:
        """What is wrong after the command has ended early, and when it is run again."""
        wrong = [f"process left: {words}" for words in _orphans(folder)]
        kept = stamps(folder)
        wrong += [f"finished cell {cell} is lost" for cell in finished if cell not in kept]
        self._run(folder, self.scenario.words(folder))
        after = stamps(folder)
        wrong += [f"finished cell {cell} was run again" for cell, stamp in kept.items() if after.get(cell) != stamp]
        found = outcome(folder)
        wrong += [f"{name} differs" for name in self.expected if found.get(name) != self.expected[name]]
        wrong += [f"left over: {name}" for name in found.keys() - self.expected.keys()]
        return wrong


_TOLD = ("error: ", " failed: ", "warning: ")


def stamps(folder: Path) -> dict[str, str]:
    """When each finished cell was finished."""
    found = {}
    for path in folder.glob("results/cells/*/result.json"):
        result = json.loads(path.read_text())
        if result["status"] == "finished":
            found[result["cell_id"]] = result["created"] + str(result["phases"]["fit"])
    return found


def outcome(folder: Path) -> dict[str, str]:
    """Every file of results and cache, with what must be equal of its content."""
    found = {}
    for top in ("results", "cache"):
        for path in sorted((folder / top).rglob("*")):
            # The name of the hidden part is drawn anew for every cache.
            name = re.sub(r"cache/tests/[0-9a-f]{32}", "cache/tests/HIDDEN", str(path.relative_to(folder)))
            name += " twice" if name in found else ""
            if path.is_dir():
                found[name] = "a folder"
            elif path.name == "lists.parquet":
                found[name] = str(pq.read_table(path).to_pydict())
            elif path.name == "result.json":
                result = json.loads(path.read_text())
                result["facts"].pop("trained", None)  # which epochs the last attempt trained
                found[name] = json.dumps([result[key] for key in ("cell", "status", "groups", "validations", "facts")])
            elif path.suffix == ".csv":
                found[name] = _without_costs(path)
            else:
                found[name] = "a file"
    return found


def _without_costs(path: Path) -> str:
    import pandas as pd

    frame = pd.read_csv(path)
    return str(frame.drop(columns=[name for name in frame if "seconds" in name or "mib" in name]).to_dict())


def _orphans(folder: Path) -> list[str]:
    """Processes that still know the folder some seconds later."""
    end = time.monotonic() + 10
    while True:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(folder) in words and int(path.parent.name) != os.getpid():
                    found.append(words)
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.02)


MODELS = "pop,rough-checkpoints"
ONE = "rough-checkpoints"


def shared() -> Scenario:
    """What several processes do together: eleven cells, of models that train for a while and of fast ones."""
    models = "pop,itemknn,random,rough-checkpoints,rough-learner"
    words = ["run", "--dataset", "tiny", "--models", models, "--seeds", "1-3", "--threads", "1"]
    return Scenario(
        "shared", lambda f: [*words, "--results", str(f / "results")], [lambda f: ["datasets", "prepare", "tiny"]]
    )


def scenarios() -> list[Scenario]:
    """All that is tried. The data set is called ``tiny`` and the model with checkpoints ``rough-checkpoints``."""

    def call(*words: str) -> Callable[[Path], list[str]]:
        return lambda folder: [*words, "--results", str(folder / "results")]

    fresh = call("run", "--dataset", "tiny", "--models", MODELS)
    return [
        Scenario("prepare", lambda folder: ["datasets", "prepare", "tiny"]),
        Scenario("fresh run", fresh, [lambda folder: ["datasets", "prepare", "tiny"]]),
        Scenario("resume", fresh, [fresh], cut_in_training),
        Scenario("measure again", call("run", "--dataset", "tiny", "--models", "pop", "--k", "3,7"), [fresh]),
        Scenario("leaderboard", call("leaderboard"), [fresh]),
        Scenario("recommend", call("recommend", "--dataset", "tiny", "--model", ONE, "--user", "u003"), [fresh]),
    ]


def cut_in_training(folder: Path) -> None:
    """As if the run had been killed in the middle of the second stage of the model with checkpoints."""
    os.environ["ROUGH_DIE"], os.environ["ROUGH_HOW"] = "lists 2", "kill"
    try:
        for path in folder.glob("results/cells/*/result.json"):
            if ONE in path.read_text():
                shutil.rmtree(path.parent)
        words = ["run", "--dataset", "tiny", "--models", ONE, "--results", str(folder / "results")]
        status, _ = run(words, log=folder / "log")
        assert os.waitstatus_to_exitcode(status) == 1, (folder / "log").read_text()
        assert list(folder.glob("results/cells/*/work/checkpoints/checkpoint.json"))
    finally:
        del os.environ["ROUGH_DIE"], os.environ["ROUGH_HOW"]
