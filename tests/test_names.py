"""Names of strangers: no collision, no way out of the results folder, nothing that breaks a page."""

import csv
import io
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report import ablations, leaderboard, names
from bench.report.table import tables
from bench.runs.store import Store

ODD = [
    "a", "A", "a b", "a-b", "a_b", "a/b", "a//b", "a\\b", "a:b", "a|b", "a,b", "a@b", "a\nb", "a\tb", "a b ", "..", ".",
    "../../x", "/etc/x", "~", "x" * 300, "x" * 299, "é", "e\u0301", "美妆", "美装", "-", "--", "a.", ".a",
    "con", "", " ", "a\x00b", "<b>", "a~b", "*", "{a}",
]  # fmt: skip


def on_a_system_that_folds(slug):
    """Two names with the same of these may be one file on macOS or Windows."""
    return slug.casefold()


def test_slugs_never_collide_and_are_no_paths():
    slugs = [names.slug(name) for name in ODD]
    assert len({on_a_system_that_folds(slug) for slug in slugs}) == len(ODD)
    for slug in slugs:
        assert re.fullmatch(r"[\w.+~-]{1,100}", slug), slug
        assert slug[0] not in ".-"
        assert len(slug.encode()) <= 64


@pytest.mark.parametrize("name", ["beauty", "ml-100k", "colarec-phone", "food.com", "a_b", "kfold-3", "random-changed"])
def test_usual_names_are_kept(name):
    assert names.slug(name) == name


@given(st.text(), st.text())
def test_any_two_names_have_two_slugs(one, other):
    assert (one == other) == (names.slug(one).casefold() == names.slug(other).casefold())


@pytest.mark.parametrize("dataset", ["../../x", "/tmp/x", "a/b", "..", "x\ny"])
def test_no_table_is_written_outside(make_result, tmp_path, dataset):
    fields = {"dataset": dataset, "preset": "../p", "fingerprint": "../../" + "f" * 58}
    whole = make_result("../../m", config={"l": 1}, **fields)
    part = {"name": "../no", "unablated": {"l": 1}}
    [table] = tables([whole, make_result("../../m", config={"l": 0}, ablation=part, status="failed", **fields)])
    folder = tmp_path / "in" / "leaderboards"
    [found] = ablations.ablations(table, Store(tmp_path / "in"))
    written = [*leaderboard.write(table, folder), *ablations.write(found, folder)]
    assert {path.parent for path in written} == {folder}
    assert sorted(tmp_path.rglob("*.*")) == sorted(written)
    assert len(set(written)) == 6


def test_tables_of_names_that_look_alike_are_files_of_their_own(make_result, tmp_path):
    alike = ["a/b", "a:b", "a b", "a-b", "A-b", "a\nb"]
    for table in tables([make_result(dataset=name) for name in alike]):
        leaderboard.write(table, tmp_path)
    assert len({path.name.casefold() for path in tmp_path.glob("*.md")}) == len(alike)


def cells_of(line):
    """The cells of a line of a Markdown table: bars with a backslash do not end one."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


@pytest.mark.parametrize("name", ["a|b", "a\nb | c", "<img src=x>", "[a](http://x)", "`a`", "*a*", "a\x1b[31mb"])
def test_a_name_stays_in_its_cell(make_result, tmp_path, name):
    results = [make_result(name, 0.4), make_result("other", 0.2)]
    groups = {name: results[0].groups["all"].model_copy(update={"rule": name})}
    results = [r.model_copy(update={"groups": r.groups | groups, "cell": r.cell}) for r in results]
    [table] = tables(results)
    page = leaderboard.write(table, tmp_path)[0].read_text()
    lines = [line for line in page.splitlines() if line.startswith("|")]
    assert {len(cells_of(line)) for line in lines[:4]} == {10}
    assert {len(cells_of(line)) for line in lines[4:]} == {3}
    assert "\x1b" not in page
    assert "<img" not in page.replace("\\<img", "")
    assert "](http" not in page.replace("]\\(http", "").replace("\\](http", "")


def test_shown_as_it_is_by_a_renderer_of_markdown():
    """Backslashes before punctuation are what CommonMark takes away (section 2.4)."""
    for text in ("a|b", "<b>", "[a](b)", "*a*", "_a_", "a_b", "`a`", "\\", "&lt;", "ease [l2=1.0]", "recbole:BPR"):
        assert re.sub(r"\\([\\`*<|~&\]_])", r"\1", names.markdown(text)) == text


def test_csv_is_no_formula_and_reads_back():
    given = ["=1+1", "@x", "-x", "+x", 'a"b,c\nd', "plain"]
    rows = list(csv.reader(io.StringIO(names.csv(pd.DataFrame({"model": given, "score": [-1.0] * 6})))))
    assert [row[0] for row in rows[1:]] == ["'=1+1", "'@x", "'-x", "'+x", 'a"b,c\nd', "plain"]
    assert {row[1] for row in rows[1:]} == {"-1.0"}


def test_model_and_preset_are_not_taken_for_one_name(make_result):
    """A model called a@quick, and the preset quick of a model a."""
    found = [make_result("a@quick", 0.4), make_result("a", 0.2, preset="quick")]
    [table] = tables(found)
    assert [row.results for row in table.rows] == [[found[0]], [found[1]]]
    assert len({row.name for row in table.rows}) == 2


def test_a_config_key_is_not_taken_for_a_field_of_the_cell(make_result):
    found = [make_result("a", 0.4, config={"device": "x"}), make_result("a", 0.2, config={"device": "y"})]
    [table] = tables(found)
    assert [row.name for row in table.rows] == ["a [device=x]", "a [device=y]"]
