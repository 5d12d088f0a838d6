"""Processes that train one model together, as far as the core knows them, and the end of those of a dead parent."""

import contextlib
import fcntl
import sys
import threading
import time
from types import SimpleNamespace

from bench.runs import environment
from bench.runs.job import Limits
from bench.runs.process import Child, Rights, await_end
from bench.runs.room import Room
from bench.runs.store import Store

RUN = ("run", "--dataset", "tiny", "--models")


def test_who_can_gets_the_processes_and_local_connections(start_bench, rough_site, tmp_path):
    words = (*RUN, "pop,rough-healthy,rough-together", "--processes", "2", "--threads", "3", "--results", tmp_path)
    run = start_bench(*words, environment={"PYTHONPATH": str(rough_site)})
    _, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    found = {result.cell.model: result for result in Store(tmp_path).results()}
    together, healthy = found["rough-together"], found["rough-healthy"]
    assert together.facts["given"] == [2, "1", True]  # threads are shared
    assert (together.hardware["threads"], together.hardware["processes"]) == (3, 2)
    assert "processes" not in healthy.hardware
    assert together.confinement == healthy.confinement.replace(", TCP", "")
    assert together.phases["fit"].peak_mib > healthy.phases["fit"].peak_mib + 150  # of the other process


def test_nobody_who_can_is_one_line(bench, tmp_path):
    done = bench(*RUN, "pop,ease", "--processes", "2", "--results", tmp_path)
    assert done.status == 1
    assert done.err.splitlines()[-1] == (
        "error: ease, pop: one process trains it, so leave --processes out ('bench models info' says who can)"
    )


def test_an_earlier_attempt_is_awaited(tmp_path):
    await_end(tmp_path)  # there was none
    (tmp_path / "process.json").touch()
    await_end(tmp_path)  # it has ended
    ended = []
    with (tmp_path / "process.json").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        waiting = threading.Thread(target=lambda: (await_end(tmp_path), ended.append(time.monotonic())))
        waiting.start()
        time.sleep(0.2)
        assert not ended
        released = time.monotonic()
    waiting.join(5)
    assert ended[0] >= released


def is_locked(path):
    with path.open() as file, contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    return True


def test_a_child_that_runs_is_one_to_be_awaited(tmp_path):
    child = Child(sys.executable, "http.server", Rights(confine=False))
    with (tmp_path / "log").open("wb") as log:
        child.start(tmp_path, ["0"], log)
        end = time.monotonic() + 20
        while not is_locked(tmp_path / "process.json"):
            assert time.monotonic() < end
        child.end()
    assert not is_locked(tmp_path / "process.json")


def test_jobs_get_the_gpus_that_the_fewest_have(monkeypatch):
    monkeypatch.setattr(environment, "gpus", lambda: ("4", "5", "7"))
    room = Room(SimpleNamespace(spec=SimpleNamespace(jobs=3)), None)

    def job(device, processes=1):
        child = Child(sys.executable, "http.server", Rights())
        return SimpleNamespace(cell=SimpleNamespace(device=device), limits=Limits(processes=processes), child=child)

    first, second, third, named, cpu = job("cuda"), job("cuda", 2), job("cuda"), job("cuda:2"), job("cpu")
    with room.lend_gpus(first), room.lend_gpus(second), room.lend_gpus(named), room.lend_gpus(cpu):
        assert [first.child.gpus, second.child.gpus, named.child.gpus, cpu.child.gpus] == [["4"], ["5", "7"], (), ()]
        assert second.child._environment()["CUDA_VISIBLE_DEVICES"] == "5,7"
        with room.lend_gpus(third):
            assert third.child.gpus == ["4"]
    with room.lend_gpus(third):
        assert third.child.gpus == ["4"]
