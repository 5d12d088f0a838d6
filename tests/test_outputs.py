"""What a worker, or a disk, may put in the place of a file or folder."""

import os
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from bench.errors import BenchError, PluginError, one_line, plain
from bench.files import read_regular, remove
from bench.runs import log, outputs
from bench.runs.log import Log
from bench.runs.outputs import adopt, clean, open_output, read_array
from bench.runs.process import verdict
from bench.worker.kept import KeptArrays, read_entry
from bench.worker.seconds import Seconds


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def wild(tmp_path):
    """A folder 1,200 deep, with a link that leads out, a pipe, a socket and names of any bytes."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "mine").write_text("mine")
    wild = tmp_path / "wild"
    wild.mkdir()
    (wild / "out").symlink_to(tmp_path / "outside")
    (wild / "nowhere").symlink_to("nowhere")
    os.mkfifo(wild / "pipe")
    (wild / os.fsdecode(b"\xff\n")).write_text("x")
    before = Path.cwd()
    os.chdir(wild)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    for _ in range(1200):
        Path("d").mkdir()
        os.chdir("d")
        Path("file").touch()
    os.chdir(before)
    return wild


def test_anything_is_removed_and_nothing_else(wild, tmp_path):
    remove(wild)
    assert tree(tmp_path) == ["outside", "outside/mine"]
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    remove(tmp_path / "link")
    remove(tmp_path / "link")  # nothing is there any more
    assert tree(tmp_path) == ["outside", "outside/mine"]
    remove(tmp_path / "outside" / "mine")
    assert tree(tmp_path) == ["outside"]


def test_folder_that_the_next_attempt_reads_has_files_and_folders_only(wild, tmp_path):
    clean(wild)
    assert not wild.exists()
    (tmp_path / "work" / "checkpoints").mkdir(parents=True)
    (tmp_path / "work" / "checkpoints" / "one").write_text("1")
    clean(tmp_path / "work")
    assert tree(tmp_path / "work") == ["checkpoints", "checkpoints/one"]
    os.mkfifo(tmp_path / "work" / "epochs.jsonl")
    clean(tmp_path / "work")
    assert not (tmp_path / "work").exists()
    (tmp_path / "work").symlink_to(tmp_path / "outside")
    clean(tmp_path / "work")
    assert tree(tmp_path) == ["outside", "outside/mine"]


def test_folder_that_is_kept_is_the_whole_of_it_in_the_place_of_what_was_there(tmp_path, monkeypatch):
    made, kept = tmp_path / "made", tmp_path / "kept"
    (made / "deeper").mkdir(parents=True)
    (made / "deeper" / "file").write_text("new")
    kept.mkdir()
    (kept / "old").write_text("old")
    adopt(made, kept)
    assert tree(tmp_path) == ["kept", "kept/deeper", "kept/deeper/file"]
    for what in (lambda: made.write_text("a file"), lambda: made.symlink_to(kept), lambda: os.mkfifo(made)):
        what()
        with pytest.raises(PluginError, match="the worker's folder made is not there or is no folder"):
            adopt(made, tmp_path / "other")
        made.unlink()
    made.mkdir()
    (made / "link").symlink_to(kept)
    with pytest.raises(PluginError, match="has link, which is neither a folder nor a regular file"):
        adopt(made, kept)
    (made / "link").unlink()
    for i in range(41):
        (made / str(i)).touch()
    monkeypatch.setattr(outputs, "FILES", 40)
    with pytest.raises(PluginError, match="has more than 40 files"):
        adopt(made, kept)
    assert tree(kept) == ["deeper", "deeper/file"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "is not there"),
        (lambda path: path.mkdir(), "is no regular file"),
        (os.mkfifo, "is no regular file"),
        (lambda path: path.symlink_to("/etc/passwd"), "is a link"),
        (lambda path: path.write_bytes(b"12345"), "has 5 bytes, where at most 4 bytes are expected"),
    ],
)
def test_only_a_regular_file_of_the_expected_size_is_opened(tmp_path, make, reason):
    make(tmp_path / "x.npy")
    with pytest.raises(PluginError, match=rf"^the worker's x\.npy {reason}$"):
        open_output(tmp_path / "x.npy", 4)
    if "link" not in reason:
        with pytest.raises(OSError, match=r"Not a regular file|Too large|No such file"):
            read_regular(tmp_path / "x.npy", 4)


def test_array_is_read_as_it_was_written(tmp_path):
    for array in (np.arange(6).reshape(2, 3), np.zeros((0, 3), np.float32)):
        np.save(tmp_path / "x.npy", array)
        np.testing.assert_array_equal(read_array(tmp_path / "x.npy", 6), array)


def logged(tmp_path, write):
    read, end = os.pipe()
    with (tmp_path / "log").open("w+b") as file:
        copied = Log(read, os.dup(file.fileno()))
        threading.Thread(target=lambda: (write(end), os.close(end))).start()
        copied.join(60)
        file.seek(0)
        return file.read()


def test_log_within_the_bounds_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "HEAD", 1000)
    monkeypatch.setattr(log, "TAIL", 500)
    for size in (0, 1, 999, 1000, 1001, 1500):
        text = os.urandom(size)
        assert logged(tmp_path, lambda end, text=text: os.write(end, text)) == text


def test_log_beyond_them_keeps_its_beginning_and_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "HEAD", 1000)
    monkeypatch.setattr(log, "TAIL", 500)
    text = bytes(range(97, 123)) * 4000
    said = f"\n[{len(text) - 1500:,} bytes are left out; a log keeps the first 1,000 and the last 500]\n".encode()

    def write(end):
        for at in range(0, len(text), 777):
            os.write(end, text[at : at + 777])

    assert logged(tmp_path, write) == text[:1000] + said + text[-500:]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "\xff",
        "[" * 300 + "]" * 300,
        '{"arrays": {}, "seconds": -1, "cpu_seconds": 1}',
        '{"arrays": {}, "seconds": 1e999, "cpu_seconds": 1}',
        '{"arrays": {}, "seconds": 1, "cpu_seconds": -1}',
        '{"arrays": {}, "seconds": 1}',
        '{"arrays": {}, "seconds": NaN, "cpu_seconds": 1}',
        '{"arrays": {"../a": "0"}, "seconds": 1, "cpu_seconds": 1}',
        '{"arrays": {"a": "0"}, "seconds": 1, "cpu_seconds": 1}',
        '{"arrays": {"gone": "0"}, "seconds": 1, "cpu_seconds": 1}',
    ],
)
def test_damaged_entry_is_none(tmp_path, text):
    kept = KeptArrays(tmp_path / "none", tmp_path)
    kept.add("vectors-1", {"a": np.arange(3)}, Seconds(2.5, 2))
    paths, spent = read_entry(tmp_path / "vectors-1")
    assert (list(paths), spent) == (["a"], Seconds(2.5, 2))
    (tmp_path / "vectors-1" / "entry.json").write_text(text, encoding="latin-1")
    with pytest.raises((OSError, ValueError)):
        read_entry(tmp_path / "vectors-1")


def test_exit_status_in_words():
    assert verdict(1) == "the worker ended with exit status 1"
    assert verdict(-9) == "killed by SIGKILL (out of memory, or killed from outside)"
    assert verdict(-40) == "killed by signal 40"
    assert "cannot be confined" in verdict(78)
    assert "--unconfined" in verdict(78)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n b\tc", "a b c"),
        ("\x1b[31mred\x07", "\ufffd[31mred\ufffd"),
        ("half \ud800", "half \ufffd"),
        ("\u202eback", "\ufffdback"),
        ("grün · 日本", "grün · 日本"),
    ],
)
def test_plain_text_is_one_line_that_does_nothing(text, line):
    assert plain(text) == line
    assert one_line(ValueError(text)) == f"ValueError: {line}"
    assert one_line(BenchError(text)) == line


def test_plain_text_is_bounded():
    assert plain("x" * 10**6, 100) == "x" * 99 + "…"
