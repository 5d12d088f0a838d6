"""What a worker can reach, and how it is started."""

import os
import signal
import socket
from pathlib import Path

import pytest

from bench.worker import bootstrap, confine

READS = """
attempt("input", (folder / "in" / "file").read_bytes)
attempt("self", Path("/proc/self/environ").read_bytes)
def secrets(prefix):
    secret = folder / "secret" / "file"
    attempt(prefix + "sibling", secret.read_bytes)
    attempt(prefix + "list", lambda: os.listdir(secret.parent))
    attempt(prefix + "link", lambda: Path("/proc/self/root", *secret.parts[1:]).read_bytes())
    attempt(prefix + "root", lambda: os.listdir("/"))
    attempt(prefix + "devices", lambda: os.listdir("/dev"))
    for pid in (guardian, int(sys.argv[2])):
        attempt(f"{prefix}{pid} fd", lambda: os.listdir(f"/proc/{pid}/fd"))
        for name in ("mem", "environ", "maps", "cmdline", "fd/0"):
            attempt(f"{prefix}{pid} {name}", lambda: os.close(os.open(f"/proc/{pid}/{name}", os.O_RDONLY)))
"""
SECRETS = 5 + 2 * 6


def test_worker_reads_its_input_and_no_secret(start, wall):
    worker = start(READS + "secrets(''); tell()", arguments=[os.getpid()])
    assert worker.end() == 0, worker.log
    told = worker.told
    assert (told.pop("input"), told.pop("self")) == ("done", "done")
    assert set(told.values()) == {"refused"}, told
    assert len(told) == SECRETS
    assert worker.events == [{"event": "confined", "held": wall}]


def test_the_same_attempts_succeed_unconfined(start):
    worker = start(READS + "secrets(''); tell()", arguments=[os.getpid()], confine=False)
    assert worker.end() == 0, worker.log
    assert {name for name, what in worker.told.items() if what == "done"} >= {"input", "sibling", "list", "root"}
    assert worker.events == [{"event": "confined", "held": "unconfined: not wanted"}]


def test_threads_and_children_are_held_too(start, wall):
    source = """
import subprocess, threading
thread = threading.Thread(target=secrets, args=("thread ",))
thread.start()
thread.join()
if os.fork() == 0:
    told.clear()
    secrets("child ")
    (folder / "out" / "child.json").write_text(json.dumps(told))
    os._exit(0)
os.wait()
told |= json.loads((folder / "out" / "child.json").read_text())
code = "import sys; open(sys.argv[1]).read()"
cannot = subprocess.run([sys.executable, "-c", code, folder / "secret" / "file"], capture_output=True, text=True)
told["program"] = "refused" if "PermissionError" in cannot.stderr else cannot.stderr
tell()
"""
    worker = start(READS + source, arguments=[os.getpid()])
    assert worker.end() == 0, worker.log
    told = {name: what for name, what in worker.told.items() if name not in ("input", "self")}
    assert set(told.values()) == {"refused"}, told
    assert len(told) == 2 * SECRETS + 1


def test_worker_writes_files_and_folders_where_it_may_and_nothing_else(start, wall):
    source = """
import socket
out, work, given, scratch = (folder / name for name in ("out", "work", "in", "scratch"))
(work / "a").mkdir()
(work / "a" / "f").write_text("1")
(work / "a" / "f").rename(out / "moved")
os.truncate(out / "moved", 0)
(work / "a").rmdir()
attempt("outside", lambda: (folder / "new").write_text("1"))
attempt("temporary folder", lambda: Path(sys.argv[2]).write_text("1"))
attempt("input", lambda: (given / "new").write_text("1"))
attempt("change", lambda: (given / "file").open("r+"))
attempt("shorten", lambda: os.truncate(given / "file", 1))
attempt("remove", lambda: (given / "file").unlink())
attempt("move away", lambda: (given / "file").rename(out / "file"))
attempt("move in", lambda: (out / "moved").rename(given / "file"))
attempt("hard link of input", lambda: os.link(given / "file", out / "linked"))
attempt("hard link of secret", lambda: os.link(folder / "secret" / "file", out / "linked"))
attempt("symlink", lambda: (out / "link").symlink_to(folder / "secret" / "file"))
attempt("fifo", lambda: os.mkfifo(out / "fifo"))
attempt("fifo in scratch", lambda: os.mkfifo(scratch / "fifo"))
attempt("socket", lambda: socket.socket(socket.AF_UNIX).bind(str(out / "socket")))
os.chdir(scratch)
socket.socket(socket.AF_UNIX).bind("s")
attempt("socket from scratch", lambda: (scratch / "s").rename(out / "s"))
attempt("device", lambda: os.mknod(out / "device", 0o60600, os.makedev(1, 3)))
tell()
"""
    aside = Path("/tmp", f"bench-test-{os.getpid()}")
    worker = start(source, arguments=[aside])
    assert worker.end() == 0, worker.log
    assert len(worker.told) == 16
    refused = {name for name, what in worker.told.items() if what == "refused"}
    assert refused == set(worker.told) - ({"shorten"} if "shortening" in wall else set()), worker.told
    assert {path.name for path in (worker.folder / "out").iterdir()} == {"moved", "told.json"}
    assert {path.name: path.read_text() for path in (worker.folder / "in").iterdir()} == {"file": "12345"}
    assert not aside.exists()


