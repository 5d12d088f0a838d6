"""Time limits, Ctrl-C and a killed parent: no orphan process, no half-written cell."""

import re
import signal
import time
from pathlib import Path

import pytest

from bench.messages.spec import RunSpec
from bench.runs import execute, plan
from bench.runs.claims import claim
from bench.runs.hooks import LifeCycle
from bench.runs.plan import make_plan
from bench.runs.room import Room
from bench.runs.store import Store

RUN = ("run", "--dataset", "tiny", "--jobs", "2", "--models")


def processes(folder):
    """Command lines, by process id, of processes that were given this folder; workers are, and their children."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder / "cells") in words:
            found[int(path.parent.name)] = words
    return found


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return found


def unfinished(folder):
    """Cells that a run works at, or worked at when it was killed."""
    return [path.parent.name for path in folder.glob("cells/*/claim.*")]


@pytest.fixture
def busy(start_bench, rough_site, tmp_path):
    """A run whose two workers wait, one with a child, one in native code; a third cell has finished."""

    def start():
        words = (*RUN, "rough-healthy,rough-sleeps,rough-stuck", "--results", tmp_path)
        process = start_bench(*words, environment={"PYTHONPATH": str(rough_site)})
        wait_for(lambda: list(tmp_path.glob("cells/*/result.json")))
        wait_for(lambda: any("grandchild" in words for words in processes(tmp_path).values()))
        wait_for(lambda: len(unfinished(tmp_path)) == 2)
        return process

    return start


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_interrupted_run_leaves_nothing_behind_but_finished_cells(busy, tmp_path, number):
    process = busy()
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted: finished cells are kept" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert processes(tmp_path) == {}
    assert unfinished(tmp_path) == []
    assert [result.cell.model for result in Store(tmp_path).results()] == ["rough-healthy"]


def test_cell_that_is_about_to_start_when_the_run_is_interrupted_does_not(tiny_cards, tmp_path, monkeypatch):
    planned = make_plan(RunSpec(models=["pop"], dataset="tiny"))
    store = Store(tmp_path)
    store.open_for_writing()
    executor = execute._Executor(planned, store, lambda cell, event: None, Room(planned, store), LifeCycle())
    find_model = plan.find_model

    def interrupted_meanwhile(name):
        executor.stopped = True
        return find_model(name)

    monkeypatch.setattr(plan, "find_model", interrupted_meanwhile)
    monkeypatch.setattr(execute.Job, "run", lambda *arguments: pytest.fail("a worker was started"))
    with pytest.raises(InterruptedError):
        executor.work(planned.cells[0], claim(store.path(planned.cells[0].id)), None)
    assert unfinished(tmp_path) == []


def test_killed_parent_takes_its_workers_along(busy, tmp_path, start_bench):
    process = busy()
    process.kill()
    process.wait()
    wait_for(lambda: not processes(tmp_path), 20)
    assert len(unfinished(tmp_path)) == 2
    assert [result.status for result in Store(tmp_path).results()] == ["finished"]
    assert start_bench("run", "--dataset", "tiny", "--models", "pop", "--results", tmp_path).wait(60) == 0
    assert unfinished(tmp_path) == []


def test_time_limit_ends_a_cell_and_its_children_alone(start_bench, rough_site, tmp_path):
    words = (*RUN, "rough-sleeps,rough-stuck", "--timeout", "3", "--results", tmp_path)
    process = start_bench(*words, environment={"PYTHONPATH": str(rough_site)})
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert {result.reason for result in Store(tmp_path).results()} == {"timeout after 3 s"}
    assert len(re.findall("failed: timeout after 3 s", out)) == 2
    assert processes(tmp_path) == {}


def test_child_that_a_finished_worker_left_is_ended(start_bench, rough_site, tmp_path):
    words = (*RUN, "rough-grandchild", "--results", tmp_path)
    assert start_bench(*words, environment={"PYTHONPATH": str(rough_site)}).wait(60) == 0
    assert processes(tmp_path) == {}


@pytest.mark.slow
def test_two_runs_at_once_share_a_results_folder(start_bench, rough_site, tmp_path):
    """They share the work: each cell is trained by one of them, and all print the same table."""
    words = (*RUN, "pop,random,rough-healthy,rough-learner", "--seeds", "1-4", "--results", tmp_path)
    running = [start_bench(*words, environment={"PYTHONPATH": str(rough_site)}) for _ in range(3)]
    said = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    results = Store(tmp_path).results()
    assert len(results) == 10
    kept = sum(err.count("(already there)") for _, err in said)
    assert kept == 2 * len(results)  # of three times ten cells ten were run
    tables = [out[: out.index("leaderboard: ")] for out, _ in said]
    assert tables[0] == tables[1] == tables[2]
    assert unfinished(tmp_path) == []
