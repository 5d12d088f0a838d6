"""The rules of the wall, against the kernel: of this ABI, and of all older ones."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bench.worker import confine

try:
    ABI = confine.abi()
    NO_WALL = ""
except confine.Unconfined as reason:
    ABI = 0
    NO_WALL = str(reason)
needs_wall = pytest.mark.skipif(bool(NO_WALL), reason=NO_WALL)

SINCE = {"read": 1, "make": 1, "truncate": 3, "connect": 4, "bind": 4, "abstract": 6, "signal": 6}
"""Attempt → first ABI that refuses it, as https://docs.kernel.org/userspace-api/landlock.html tells."""

PROBE = """
import importlib.util, json, os, socket, sys
from pathlib import Path
path, version, closed, scratch, port, pid, name = sys.argv[1:]
spec = importlib.util.spec_from_file_location("confine", path)
confine = importlib.util.module_from_spec(spec)
spec.loader.exec_module(confine)
confine.abi = lambda: int(version)
held = confine.confine([], [], scratch)
inside = Path(scratch, "inside")
attempts = {
    "read": lambda: (Path(closed) / "file").read_bytes(),
    "make": lambda: (Path(closed) / "new").write_bytes(b""),
    "truncate": lambda: os.truncate(Path(closed) / "file", 1),
    "connect": lambda: socket.create_connection(("127.0.0.1", int(port))),
    "bind": lambda: socket.socket().bind(("127.0.0.1", 0)),
    "abstract": lambda: socket.socket(socket.AF_UNIX).connect("\\0" + name),
    "signal": lambda: os.kill(int(pid), 0),
    "own": lambda: (inside.mkdir(), (inside / "f").write_bytes(b"123"), os.truncate(inside / "f", 1),
                    (inside / "f").rename(inside / "g"), (inside / "g").unlink(), inside.rmdir()),
    "null": lambda: Path("/dev/null").write_bytes(b"1"),
}
told = {}
for attempt, call in attempts.items():
    try:
        call()
        told[attempt] = "done"
    except PermissionError:
        told[attempt] = "refused"
print(json.dumps([held, told]))
"""


@needs_wall
@pytest.mark.parametrize("version", range(1, ABI + 1))
def test_each_abi_holds_what_the_kernel_documents(version, tmp_path, listener, abstract_listener):
    closed, scratch = tmp_path / "closed", tmp_path / "scratch"
    closed.mkdir()
    scratch.mkdir()
    (closed / "file").write_bytes(b"1234")
    words = [confine.__file__, version, closed, scratch, listener, os.getpid(), abstract_listener]
    out = subprocess.check_output([sys.executable, "-c", PROBE, *map(str, words)], timeout=60)
    held, told = json.loads(out)
    expected = {attempt: "refused" if version >= since else "done" for attempt, since in SINCE.items()}
    assert told == {**expected, "own": "done", "null": "done"}
    assert held == confine.held(version, network=False)
    assert ("TCP" in held, "signals" in held) == (told["connect"] == "refused", told["signal"] == "refused")
    assert ("but not shortening" in held) == (told["truncate"] == "done")


def test_words_of_a_row():
    assert confine.held(7, network=False) == "Landlock ABI 7: files, TCP, signals"
    assert confine.held(7, network=True) == "Landlock ABI 7: files, signals"
    assert confine.held(5, network=False) == "Landlock ABI 5: files, TCP"
    assert confine.held(3, network=False) == "Landlock ABI 3: files"
    assert confine.held(1, network=False) == "Landlock ABI 1: files but not shortening them"


def test_other_systems_say_that_they_cannot(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(confine.Unconfined, match="only Linux"):
        confine.abi()


def test_what_can_be_imported_from_a_folder(tmp_path):
    yes = ["package/__init__.py", "module.py", "native.cpython-311-x86_64-linux-gnu.so", "some-1.0.dist-info/METADATA",
           "other.egg-info/PKG-INFO", "numpy.libs/libblas.so", "space/part/__init__.py", "space/single.py"]  # fmt: skip
    no = ["results/cells/1/result.json", "raw/ratings.csv", ".venv/lib/module.py", "notes.txt", "a/b/c/__init__.py"]
    for name in yes + no:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    found = list(confine.importable(tmp_path))
    readable = {name for name in yes + no if any((tmp_path / name).is_relative_to(path) for path in found)}
    assert readable == set(yes)
    assert list(confine.importable(tmp_path / "missing")) == []


def test_folders_that_all_workers_read(tmp_path):
    """Every path of the system that is granted exists nowhere near data, and none is a root or a home."""
    paths = [Path(path) for path, _ in confine._of_system([str(tmp_path)])]
    for path in paths:
        assert not Path.home().resolve().is_relative_to(path.resolve())
        assert not tmp_path.resolve().is_relative_to(path.resolve())
    assert Path("/dev") not in paths
    assert Path("/proc") not in paths


def test_shared_memory_is_closed_when_the_job_lies_in_it():
    def granted(job):
        return "/dev/shm" in [path for path, _ in confine._of_system(job)]

    assert granted(["/tmp/job"])
    assert not granted(["/tmp/job", "/dev/shm/raw"])


@pytest.fixture
def listener():
    """The port of a TCP server that is there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def abstract_listener():
    """The name of an abstract Unix socket that is there."""
    name = f"bench-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0" + name)
        server.listen()
        yield name
