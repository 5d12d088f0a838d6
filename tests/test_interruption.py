"""Time limits, Ctrl-C and a killed parent: no orphan process, no half-written cell."""

import re
import signal
import time
from pathlib import Path

import pytest

from bench.runs import execute
from bench.runs.run import plan
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


def drafts(folder):
    return [path.name for path in (folder / "cells").glob(".*")]


@pytest.fixture
def busy(start_bench, rough_site, tmp_path):
    """A run whose two workers wait, one with a child, one in native code; a third cell has finished."""

    def start():
        words = (*RUN, "rough-healthy,rough-sleeps,rough-stuck", "--results", tmp_path)
        process = start_bench(*words, environment={"PYTHONPATH": str(rough_site)})
        wait_for(lambda: list(tmp_path.glob("cells/*/result.json")))
        wait_for(lambda: any("grandchild" in words for words in processes(tmp_path).values()))
        wait_for(lambda: len(drafts(tmp_path)) == 2)
        return process

    return start


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_leaves_nothing_behind_but_finished_cells(busy, tmp_path, number):
    process = busy()
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted: finished cells are kept" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert processes(tmp_path) == {}
    assert drafts(tmp_path) == []
    assert [result.cell.model for result in Store(tmp_path).results()] == ["rough-healthy"]


def test_cell_that_is_about_to_start_when_the_run_is_interrupted_does_not(tiny_cards, tmp_path, monkeypatch):
    planned = plan("pop", "tiny")
    store = Store(tmp_path)
    store.open_for_writing()
    runner = execute._Runner(planned.task, store)
    find_model = execute.find_model

    def interrupted_meanwhile(name):
        runner.stop()
        return find_model(name)

    monkeypatch.setattr(execute, "find_model", interrupted_meanwhile)
    monkeypatch.setattr(execute.Job, "run", lambda *arguments: pytest.fail("a worker was started"))
    with pytest.raises(InterruptedError):
        runner.work(planned.cells[0])
    assert drafts(tmp_path) == []


def test_killed_parent_takes_its_workers_along(busy, tmp_path, start_bench):
    process = busy()
    process.kill()
    process.wait()
    wait_for(lambda: not processes(tmp_path), 20)
    assert len(drafts(tmp_path)) == 2
    assert [result.status for result in Store(tmp_path).results()] == ["finished"]
    assert start_bench("run", "--dataset", "tiny", "--models", "pop", "--results", tmp_path).wait(60) == 0
    assert drafts(tmp_path) == []


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


def test_two_runs_at_once_share_a_results_folder(start_bench, rough_site, tmp_path):
    """Both may work on the same cells; each cell is there once, whole."""
    words = (*RUN, "pop,random,rough-healthy", "--results", tmp_path)
    running = [start_bench(*words, environment={"PYTHONPATH": str(rough_site)}) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert len(Store(tmp_path).results()) == 3
    assert drafts(tmp_path) == []
