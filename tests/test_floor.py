"""What is personalized has to be above what is not: the marks of rows, and how tables come to know."""

import json

import pytest

from bench.evaluation.intervals import LEAST_USERS
from bench.report import leaderboard
from bench.report.table import tables
from bench.runs.store import Store


def table_of(*results):
    [table] = tables(results)
    return table


def marked(page):
    """Names of the rows of the main table that bear the mark."""
    cells = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")]
    return {cell.removesuffix(" ↓") for cell in cells if cell.endswith(" ↓")}


def test_few_users_show_no_row_below_another(make_result):
    def of(users, *given):
        result = make_result(*given[:2], personalized=given[2])
        group = result.groups["all"].model_copy(update={"n": users})
        return result.model_copy(update={"groups": {**result.groups, "all": group}})

    for users, below in ((LEAST_USERS - 1, set()), (LEAST_USERS, {"good"})):
        table = table_of(of(users, "good", 0.4, True), of(users, "popular", 0.5, False))
        assert marked(leaderboard.markdown(table)) == below


def test_a_row_below_one_without_personalization_bears_a_mark_and_a_line(make_result, tmp_path):
    table = table_of(
        make_result("good", 0.4, personalized=True),
        make_result("popular", 0.3, personalized=False),
        make_result("poor", 0.2, personalized=True),
        make_result("old", 0.1),
        make_result("chance", 0.05, personalized=False),
        make_result("gone", status="failed"),
    )
    page = leaderboard.markdown(table)
    assert marked(page) == {"poor", "old"}
    assert "- ↓ below popular, which does not know the users: poor, old\n" in page
    [_, csv, document] = leaderboard.write(table, tmp_path)
    rows = {row["model"]: row["below_popularity"] for row in json.loads(document.read_text())["rows"]}
    assert {name for name, below in rows.items() if below} == {"poor", "old"}
    assert "below_popularity" in csv.read_text()


def test_level_with_it_is_not_below(make_result):
    table = table_of(make_result("a", 0.3, personalized=True), make_result("popular", 0.3, personalized=False))
    assert marked(leaderboard.markdown(table)) == set()


@pytest.mark.parametrize(
    ("declared", "missed"), [((True, True), True), ((True, None), False), ((True, False), False)], ids=str
)
def test_a_table_without_a_floor_says_so_if_that_is_known(make_result, declared, missed):
    """A result of older versions may be one of popularity."""
    table = table_of(*(make_result(name, 0.3, personalized=one) for name, one in zip("ab", declared, strict=True)))
    assert ("no row of this table is without personalization" in leaderboard.markdown(table)) == missed


def test_a_table_of_failures_misses_nothing(make_result):
    assert "personalization" not in leaderboard.markdown(table_of(make_result("a", status="failed")))


def test_what_a_model_declares_stands_in_its_result(bench, tmp_path):
    done = bench("run", "--models", "pop,itemknn,random", "--dataset", "tiny", "--results", tmp_path)
    assert done.status == 0, done.err
    declared = {result.cell.model: result.personalized for result in Store(tmp_path).results()}
    assert declared == {"pop": False, "itemknn": True, "random": False}
