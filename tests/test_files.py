"""Hashes, and files and folders that appear whole or not at all."""

import os
import stat

import pytest

from bench import files


def test_hash_of_content_ignores_the_order_of_keys():
    assert files.content_hash({"a": 1, "b": [1, 2]}) == files.content_hash({"b": [1, 2], "a": 1})
    assert files.content_hash({"a": 1, "b": [1, 2]}) != files.content_hash({"a": 1, "b": [2, 1]})


def test_new_folder_appears_only_when_it_is_whole(tmp_path):
    target = tmp_path / "deep" / "target"
    with files.new_folder(target) as draft:
        (draft / "file").write_text("whole")
        assert not target.exists()
    assert (target / "file").read_text() == "whole"
    assert [path.name for path in target.parent.iterdir()] == ["target"]


@pytest.mark.parametrize("name", ["table.md", "two words.tar.gz", ".hidden"])
def test_a_draft_is_told_by_the_name_of_its_target(tmp_path, name):
    with files.new_file(tmp_path / name) as draft:
        draft.touch()
        assert files.without_draft(str(draft)) == str(tmp_path / name)
    assert files.without_draft(str(tmp_path / name)) == str(tmp_path / name)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_new_folder_vanishes_with_an_error(tmp_path, error):
    target = tmp_path / "target"

    def fill():
        with files.new_folder(target) as draft:
            (draft / "file").write_text("half")
            raise error

    with pytest.raises(error):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_folder_that_another_process_made_meanwhile_stays(tmp_path):
    target = tmp_path / "target"
    with files.new_folder(target) as draft:
        (draft / "file").write_text("mine")
        target.mkdir()
        (target / "file").write_text("theirs")
    assert (target / "file").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    files.write_text(path, "old")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]


def test_written_file_can_be_read_by_others(tmp_path):
    files.write_json(tmp_path / "file.json", {"a": "ü"})
    assert stat.S_IMODE((tmp_path / "file.json").stat().st_mode) == 0o644
    assert (tmp_path / "file.json").read_text() == '{\n  "a": "ü"\n}\n'


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"BENCH_CACHE_DIR": "/a"}, "/a"),
        ({"BENCH_CACHE_DIR": "", "XDG_CACHE_HOME": "/x"}, "/x/recsys-bench"),
        ({"BENCH_CACHE_DIR": "", "XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/recsys-bench"),
    ],
)
def test_cache_folder_is_named_by_the_environment(environment, expected, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(files.cache_folder()) == expected
