"""``bench run`` and the commands around it, on a tiny data set."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

import bench as api
from bench.data.catalog import card
from bench.data.prepare import prepare
from bench.data.protocol import PROTOCOLS
from bench.data.split import split
from bench.runs.store import Store

RUN = ("run", "--dataset", "tiny", "--models")


def result_files(folder):
    return {path.parent.name: path for path in folder.glob("cells/*/result.json")}


def lists_of(result):
    return result.with_name("lists.parquet").read_bytes()


def test_run_prints_the_leaderboard_and_where_it_lies(bench, tmp_path):
    done = bench(*RUN, "pop,ease", "--results", tmp_path)
    assert (done.status, len(result_files(tmp_path))) == (0, 2)
    assert "ndcg@10" in done.out
    assert done.out.index("ease") < done.out.index("pop")  # block data: a learner is first
    for ending in ("md", "csv", "json"):
        assert len(list((tmp_path / "leaderboards").glob(f"tiny-random-*.{ending}"))) == 1
    assert str(tmp_path / "leaderboards" / "tiny-random-") in done.out
    assert "Traceback" not in done.err


def test_metrics_in_the_result_are_those_of_its_lists(bench, tmp_path):
    """Recall and hit rate counted by hand from the stored lists and the hidden test set."""
    bench(*RUN, "ease", "--results", tmp_path)
    [path] = result_files(tmp_path).values()
    lists = pd.read_parquet(path.parent / "lists.parquet").set_index("user")["item"]
    test = split(prepare(card("tiny")), PROTOCOLS["random"]).hidden.test
    recalls = []
    for user, items in lists.items():
        wanted = test.items[test.indptr[user] : test.indptr[user + 1]]
        recalls.append(len(set(items[:10]) & set(wanted)) / len(wanted))
    measured = json.loads(path.read_text())["groups"]["all"]
    assert measured["n"] == len(recalls) == np.count_nonzero(test.lengths)
    assert measured["metrics"]["recall@10"] == pytest.approx(np.mean(recalls))
    assert measured["metrics"]["hit@10"] == pytest.approx(np.mean(np.array(recalls) > 0))
    assert measured["errors"]["recall@10"] == pytest.approx(np.std(recalls, ddof=1) / len(recalls) ** 0.5)


def test_rerun_does_only_what_is_missing(bench, tmp_path):
    bench(*RUN, "pop", "--results", tmp_path)
    before = {path: path.stat().st_mtime_ns for path in result_files(tmp_path).values()}
    done = bench(*RUN, "pop,random", "--results", tmp_path, "--seeds", "1,2")
    assert "already there" in done.err
    assert len(result_files(tmp_path)) == 3
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "random" in done.out


def test_other_cut_offs_are_measured_without_training(bench, tmp_path, monkeypatch):
    bench(*RUN, "pop", "--results", tmp_path, "--k", "5")

    def never(*arguments):
        raise AssertionError("a cell was run again")

    monkeypatch.setattr("bench.runs.execute._Executor.work", never)
    done = bench(*RUN, "pop", "--results", tmp_path, "--k", "1,20")
    assert done.status == 0
    [path] = result_files(tmp_path).values()
    metrics = json.loads(path.read_text())["groups"]["all"]["metrics"]
    assert {name.split("@")[1] for name in metrics} == {"1", "5", "20"}
    assert "all/recall@20" in pd.read_parquet(path.parent / "per_user.parquet").columns


def test_deeper_cut_offs_are_measured_without_training_and_lists_beyond_them_are_another_cell_of_the_same_row(
    bench, tmp_path
):
    for words in ((), ("--k", "100"), ("--k", "101")):
        done = bench(*RUN, "pop", "--results", tmp_path, *words, "--json")
    assert len(result_files(tmp_path)) == 2
    [row] = json.loads(done.out)["rows"]
    assert all(row[f"all/ndcg@{k}"] > 0 for k in (5, 10, 20, 101))  # it stays comparable with other rows


def test_lists_are_kept_to_a_hundred_or_as_deep_as_the_model_can(start_bench, rough_site, tmp_path):
    words = (*RUN, "pop,rough-shallow", "--results", tmp_path, "--k", "5,10,50", "--json")
    out, _ = start_bench(*words, environment={"PYTHONPATH": str(rough_site)}).communicate(timeout=60)
    lengths = {r.cell.model: r.cell.list_length for r in Store(tmp_path).results()}
    assert lengths == {"pop": 100, "rough-shallow": 12}
    rows = {row["model"]: row for row in json.loads(out)["rows"]}
    assert rows["pop"]["all/ndcg@50"] > 0
    assert rows["rough-shallow"]["all/ndcg@50"] is None
    assert rows["rough-shallow"]["all/ndcg@10"] > 0
    words = (*RUN, "pop,rough-shallow", "--results", tmp_path / "none", "--k", "20")
    _, err = start_bench(*words, environment={"PYTHONPATH": str(rough_site)}).communicate(timeout=60)
    assert err == "error: lists of 12 items of rough-shallow cannot be measured at 20: give a smaller --k\n"


@pytest.mark.slow
def test_equal_seeds_give_identical_lists_in_every_run(bench, start_bench, tmp_path):
    """In this process, in another folder, and in another process with the seeds in another order."""
    for name in ("one", "two"):
        bench(*RUN, "random,ease", "--results", tmp_path / name, "--seeds", "1,2")
    words = (*RUN, "ease,random", "--results", tmp_path / "three", "--seeds", "2,1")
    assert start_bench(*words).wait(60) == 0
    first, *others = (result_files(tmp_path / name) for name in ("one", "two", "three"))
    assert len(first) == 3  # EASE does not depend on the seed
    for other in others:
        assert set(other) == set(first)
        assert all(lists_of(other[cell_id]) == lists_of(path) for cell_id, path in first.items())
    assert len({lists_of(path) for path in first.values()}) == 3  # another seed gives other lists


def test_python_api_returns_the_table(tiny_cards, tmp_path):
    frame = api.run("pop,ease", "tiny", results=tmp_path, options={"ease": {"l2": 10.0}}, jobs=2)
    assert frame["model"].tolist() == ["ease", "pop"]
    assert frame["status"].eq("finished").all()
    assert frame["all/ndcg@10"].is_monotonic_decreasing


def test_options_from_words_win_over_those_of_a_file(bench, tmp_path):
    (tmp_path / "options.yaml").write_text("ease: {l2: 3}\nitemknn: {neighbours: 5, shrink: 1}\n")
    words = ("--config", tmp_path / "options.yaml", "--set", "itemknn.neighbours=7", "--results", tmp_path)
    bench(*RUN, "ease,itemknn", *words)
    configs = [json.loads(path.read_text())["cell"]["config"] for path in result_files(tmp_path).values()]
    assert sorted(configs, key=len) == [{"l2": 3.0}, {"neighbours": 7, "shrink": 1.0}]


def test_split_seed_and_protocol_make_tables_of_their_own(bench, tmp_path):
    for words in ((), ("--split-seed", "7"), ("--protocol", "colarec"), ("--history", "train+valid")):
        bench(*RUN, "pop", "--results", tmp_path, *words)
    done = bench("leaderboard", "--results", tmp_path, "--json")
    tables = json.loads(done.out)
    assert len({table["fingerprint"] for table in tables}) == len(tables) == 4
    assert all(len(table["rows"]) == 1 for table in tables)


@pytest.mark.parametrize(
    ("words", "kept"),
    [((), ["pop"]), (("--save-models",), ["ease", "pop"]), (("--no-save-models",), [])],
)
def test_small_models_are_kept_unless_said_otherwise(bench, tmp_path, monkeypatch, words, kept):
    monkeypatch.setattr("bench.runs.execute.MODEL_LIMIT", 1000)  # EASE has 40 x 40 weights here
    bench(*RUN, "pop,ease", "--results", tmp_path, *words)
    found = [json.loads(path.read_text())["cell"]["model"] for path in tmp_path.glob("cells/*/result.json")
             if list(path.parent.glob("model/*.npy"))]  # fmt: skip
    assert sorted(found) == kept


def test_model_that_cannot_be_saved_keeps_its_lists(start_bench, rough_site, tmp_path):
    words = (*RUN, "rough-unsaved", "--results", tmp_path)
    process = start_bench(*words, environment={"PYTHONPATH": str(rough_site)})
    out, err = process.communicate(timeout=60)
    [result] = Store(tmp_path).results()
    assert (process.returncode, result.status) == (0, "finished"), err
    assert result.warnings == ["the model was not kept: RuntimeError: it cannot be written (rough/models.py:376)"]
    assert "rough-unsaved: the model was not kept: RuntimeError: it cannot be written" in out


@pytest.mark.slow
def test_stopping_rule_is_an_option_and_makes_a_row_of_its_own(start_bench, rough_site, tmp_path):
    words = (*RUN, "rough-learner", "--set", "rough-learner.epochs=9", "--results", tmp_path, "--json")
    for more in (
        (),
        ("--patience", "2"),
        ("--validate-every", "3", "--validate-by", "recall@5", "--validate-users", "7"),
    ):
        process = start_bench(*words, *more, environment={"PYTHONPATH": str(rough_site)})
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    epochs = {
        r.cell.stopping.patience * r.cell.stopping.every: [v.epoch for v in r.validations]
        for r in Store(tmp_path).results()
    }
    assert epochs == {10: [*range(1, 10)], 2: [1, 2, 3], 30: [3, 6, 9]}
    assert len(json.loads(out)["rows"]) == 3


@pytest.mark.parametrize("name", ["strong", "strong:2"])
def test_protocol_that_tests_users_a_model_cannot_know_is_refused_before_anything_runs(
    start_bench, rough_site, tmp_path, name
):
    words = (*RUN, "pop,rough-by-id", "--protocol", name, "--results", tmp_path / "results")
    process = start_bench(*words, environment={"PYTHONPATH": str(rough_site)})
    _, err = process.communicate(timeout=60)
    [line] = err.splitlines()
    assert f"'{name}' tests users that are not in train, and rough-by-id know users by id" in line
    assert not (tmp_path / "results").exists()


def test_split_without_validation_items_is_told_before_training(bench, own_card, tmp_path):
    own = own_card([(f"u{user}", f"i{item}", 100) for user in range(9) for item in range(2)])
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"own": own.model_dump(mode="json", exclude={"name"})}))
    done = bench("run", "--dataset", tmp_path / "own.yaml", "--models", "pop", "--results", tmp_path)
    assert "protocol 'random' leaves no validation item: no model will stop early" in done.err.splitlines()[0]


def test_cell_folder_holds_what_is_worth_keeping(bench, tmp_path):
    bench(*RUN, "pop", "--results", tmp_path)
    [path] = result_files(tmp_path).values()
    names = sorted(p.name for p in path.parent.iterdir())
    assert names == ["lists.parquet", "model", "per_user.parquet", "result.json", "worker.log"]
    assert [p.name for p in path.parent.parent.iterdir()] == [path.parent.name]


def test_json_of_a_run_is_the_json_file(bench, tmp_path):
    done = bench(*RUN, "pop", "--results", tmp_path, "--json")
    [file] = (tmp_path / "leaderboards").glob("*.json")
    assert json.loads(done.out) == json.loads(file.read_text())


@pytest.mark.parametrize("order", [("ease", "pop"), ("pop", "ease")])
def test_compare_is_paired_and_antisymmetric(bench, tmp_path, order):
    bench(*RUN, "ease,pop", "--results", tmp_path)
    done = bench("compare", *order, "--dataset", "tiny", "--results", tmp_path, "--json")
    found = pd.DataFrame(json.loads(done.out)).set_index(["group", "metric"])
    row = found.loc[("all", "recall@10")]
    per_user = {}
    for path in result_files(tmp_path).values():
        per_user[json.loads(path.read_text())["cell"]["model"]] = pd.read_parquet(path.parent / "per_user.parquet")
    difference = (per_user[order[0]]["all/recall@10"] - per_user[order[1]]["all/recall@10"]).to_numpy(float)
    assert row["difference"] == pytest.approx(difference.mean(), abs=1e-6)
    assert row["a"] - row["b"] == pytest.approx(row["difference"], abs=1e-6)
    assert row["low"] < row["difference"] < row["high"]
    half = 1.96 * difference.std(ddof=1) / len(difference) ** 0.5
    assert row["high"] - row["low"] == pytest.approx(2 * half, rel=0.2)
    assert row["n"] == len(difference)
