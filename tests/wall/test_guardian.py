"""How a worker and all that it started come to an end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

linux = pytest.mark.skipif(sys.platform != "linux", reason="orphans are found on Linux alone")


@pytest.mark.parametrize(
    ("source", "status"),
    [("", 0), ("sys.exit(3)", 3), ("sys.exit('why')", 1), ("os._exit(255)", 255), ("raise ValueError('why')", 1)],
)
def test_exit_status_is_the_worker_s(start, source, status):
    worker = start(source)
    assert worker.end() == status
    assert ("why" in worker.log) == ("why" in source)


@pytest.mark.parametrize("number", ["SIGKILL", "SIGSEGV", "SIGABRT", "SIGTERM", "SIGUSR1", "SIGRTMIN", "SIGRTMAX"])
def test_signal_is_the_worker_s(start, number):
    number = int(getattr(signal, number))
    worker = start(f"os.kill(os.getpid(), {number}); time.sleep(60)")
    assert worker.end() == -number
    assert not worker.scratch.exists()


def test_module_runs_as_main_with_its_arguments(start):
    source = """
import signal
told |= {"name": __name__, "arguments": sys.argv[2:], "input": sys.stdin.read(), "path": sys.path[:1],
         "default": [signal.getsignal(n) == signal.SIG_DFL for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)]}
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
except KeyboardInterrupt:
    tell()
"""
    worker = start(source, arguments=["a b", "--c"])
    assert worker.end() == 0, worker.log
    assert worker.told == {
        "name": "__main__", "arguments": ["a b", "--c"], "input": "", "path": [str(worker.folder / "site")],
        "default": [True] * 3,
    }  # fmt: skip


def test_events_belong_to_the_worker(start):
    """The parent reads their end when the worker is gone, and the module may write more of them."""
    source = """
number = json.loads((folder / "process.json").read_text())["events"]
os.write(number, b'{"event": "more"}\\n')
"""
    worker = start(source, confine=False)
    assert worker.end() == 0, worker.log
    assert [event["event"] for event in worker.events] == ["confined", "more"]


def test_scratch_folder_is_removed_whatever_is_in_it(start, tmp_path):
    source = """
deep = folder / "scratch" / "a" / "b"
deep.mkdir(parents=True)
(deep / "f").write_text("1")
(folder / "scratch" / "outside").symlink_to(folder / "secret")
(folder / "scratch" / "dangling").symlink_to("nowhere")
(deep / "f").chmod(0)
deep.chmod(0)
deep.parent.chmod(0o500)
"""
    worker = start(source, confine=False)
    assert worker.end() == 0, worker.log
    assert not worker.scratch.exists()
    assert (tmp_path / "secret" / "file").read_text() == "12345"


WAYS = {
    "it ends": "",
    "it fails": "sys.exit(1)",
    "it is killed": "os.kill(os.getpid(), 9)",
    "it stops": "os.kill(os.getpid(), 19)",
}


@linux
@pytest.mark.parametrize("way", WAYS)
def test_orphan_in_a_session_of_its_own_ends_with_the_worker(start, way):
    worker = start(f"grandchild(); say('worker'); {WAYS[way]}")
    orphan = worker.number("grandchild")
    if way == "it stops":
        worker.number("worker")
        worker.process.stdin.close()
    status = worker.end()
    assert status == {"it ends": 0, "it fails": 1}.get(way, -signal.SIGKILL)
    assert worker.gone(orphan)
    assert not worker.scratch.exists()


@linux
@pytest.mark.parametrize("how", ["closes", "SIGTERM", "SIGINT", "SIGHUP"])
def test_all_end_when_the_parent_wants_no_more(start, how):
    worker = start("grandchild(); import signal; signal.signal(15, signal.SIG_IGN); say('worker'); time.sleep(60)")
    numbers = [worker.number("grandchild"), worker.number("worker")]
    if how == "closes":
        worker.process.stdin.close()
    else:
        worker.process.send_signal(getattr(signal, how))
    assert worker.end(20) == -signal.SIGKILL
    assert all(worker.gone(number) for number in numbers)
    assert not worker.scratch.exists()


@linux
def test_all_end_when_the_parent_is_killed(start, tmp_path):
    """The parent of this guardian is a process of its own, which cannot say goodbye."""
    worker = start("")
    worker.end()
    (tmp_path / "site" / "probe.py").write_text(
        (tmp_path / "site" / "probe.py").read_text() + "grandchild(); say('worker'); time.sleep(60)"
    )
    told = json.loads((tmp_path / "process.json").read_text())
    (tmp_path / "process.json").write_text(json.dumps({**told, "events": 1}))
    code = "import subprocess, sys; subprocess.Popen(sys.argv[1:], stdin=-1, start_new_session=True).wait()"
    words = [sys.executable, "-c", code, *worker.process.args]
    parent = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    )
    numbers = [worker.number("grandchild"), worker.number("worker")]
    parent.kill()
    parent.wait()
    assert all(worker.gone(number) for number in numbers)
    assert worker.soon(lambda: not worker.scratch.exists())


@linux
def test_worker_dies_with_its_guardian(start):
    worker = start("say('worker'); time.sleep(60)")
    number = worker.number("worker")
    worker.process.kill()
    assert worker.process.wait(20) == -signal.SIGKILL
    assert worker.gone(number)


@linux
def test_orphan_that_always_moves_on_is_caught(start):
    """Each process of the chain ends as soon as it has forked the next one, so that its number is always old."""
    source = """
end = time.monotonic() + 30
def hop():
    while time.monotonic() < end and os.fork() == 0:
        (folder / "out" / "hops").write_text(str(os.getpid()))
    os._exit(0)
grandchild(hop)
while not (folder / "out" / "hops").exists():
    time.sleep(0.01)
"""
    worker = start(source)
    assert worker.end(20) == 0, worker.log
    hops = worker.folder / "out" / "hops"
    last = hops.read_text()
    time.sleep(0.2)
    assert hops.read_text() == last


@linux
def test_processes_that_ended_do_not_pile_up(start):
    """The guardian waits for orphans while the worker still runs."""
    source = """
for _ in range(20):
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.wait()
say("worker")
time.sleep(60)
"""
    worker = start(source)
    number = worker.number("worker")
    children = Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children")
    assert worker.soon(lambda: children.read_text().split() == [str(number)])
