"""``bench results``: nobody deletes folders by hand."""

import json

import pytest

from bench.messages.job import Outcome
from bench.report import leaderboard
from bench.report.kept import kept
from bench.report.table import tables
from bench.runs.claims import claim
from bench.runs.job import Ended
from bench.runs.store import Store

BROKEN = Outcome(status="failed", reason="broken")
LATER = "2026-02-01T00:00:00+00:00"


@pytest.fixture
def store(make_result, tmp_path):
    """Two versions of a model's code, another model, a failed one, a damaged and an unfinished cell; their tables."""
    found = Store(tmp_path / "results")
    cells = {
        "old": make_result("a", 0.5, code="o" * 64),
        "new": make_result("a", 0.4, created=LATER),
        "other": make_result("b", 0.3),
        "elsewhere": make_result("b", 0.3, dataset="second"),
        "failed": make_result("c", status="failed"),
        "damaged": make_result("d"),
        "unfinished": make_result("e"),
    }
    for name, result in cells.items():
        folder = found.path(result.cell_id)
        (folder / "model").mkdir(parents=True)
        (folder / "model" / "weights.npy").write_bytes(b"x" * 1000)
        (folder / "lists.parquet").write_bytes(b"x" * 500)
        if name == "damaged":
            (folder / "result.json").write_text("{")
        elif name != "unfinished":
            found.commit(result)
    for table in tables(found.results()):
        leaderboard.write(table, found.leaderboards)
    found.ids = {name: result.cell_id for name, result in cells.items()}
    return found


def ids(store, *names):
    return {store.ids[name] for name in names}


def there(store):
    return {path.name for path in store.cells.iterdir()}


def test_list_tells_states_and_sizes(bench, store):
    rows = {row["id"]: row for row in json.loads(bench("results", "list", "--results", store.root, "--json").out)}
    assert {store.ids[name]: rows[store.ids[name]]["state"] for name in store.ids} == {
        store.ids["old"]: "superseded", store.ids["new"]: "finished", store.ids["other"]: "finished",
        store.ids["elsewhere"]: "finished", store.ids["failed"]: "failed", store.ids["damaged"]: "damaged",
        store.ids["unfinished"]: "unfinished",
    }  # fmt: skip
    assert rows[store.ids["unfinished"]]["size"] == 1500
    assert rows[store.ids["damaged"]]["size"] == 1501
    assert {row["model_size"] for row in rows.values()} == {1000}
    done = bench("results", "list", "--results", store.root)
    assert all(cell in done.out for cell in store.ids.values())


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        (["prune"], ["old", "failed", "damaged"]),
        (["prune", "superseded"], ["old"]),
        (["prune", "failed", "unfinished"], ["failed", "unfinished"]),
        (["rm", "a"], ["old", "new"]),
        (["rm", "b"], ["other", "elsewhere"]),
        (["rm", "b", "--dataset", "second"], ["elsewhere"]),
    ],
    ids=" ".join,
)
def test_removed_is_what_was_named_and_nothing_without_yes(bench, store, words, gone):
    before = there(store)
    words = ("results", *words, "--results", store.root)
    done = bench(*words)
    assert (done.status, there(store)) == (0, before)
    assert f"would remove {len(gone)} cell{'s' * (len(gone) > 1)}, " in done.out
    assert all(store.ids[name] in done.out for name in gone)
    done = bench(*words, "--yes")
    assert (done.status, before - there(store)) == (0, ids(store, *gone))
    assert f"removed {len(gone)} cell{'s' * (len(gone) > 1)}, " in done.out


def test_an_id_or_its_beginning_names_one_cell(bench, store):
    bench("results", "rm", store.ids["new"][:8], store.ids["failed"], "--results", store.root, "--yes")
    assert set(store.ids.values()) - there(store) == ids(store, "new", "failed")


