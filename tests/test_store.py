"""The results folder: a cell is finished when its result is in place, and damage is named."""

import logging
import subprocess
import sys

import pytest

from bench.errors import BenchError
from bench.runs.claims import claim
from bench.runs.store import Store


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "results")
    store.open_for_writing()
    return store


@pytest.fixture
def dead():
    """Id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def put(store, result):
    store.path(result.cell_id).mkdir(exist_ok=True)
    store.commit(result)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_stored_result_is_read_back(store, make_result):
    first, second = make_result("pop"), make_result("ease", created="2025-01-01T00:00:00+00:00")
    put(store, first)
    put(store, second)
    assert store.result(first.cell_id) == first
    assert store.results() == [second, first]  # oldest first
    assert store.result("0" * 16) is None


def test_cell_without_a_result_is_no_result(store, make_result):
    (store.path("0" * 16) / "work").mkdir(parents=True)
    assert store.results() == []
    put(store, make_result())
    assert store.results() == [make_result()]


@pytest.mark.parametrize(
    ("before", "after", "kept"), [("failed", "finished", "finished"), ("finished", "failed", "finished")]
)
def test_failed_result_never_takes_the_place_of_a_finished_one(store, make_result, before, after, kept):
    for status in (before, after):
        put(store, make_result(status=status))
    assert store.result(make_result().cell_id).status == kept


def test_finished_cell_keeps_neither_work_nor_job_and_a_failed_one_its_checkpoints(store, make_result):
    for status, left in (("failed", ["result.json", "work"]), ("finished", ["result.json"])):
        result = make_result(status=status)
        for name in ("work/checkpoints", "job/in"):
            (store.path(result.cell_id) / name).mkdir(parents=True, exist_ok=True)
        put(store, result)
        assert names(store.path(result.cell_id)) == left


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"cell_id": "x"}', b'{"cell_id": "x", "surprise": 1}'],
)
def test_damaged_result_is_one_line_that_says_what_to_do_and_stops_no_other(store, make_result, caplog, content):
    result, other = make_result(), make_result("ease")
    put(store, result)
    put(store, other)
    path = store.path(result.cell_id) / "result.json"
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING, "bench"):
        assert store.result(result.cell_id) is None
    [record] = caplog.records
    line = record.getMessage()
    for said in ("left out: ", str(path), "run the cell again or remove it"):
        assert said in line
    assert "\n" not in line
    assert len(line) < 600
    assert store.results() == [other]


def test_result_of_another_cell_is_left_out(store, make_result, caplog):
    put(store, make_result())
    store.path(make_result().cell_id).rename(store.path("0" * 16))
    with caplog.at_level(logging.WARNING, "bench"):
        assert store.results() == []
    assert "is the result of another cell" in caplog.text


def test_what_a_dead_run_left_is_swept_and_what_a_living_one_works_at_is_not(store, make_result, dead):
    finished, failed, empty, running = ("f" * 16, "a" * 16, "e" * 16, "b" * 16)
    result = make_result()
    finished = result.cell_id
    put(store, result)
    for cell in (finished, failed, empty, running):
        store.path(cell).mkdir(exist_ok=True)
    for cell in (finished, failed, running):
        (store.path(cell) / "work" / "checkpoints").mkdir(parents=True)
        (store.path(cell) / "job").mkdir()
    for cell in (finished, failed, empty):
        held = claim(store.path(cell))
        text = held.path.read_text()
        own = text[text.index('"pid"') :].split(",")[0]
        held.path.write_text(text.replace(own, f'"pid": {dead}'))
    held = claim(store.path(running))
    Store(store.root).open_for_writing()
    assert names(store.path(finished)) == ["result.json"]
    assert names(store.path(failed)) == ["job", "work"]  # for the next attempt
    assert not store.path(empty).exists()
    assert names(store.path(running)) == sorted([held.path.name, "job", "work"])


def test_odd_file_among_the_cells_does_no_harm(store, make_result):
    (store.cells / ".x.what-is-this").mkdir()
    (store.cells / "notes.txt").write_text("mine")
    (store.cells / "empty").mkdir()
    put(store, make_result())
    store.open_for_writing()
    assert store.results() == [make_result()]


def test_folder_that_is_a_file_is_an_error_that_names_it(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises((BenchError, OSError), match="results"):
        Store(tmp_path / "results").open_for_writing()


def test_what_finished_is_replaced_only_by_what_finished_when_it_was_made_again(store, make_result):
    first = make_result("pop", 0.5)
    put(store, first)
    store.commit(make_result("pop", 0.6))
    store.commit(make_result("pop", status="failed"), again=True)
    assert store.result(first.cell_id) == first
    store.commit(make_result("pop", 0.7), again=True)
    assert store.result(first.cell_id).groups["all"].metrics["ndcg@10"] == 0.7
