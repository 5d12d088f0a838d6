"""Files that a config names: readable, part of the cell's key, and closed where they are raw data."""

import json
import shutil

import pytest
import yaml

from bench.runs.store import Store

ROWS = "user,item,time\n" + "".join(f"u{user},i{item},{10 * user + item}\n" for user in range(12) for item in range(8))


@pytest.fixture
def call(start_bench, rough_site, tmp_path):
    """Run ``rough-reads`` on a data set whose raw file lies in the plugin's own package."""
    site = tmp_path / "site"
    shutil.copytree(rough_site, site)
    (site / "rough" / "data.csv").write_text(ROWS)
    columns = {"columns": {"user": "user", "item": "item", "time": "time"}}
    source = {"reader": "table", "package": "rough", "install": "-", "options": columns}
    source["files"] = {"interactions": {"name": "data.csv"}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"own": {"title": "Own", "sources": [source]}}))

    def call(path, *more):
        words = (
            "run",
            "--dataset",
            tmp_path / "own.yaml",
            "--models",
            "rough-reads",
            "--results",
            tmp_path / "results",
        )
        process = start_bench(
            *words, "--set", f"rough-reads.path={path}", *more, environment={"PYTHONPATH": str(site)}, cwd=tmp_path
        )
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return [result for result in Store(tmp_path / "results").results() if result.cell.model == "rough-reads"]

    call.raw = site / "rough" / "data.csv"
    return call


def test_raw_file_inside_a_package_is_closed(call):
    [result] = call(call.raw)
    if not result.confinement.startswith("Landlock"):
        pytest.skip(f"this is the kernel's part, which this one does not do: {result.confinement}")
    assert result.facts["read"] == "PermissionError"
    assert "is open" not in result.confinement


def test_raw_file_can_be_read_where_nothing_is_held(call):
    [result] = call(call.raw, "--unconfined")
    assert result.facts["read"] == ROWS
    assert result.confinement.startswith("unconfined")


@pytest.mark.parametrize("path", ["words.txt", "./words.txt", "folder/words.txt"])
def test_relative_path_is_found_from_where_the_command_was_given(call, tmp_path, path):
    (tmp_path / "folder").mkdir()
    (tmp_path / path).write_text("a word")
    path = path if "/" in path else f"./{path}"
    [result] = call(path)
    assert result.facts["read"] == "a word"
    assert result.cell.config["path"] == str((tmp_path / path).resolve())


def test_other_content_is_another_cell_of_the_same_row(call, tmp_path):
    for text, cells in (("one", 1), ("one", 1), ("two", 2)):
        (tmp_path / "words").write_text(text)
        assert len(call(tmp_path / "words")) == cells
    [table] = (tmp_path / "results" / "leaderboards").glob("*.json")
    [row] = json.loads(table.read_text())["rows"]
    assert [result["config"]["path"] for result in row["results"]] == [str(tmp_path / "words")]