def test_tables_follow(bench, store):
    bench("results", "rm", "b", "--results", store.root, "--yes")
    [path] = store.leaderboards.glob("*.json")  # that of the second data set is gone
    assert path.name.startswith("tiny-random-")
    assert [row["model"] for row in json.loads(path.read_text())["rows"]] == ["a", "c"]
    assert len(list(store.leaderboards.iterdir())) == 3


def test_removing_the_newest_brings_the_older_code_back(bench, store):
    bench("results", "rm", store.ids["new"], "--results", store.root, "--yes")
    states = {one.id: one.state for one in kept(store)}
    assert states[store.ids["old"]] == "finished"


def test_models_alone_are_removed_and_results_stay(bench, store):
    before = there(store)
    done = bench("results", "prune", "models", "--results", store.root, "--yes")
    assert "removed the models of 7 cells" in done.out
    assert there(store) == before
    assert not list(store.cells.glob("*/model"))
    assert len(list(store.cells.glob("*/lists.parquet"))) == 7


@pytest.mark.parametrize("words", [["prune"], ["rm", "c"], ["prune", "models"]], ids=" ".join)
def test_a_cell_that_a_run_works_at_is_never_touched(bench, store, words):
    held = claim(store.path(store.ids["failed"]))  # this process is a live run
    before = sorted(store.path(store.ids["failed"]).rglob("*"))
    done = bench("results", *words, "--results", store.root, "--yes")
    assert sorted(store.path(store.ids["failed"]).rglob("*")) == before
    assert f"kept: {store.ids['failed']}, process " in done.err
    held.release()
    bench("results", "prune", "--results", store.root, "--yes")
    assert store.ids["failed"] not in there(store)


def test_unknown_name_is_one_line(bench, store):
    done = bench("results", "rm", "bb", "--results", store.root, "--yes")
    [line] = [line for line in done.err.splitlines() if not line.startswith("warning: ")]
    assert line == "error: unknown result 'bb': did you mean 'b'? see 'bench results list'"
    assert done.status == 1


def test_a_folder_without_results_has_none(bench, tmp_path):
    assert "no results" in bench("results", "list", "--results", tmp_path / "none").out
    assert "nothing to remove" in bench("results", "prune", "--results", tmp_path / "none").out


def test_folders_that_are_links_are_not_followed(bench, store, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (store.cells / "link").symlink_to(outside)
    (store.path(store.ids["failed"]) / "link").symlink_to(outside)
    bench("results", "prune", "failed", "unfinished", "--results", store.root, "--yes")
    assert (outside / "precious").read_text() == "x"
    assert store.ids["failed"] not in there(store)


def test_code_that_goes_back_to_what_it_was_is_the_row_again(bench, tmp_path, monkeypatch):
    """Of a row, what was asked for last counts, were it made before: also beside a failed run of other code."""
    words = ("run", "--dataset", "tiny", "--models", "pop", "--results", tmp_path, "--json")

    def run(code, fails=False):
        monkeypatch.setattr("bench.runs.plan.code_hash", lambda model: code * 64)
        with monkeypatch.context() as patch:
            if fails:
                patch.setattr("bench.runs.execute._Executor._launch", lambda *_: Ended("broken", BROKEN, ""))
            done = bench(*words)
        [row] = json.loads(done.out)["rows"]
        return row["code_hash"][0], row["status"]

    assert run("a") == ("a", "finished")
    assert run("b", fails=True) == ("b", "failed")
    assert run("a") == ("a", "finished")
    assert run("c") == ("c", "finished")
    assert run("a") == ("a", "finished")
    before = {path: path.read_bytes() for path in tmp_path.glob("cells/*/result.json")}
    assert run("a") == ("a", "finished")
    assert {path: path.read_bytes() for path in before} == before  # nothing to be told again
    bench("results", "prune", "--results", tmp_path, "--yes")
    [left] = Store(tmp_path).results()
    assert left.cell.code == "a" * 64
