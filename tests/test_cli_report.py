"""``bench report`` as a user calls it, on results of real runs."""

import json
import shutil

import numpy as np
import pytest

from bench.data.catalog import card
from bench.data.prepare import prepare
from bench.data.protocol import PROTOCOLS
from bench.data.split import split
from bench.interactions import Recommendations
from bench.runs.evaluate import keep_lists, read_lists
from bench.runs.store import Store


@pytest.fixture(scope="module")
def made(start_bench, tmp_path_factory):
    """Results of two models on the tiny data."""
    root = tmp_path_factory.mktemp("made") / "results"
    process = start_bench("run", "--models", "pop,itemknn", "--dataset", "tiny", "--results", root)
    assert process.wait() == 0
    return root


@pytest.fixture
def results(made, tmp_path):
    """A copy of them."""
    return shutil.copytree(made, tmp_path / "results")


def test_page_has_lists_with_titles_and_hits(bench, results, tmp_path):
    done = bench("report", "--results", results, "--out", tmp_path / "page.html")
    assert done.status == 0
    assert "1 table, 2 rows" in done.out
    [table] = json.loads((tmp_path / "page.json").read_text())["tables"]
    parts = split(prepare(card("tiny")), PROTOCOLS["random"])
    titles, ids = parts.visible.item_texts()["title"].tolist(), parts.visible.user_texts()["id"].tolist()
    cells = {result.cell.model: result.cell_id for result in Store(results).results()}
    assert len(table["lists"]["users"]) == 20
    known = parts.visible.train
    for place, model in enumerate(table["lists"]["rows"]):
        users, items = read_lists(results / "cells" / cells[model] / "lists.parquet")
        for shown in table["lists"]["users"]:
            user = ids.index(shown["user"])
            [own] = items[users == user]
            test = parts.hidden.test.items[parts.hidden.test.users == user].tolist()
            expected = [{"title": titles[i], "hit": i in test} for i in own[:10].tolist() if i >= 0]
            assert shown["lists"][place] == expected
            assert shown["known"] == np.count_nonzero(known.users == user)
    assert any(one["hit"] for user in table["lists"]["users"] for own in user["lists"] for one in own)


def test_results_without_lists_logs_and_data_make_a_page(bench, results, tmp_path, monkeypatch):
    for path in (*results.rglob("lists.parquet"), *results.rglob("worker.log")):
        path.unlink()
    monkeypatch.setenv("BENCH_RAW_DIR", str(tmp_path / "nowhere"))
    assert bench("report", "--results", results, "--out", tmp_path / "page.html").status == 0
    [table] = json.loads((tmp_path / "page.json").read_text())["tables"]
    assert table["lists"] is None
    assert [row["ranks"]["all"] for row in table["rows"]]


def test_data_that_are_not_at_hand_leave_lists_out_with_a_line(bench, results, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_RAW_DIR", str(tmp_path))
    assert bench("report", "--results", results, "--out", tmp_path / "page.html").status == 0
    [table] = json.loads((tmp_path / "page.json").read_text())["tables"]
    assert table["lists"] is None
    assert "no lists: their data are not at hand" in table["notes"]


@pytest.mark.parametrize("damage", ["bytes", "other items", "other users"])
def test_damaged_lists_are_left_out_with_a_line(bench, results, tmp_path, damage):
    for path in results.rglob("lists.parquet"):
        if damage == "bytes":
            path.write_bytes(path.read_bytes()[:100])
            continue
        users, items = read_lists(path)
        changed = (users, np.full_like(items, 10_000)) if damage == "other items" else (users[::-1], items)
        keep_lists(path, changed[0], Recommendations(changed[1], np.zeros(items.shape, np.float32)))
    assert bench("report", "--results", results, "--out", tmp_path / "page.html").status == 0
    [table] = json.loads((tmp_path / "page.json").read_text())["tables"]
    assert table["lists"] is None
    assert any(note.startswith("no lists: ") and "lists.parquet" in note for note in table["notes"])


def test_latex_and_markdown_are_printed(bench, results, tmp_path):
    latex = bench("report", "--results", results, "--latex")
    assert latex.status == 0
    assert latex.out.count(r"\begin{table}") == 1
    assert "itemknn & " in latex.out
    markdown = bench("report", "--results", results, "--markdown")
    assert markdown.out.startswith("# tiny, protocol random")
    assert not (tmp_path / "report.html").exists()
    written = bench("report", "--results", results, "--latex", "--out", tmp_path / "table.tex")
    assert written.out == f"written: {tmp_path / 'table.tex'}\n"
    assert (tmp_path / "table.tex").read_text() == latex.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no results in nowhere/cells: make some with 'bench run', or give another --results"),
        (["--latex"], "no results in nowhere/cells"),
        (["--latex", "--markdown"], "--latex and --markdown were given: choose one"),
    ],
    ids=str,
)
def test_errors_are_one_line(bench, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    done = bench("report", "--results", "nowhere", *words)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(f"error: {said}")
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_results_of_another_data_set_are_missed_by_name(bench, results, tmp_path):
    done = bench("report", "--results", results, "--dataset", "other", "--out", tmp_path / "page.html")
    assert "no results of 'other'" in done.err
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("name", ["page.json", "page.csv"])
def test_page_takes_no_place_of_its_own_files(bench, results, tmp_path, name):
    done = bench("report", "--results", results, "--out", tmp_path / name)
    assert done.status == 1
    assert "give it the ending .html" in done.err
    assert not (tmp_path / name).exists()
