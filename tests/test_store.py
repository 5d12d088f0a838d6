"""The results folder: cells appear whole or not at all, and damage is named."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bench.errors import BenchError
from bench.runs.store import Store


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "results")
    store.open_for_writing()
    return store


def put(store, result):
    with store.draft(result.cell_id) as folder:
        (folder / "result.json").write_text(result.model_dump_json())


def names(store):
    return sorted(path.name for path in store.cells.iterdir())


def test_stored_result_is_read_back(store, make_result):
    first, second = make_result("pop"), make_result("ease", created="2025-01-01T00:00:00+00:00")
    put(store, first)
    put(store, second)
    assert store.result(first.cell_id) == first
    assert store.results() == [second, first]  # oldest first
    assert store.result("0" * 16) is None


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_draft_vanishes_with_an_error(store, error):
    def fill():
        with store.draft("abc") as folder:
            (folder / "half").write_text("")
            raise error

    with pytest.raises(error):
        fill()
    assert names(store) == []


def test_draft_is_no_result_before_it_is_whole(store, make_result):
    result = make_result()
    with store.draft(result.cell_id) as folder:
        (folder / "result.json").write_text(result.model_dump_json())
        assert store.results() == []
        assert store.result(result.cell_id) is None
    assert store.results() == [result]


def test_retried_cell_replaces_the_failed_one(store, make_result):
    put(store, make_result(status="failed"))
    put(store, make_result())
    assert names(store) == [make_result().cell_id]
    assert store.result(make_result().cell_id).status == "finished"


def test_runs_that_finish_one_cell_at_the_same_time_do_not_collide(store, make_result):
    result = make_result()
    together = threading.Barrier(8)

    def finish(_):
        with store.draft(result.cell_id) as folder:
            (folder / "result.json").write_text(result.model_dump_json())
            together.wait(30)

    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            list(pool.map(finish, range(8)))
            assert names(store) == [result.cell_id]
            assert store.results() == [result]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"cell_id": "x"}', b'{"cell_id": "x", "surprise": 1}'],
)
def test_corrupt_result_is_one_line_that_says_what_to_do(store, make_result, content):
    result = make_result()
    put(store, result)
    path = store.path(result.cell_id) / "result.json"
    path.write_bytes(content)
    with pytest.raises(BenchError) as caught:
        store.results()
    assert str(path) in str(caught.value)
    assert "move the folder" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_draft_of_a_dead_process_is_swept_and_that_of_a_living_one_kept(store):
    living = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = socket.gethostname()
    drafts = {
        who: store.cells / f".0123456789abcdef.{at}-{pid}-{who}"
        for who, at, pid in (
            ("living", host, living.pid), ("dead", host, dead.pid), ("own", host, os.getpid()),
            ("elsewhere", "other", dead.pid),
        )
    }  # fmt: skip
    for draft in drafts.values():
        draft.mkdir()
    try:
        store.open_for_writing()
        assert {who for who, draft in drafts.items() if draft.exists()} == {"living", "own", "elsewhere"}
    finally:
        living.send_signal(signal.SIGKILL)
        living.wait()


def test_odd_file_among_the_cells_does_no_harm(store, make_result):
    (store.cells / f".x.{socket.gethostname()}-what-is-this").mkdir()
    (store.cells / "notes.txt").write_text("mine")
    (store.cells / "empty").mkdir()
    put(store, make_result())
    store.open_for_writing()
    assert store.results() == [make_result()]


def test_folder_that_is_a_file_is_an_error_that_names_it(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises((BenchError, OSError), match="results"):
        Store(tmp_path / "results").open_for_writing()


def begin(store, error=None, **files):
    """An attempt at a cell that finds some files and leaves others; returns what it found."""
    with contextlib.suppress(type(error) if error else ()), store.draft("abc") as folder:
        found = sorted(path.name for path in (folder / "work").iterdir())
        for name, text in files.items():
            (folder / "work" / name).write_text(text)
        if error:
            raise error
    return found


@pytest.mark.parametrize("error", [None, RuntimeError(), KeyboardInterrupt()], ids=repr)
def test_working_files_of_an_attempt_are_found_by_the_next_one(store, error):
    assert begin(store, error, checkpoint="1") == []
    assert (store.work / "abc" / "work" / "checkpoint").read_text() == "1"
    assert begin(store, error, other="2") == ["checkpoint"]
    assert begin(store, error) == ["checkpoint", "other"]
    store.forget_work("abc")
    assert begin(store, error) == []
    assert list(store.work.iterdir()) == []


def test_folder_without_files_is_not_kept(store):
    with store.draft("abc") as folder:
        (folder / "work" / "empty" / "too").mkdir(parents=True)
        (folder / "epochs.jsonl").write_text("{}\n")
    assert names(store) == ["abc"]
    assert list(store.path("abc").iterdir()) == []


def test_of_two_attempts_at_a_time_one_has_the_working_files(store):
    begin(store, checkpoint="1")
    with store.draft("abc") as first, store.draft("abc") as second:
        assert [sorted(p.name for p in (f / "work").iterdir()) for f in (first, second)] == [["checkpoint"], []]
        (second / "work" / "other").write_text("2")
    assert begin(store) == ["checkpoint"]  # the last one to end


def test_cell_that_is_finished_keeps_no_working_files(store):
    begin(store, checkpoint="1")
    with store.draft("abc") as folder:
        begin(store, other="2")  # another attempt, which ends before
        store.forget_work("abc", folder)
    assert begin(store) == []


@pytest.mark.parametrize("sweeps", [1, 8])
def test_working_files_of_a_dead_process_are_kept(store, sweeps):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for _ in range(20):
        draft = store.cells / f".abc.{socket.gethostname()}-{dead.pid}-x"
        (draft / "work").mkdir(parents=True)
        (draft / "work" / "checkpoint").write_text("1")
        with ThreadPoolExecutor(sweeps) as pool:  # several runs that begin at the same time
            list(pool.map(lambda _: Store(store.root).open_for_writing(), range(sweeps)))
        assert names(store) == [".work"]
        assert begin(store) == ["checkpoint"]
        store.forget_work("abc")
        (store.cells / "abc").rmdir()