@pytest.mark.parametrize("network", [False, True])
def test_network_and_signals(start, wall, network):
    source = """
import signal, socket, subprocess
port, parent = map(int, sys.argv[2:])
attempt("connect", lambda: socket.create_connection(("127.0.0.1", port)).close())
attempt("bind", lambda: socket.create_server(("127.0.0.1", 0)).close())
attempt("signal guardian", lambda: os.kill(guardian, 0))
attempt("signal parent", lambda: os.kill(parent, 0))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
child.terminate()
told["own child"] = child.wait()
tell()
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        worker = start(source, arguments=[server.getsockname()[1], os.getpid()], network=network)
        assert worker.end() == 0, worker.log
    tcp = "refused" if "TCP" in wall and not network else "done"
    signals = "refused" if "signals" in wall else "done"
    assert worker.told == {
        "connect": tcp, "bind": tcp, "signal guardian": signals, "signal parent": signals,
        "own child": -signal.SIGTERM,
    }  # fmt: skip
    assert worker.events[0]["held"] == wall.replace(" TCP,", "" if network else " TCP,")


def test_what_lies_beside_an_editable_package_stays_closed(start, wall, tmp_path):
    """Packages found by a path entry, and by the finder that setuptools installs for an editable package."""
    template = pytest.importorskip("setuptools.command.editable_wheel")._finder_template
    for name in ("project/package/data.txt", "project/package/__init__.py", "project/single.py",
                 "project/space/part/__init__.py", "project/results/result.json", "project/raw.csv",
                 "other/mapped/__init__.py", "other/mapped/data.txt", "other/lone.py", "other/raw.csv"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    site, other = tmp_path / "site", tmp_path / "other"
    site.mkdir()
    mapping = {"mapped": str(other / "mapped"), "lone": str(other / "lone")}
    (site / "__editable___other_finder.py").write_text(template("other", mapping, {}))
    (site / "sitecustomize.py").write_text("import __editable___other_finder as finder; finder.install()")
    source = """
import package, single, space.part, mapped, lone
project, other = folder / "project", folder / "other"
attempt("data", (project / "package" / "data.txt").read_bytes)
attempt("mapped data", (other / "mapped" / "data.txt").read_bytes)
attempt("list", lambda: os.listdir(project))
attempt("results", (project / "results" / "result.json").read_bytes)
attempt("raw", (project / "raw.csv").read_bytes)
attempt("other raw", (other / "raw.csv").read_bytes)
attempt("other list", lambda: os.listdir(other))
tell()
"""
    worker = start(source, environment={"PYTHONPATH": f"{site}:{tmp_path / 'project'}"})
    assert worker.end() == 0, worker.log
    may = dict.fromkeys(["data", "mapped data", "list"], "done")
    assert worker.told == {**may, **dict.fromkeys(["results", "raw", "other raw", "other list"], "refused")}


def test_a_closed_folder_that_is_open_all_the_same_is_named(start, wall, tmp_path):
    worker = start("tell()", closed=[str(tmp_path / "secret"), str(tmp_path / "in" / "raw")])
    assert worker.end() == 0, worker.log
    assert worker.events[0]["held"] == f"{wall}, but {tmp_path / 'in' / 'raw'} is open"


def test_worker_that_cannot_be_confined_does_not_run(start, wall, tmp_path):
    worker = start("tell()", read=[str(tmp_path / "missing")])
    assert worker.end() == bootstrap.CANNOT_CONFINE
    [line] = worker.log.splitlines()
    assert line.startswith("the worker cannot be confined, so it does not start: ")
    assert str(tmp_path / "missing") in line
    assert worker.events == []
    assert not any((tmp_path / "out").iterdir())


@pytest.mark.parametrize("network", [False, True])
def test_home_is_the_scratch_folder_and_the_hub_stays_readable(start, wall, tmp_path, network):
    blob = tmp_path / "hub" / "hub" / "blob"
    blob.parent.mkdir(parents=True)
    blob.write_text("1")
    (tmp_path / "hub" / "token").write_text("key")
    source = """
