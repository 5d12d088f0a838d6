"""The index of a results folder: what it says is what the files say, whatever was done to them or to it."""

import errno
import json

import pytest

from bench.errors import ResultsError
from bench.files import write_text
from bench.report import ready
from bench.runs import index
from bench.runs.store import Store


@pytest.fixture
def store(tmp_path, monkeypatch, new_cache):
    """One that is worth an index however small it is, with two tables."""
    monkeypatch.setattr(index, "WORTHWHILE", 1)
    monkeypatch.setattr(ready, "WORTHWHILE", 1)
    return Store(tmp_path / "results")


@pytest.fixture
def read(store, monkeypatch):
    """The cells whose result is read from its file, in order."""
    found = []
    whole = Store._read
    monkeypatch.setattr(Store, "_read", lambda self, cell: (found.append(cell), whole(self, cell))[1])
    return found


@pytest.fixture
def two(store, make_result):
    """Results of two data sets."""
    results = [make_result("pop", dataset="one"), make_result("ease", dataset="two", fingerprint="e" * 64)]
    for result in results:
        store.write(result)
    return results


def without_index(store, *arguments, **options):
    """What a store says that reads every file."""
    index.index_file(store.root, "cells").unlink(missing_ok=True)
    return Store(store.root).results(*arguments, **options)


def test_results_of_one_data_set_are_found_without_reading_the_others(store, read, two):
    one, other = two
    assert store.results("one") == [one] == without_index(store, "one")
    read.clear()
    assert store.results("one") == [one]
    assert store.results(fingerprints={other.cell.fingerprint}) == [other]
    assert read == [one.cell_id, other.cell_id]
    read.clear()
    assert set(store.known()) == {one.cell_id, other.cell_id}
    assert read == []


def test_a_file_that_was_changed_is_read_again(store, read, two, make_result):
    one, _ = two
    store.known()
    read.clear()
    failed = make_result("pop", dataset="one", status="failed")
    store.write(failed)
    assert not store.known()[one.cell_id].finished
    assert read == [one.cell_id]


def test_a_damaged_result_is_told_every_time(store, two):
    write_text(store.path(two[0].cell_id) / "result.json", "{")
    for _ in range(2):
        again = Store(store.root)
        assert set(again.known()) == {two[1].cell_id}
        assert len(again.left_out) == 1


def test_cells_that_are_gone_are_known_no_more(store, two):
    store.known()
    (store.path(two[0].cell_id) / "result.json").unlink()
    assert set(store.known()) == {two[1].cell_id}


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"a": 1}', b'{"x": {"stamp": "", "dataset": ""}}', b"\xff"])
def test_a_damaged_index_is_made_anew(store, two, damage):
    store.known()
    list(ready.written(store))
    for what in ("cells", "tables"):
        file = index.index_file(store.root, what)
        assert file.exists()
        file.write_bytes(damage)
    assert store.results("one") == [two[0]]
    assert len(list(ready.written(store))) == 2
    assert set(json.loads(index.index_file(store.root, "cells").read_bytes())) == {
        str(store.path(result.cell_id) / "result.json") for result in two
    }


@pytest.fixture
def made(monkeypatch):
    """The data sets whose tables are made, in order."""
    found = []
    whole = ready._made
    monkeypatch.setattr(ready, "_made", lambda store, name, *rest: (found.append(name), whole(store, name, *rest))[1])
    return found


def test_a_table_is_made_again_only_when_something_of_it_has_changed(store, two, made, make_result):
    first = list(ready.written(store))
    assert made == ["one", "two"]
    made.clear()
    assert list(ready.written(store)) == first
    assert made == []
    store.write(make_result("itemknn", dataset="two", fingerprint="e" * 64))
    [one, other] = ready.written(store)
    assert made == ["two"]
    assert one == first[0]
    assert "itemknn" in other.texts[0]
    assert {row["model"] for row in other.document()["rows"]} == {"ease", "itemknn"}


def test_tables_of_a_folder_that_takes_no_files_are_shown(store, two, monkeypatch):
    def refuse(*_arguments):
        raise PermissionError(errno.EACCES, "Permission denied", "x")

    monkeypatch.setattr("bench.report.leaderboard.write", refuse)
    [one, _] = ready.written(store)
    assert "| ndcg@10" in one.texts[0]
    assert one.files == []
    with pytest.raises(ResultsError, match="the results folder takes no files"):
        one.document()


def test_values_per_user_studies_and_the_written_files_count_too(store, two, made):
    [one, _] = ready.written(store)
    made.clear()
    write_text(store.path(two[0].cell_id) / "per_user.parquet", "damage")
    list(ready.written(store))
    assert made == ["one"]
    made.clear()
    one.files[0][0].unlink()
    list(ready.written(store))
    assert made == ["one"]
    assert one.files[0][0].exists()
    made.clear()
    write_text(store.root / "tuning" / "one-x.json", "{}")
    list(ready.written(store))
    assert made == ["one", "two"]


def test_a_small_folder_has_no_index(tmp_path, new_cache, make_result):
    store = Store(tmp_path / "results")
    store.write(make_result())
    assert len(list(ready.written(store))) == 1
    assert not index.index_file(store.root, "cells").exists()
    assert not index.index_file(store.root, "tables").exists()
