"""``bench run`` and the commands around it, on a tiny data set."""

import json

import numpy as np
import pandas as pd
import pytest

import bench as api
from bench.data.catalog import card
from bench.data.prepare import prepare
from bench.data.protocol import PROTOCOLS
from bench.data.split import split

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

    monkeypatch.setattr("bench.runs.execute._Executor.run", never)
    done = bench(*RUN, "pop", "--results", tmp_path, "--k", "1,20")
    assert done.status == 0
    [path] = result_files(tmp_path).values()
    metrics = json.loads(path.read_text())["groups"]["all"]["metrics"]
    assert {name.split("@")[1] for name in metrics} == {"1", "5", "20"}
    assert "all/recall@20" in pd.read_parquet(path.parent / "per_user.parquet").columns


def test_longer_lists_are_another_cell(bench, tmp_path):
    bench(*RUN, "pop", "--results", tmp_path)
    bench(*RUN, "pop", "--results", tmp_path, "--k", "30")
    assert len(result_files(tmp_path)) == 2


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


def test_models_can_be_kept(bench, tmp_path):
    bench(*RUN, "pop", "--results", tmp_path, "--save-models")
    [path] = result_files(tmp_path).values()
    assert (path.parent / "model" / "counts.npy").is_file()


def test_cell_folder_holds_what_is_worth_keeping(bench, tmp_path):
    bench(*RUN, "pop", "--results", tmp_path)
    [path] = result_files(tmp_path).values()
    names = sorted(p.name for p in path.parent.iterdir())
    assert names == ["lists.parquet", "per_user.parquet", "result.json", "worker.log"]
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