import tempfile
hub = Path(os.environ["HF_HUB_CACHE"])
for place in (Path.home(), tempfile.gettempdir(), *(os.environ[name] for name in sys.argv[2:])):
    Path(place).mkdir(parents=True, exist_ok=True)
    Path(place, "file").write_text("1")
    assert Path(place).is_relative_to(folder / "scratch"), place
attempt("read", (hub / "blob").read_text)
attempt("write", lambda: (hub / "new").write_text("1"))
attempt("link", lambda: (hub / "link").symlink_to("blob"))
attempt("token", (folder / "hub" / "token").read_text)
told |= {name: os.environ.get(name) for name in ("HF_HUB_OFFLINE", "HF_TOKEN_PATH")}
tell()
"""
    environment = {"HF_HUB_OFFLINE": "0", "HUGGINGFACE_HUB_CACHE": "", "XDG_CONFIG_HOME": str(tmp_path)}
    worker = start(source, arguments=bootstrap._CACHES, network=network, environment=environment)
    assert worker.end() == 0, worker.log
    write = "done" if network else "refused"
    assert worker.told == {
        "read": "done", "write": write, "link": write, "token": write, "HF_HUB_OFFLINE": "0" if network else "1",
        "HF_TOKEN_PATH": str(tmp_path / "hub" / "token") if network else None,
    }  # fmt: skip


def test_peak_of_memory_can_be_begun_anew(start, wall):
    source = """
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
block = bytearray(200 << 20)
del block
before = peak()
os.write(int(os.environ["BENCH_CLEAR_REFS_FD"]), b"5")
told |= {"before": before, "after": peak()}
tell()
"""
    worker = start(source)
    assert worker.end() == 0, worker.log
    assert worker.told["before"] >= 200 > 100 > worker.told["after"]


def test_files_of_proc_stay_readable_when_the_kernel_forgets_them(start, wall):
    """Their rules would be forgotten with them, so they are held open: else ``drop_caches`` closes /proc/cpuinfo."""
    source = """
told["open"] = [os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")
                if os.path.exists(f"/proc/self/fd/{number}")]
tell()
"""
    worker = start(source)
    assert worker.end() == 0, worker.log
    names = [f"/proc/{name}" for name in confine._SYSTEM["/proc"].split() if name != "self"]
    assert set(worker.told["open"]) >= {name for name in names if Path(name).exists()}


@pytest.mark.slow
def test_numbers_and_kernels_are_those_of_an_unconfined_worker(start, wall):
    source = """
import hashlib, multiprocessing
import numpy, pandas, pyarrow, scipy.linalg, torch
generator = numpy.random.default_rng(0)
square = generator.normal(size=(200, 200))
found = [numpy.linalg.svd(square)[1], scipy.linalg.solve(square, square[0]),
         torch.nn.functional.gelu(torch.tensor(square, dtype=torch.float32)).softmax(1).numpy()]
frame = pandas.DataFrame(square, columns=[str(i) for i in range(200)])
frame.to_parquet(folder / "work" / "frame.parquet")
found.append(pandas.read_parquet(folder / "work" / "frame.parquet").cumsum().to_numpy())
with multiprocessing.Pool(2) as pool:
    found.append(numpy.array(pool.map(abs, range(-4, 4))))
told["capability"] = torch.backends.cpu.get_cpu_capability()
told["bytes"] = [hashlib.sha256(array.tobytes()).hexdigest() for array in found]
tell()
"""
    told = []
    for confined in (True, False):
        worker = start(source, confine=confined, environment={"OMP_NUM_THREADS": "1"})
        assert worker.end(120) == 0, worker.log
        told.append(worker.told)
    assert told[0] == told[1]
    assert len(set(told[0]["bytes"])) == 5
