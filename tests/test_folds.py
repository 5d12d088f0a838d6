"""Cross-validation and repeated splits: one row over all folds, compared user by user."""

import json
import statistics

import numpy as np
import pandas as pd
import pytest

from bench.data.protocol import protocol
from bench.errors import BenchError
from bench.messages.study import Study
from bench.report.compare import compare
from bench.report.leaderboard import main
from bench.report.page.build import build
from bench.report.per_user import PerUser, _mean
from bench.report.table import tables
from bench.report.verdict import verdict
from bench.runs.store import Store
from bench.runs.studies import FOLDER


@pytest.fixture(scope="module")
def store(start_bench, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    words = ("run", "--models", "pop,random", "--dataset", "tiny", "--protocol", "kfold:3", "--jobs", "2")
    process = start_bench(*words, "--results", folder)
    process.communicate(timeout=120)
    assert process.returncode == 0
    return Store(folder)


def scores(store, model, metric):
    return [r.groups["all"].metrics[metric] for r in store.results() if r.cell.model == model]


def test_a_row_is_the_mean_and_spread_over_folds(store):
    [table] = tables(store.results())
    frame = table.frame().set_index("model")
    assert frame["folds"].tolist() == [3, 3]
    assert frame["seeds"].tolist() == [1, 1]
    for model in ("pop", "random"):
        found = scores(store, model, "recall@10")
        assert len(found) == 3
        assert frame.loc[model, "all/recall@10"] == pytest.approx(statistics.mean(found))
        assert frame.loc[model, "all/recall@10/sd_runs"] == pytest.approx(statistics.stdev(found))
    assert "1 × 3 splits" in main(table)


@pytest.mark.parametrize("group", ["long tail", "head"])
def test_every_fold_counts_in_every_group(store, group):
    """The group has other members in each fold, since they have other train interactions."""
    results = [r for r in store.results() if r.cell.model == "pop"]
    assert len({r.groups[group].members for r in results}) > 1
    [table] = tables(results)
    expected = statistics.mean(r.groups[group].metrics["ndcg@10"] for r in results)
    assert table.frame().loc[0, f"{group}/ndcg@10"] == pytest.approx(expected)
    assert table.left_out == []


def test_every_fold_is_a_cell(store):
    cells = [result.cell for result in store.results()]
    assert sorted((cell.model, cell.fold) for cell in cells) == [(m, f) for m in ("pop", "random") for f in range(3)]
    assert len({cell.fingerprint for cell in cells}) == 1


def test_users_are_paired_over_folds(store, tiny_cards):
    found = compare(store, "pop", "random", "tiny", protocol="kfold:3").frame.set_index(["group", "metric"])
    means = {}
    for model in ("pop", "random"):
        paths = [store.path(r.cell_id) / "per_user.parquet" for r in store.results() if r.cell.model == model]
        users = pd.concat([pd.read_parquet(path) for path in paths])
        means[model] = users.groupby("user")["all/recall@10"].mean()
    row = found.loc[("all", "recall@10")]
    assert row["n"] == 48
    assert row["difference"] == pytest.approx((means["pop"] - means["random"]).mean(), abs=1e-6)
    assert row["low"] <= row["difference"] <= row["high"]


def test_json_tells_the_folds(store):
    [path] = store.leaderboards.glob("tiny-kfold-3-*.json")
    rows = json.loads(path.read_text())["rows"]
    assert [row["folds"] for row in rows] == [3, 3]
    assert [len(row["results"]) for row in rows] == [3, 3]


def test_repeated_splits_are_the_splits_of_their_seeds(bench, tmp_path):
    """Three random splits in one table, and each of them in one of its own."""

    def run(*words):
        done = bench("run", "--models", "pop,ease", "--dataset", "tiny", "--results", tmp_path, "--json", *words)
        assert done.status == 0, done.err
        return json.loads(done.out)

    several = run("--protocol", "random:3")
    single = [run("--protocol", "random", "--split-seed", seed) for seed in ("2024", "2025", "2026")]
    assert len({table["fingerprint"] for table in (several, *single)}) == 4
    for row in several["rows"]:
        own = [one["all/ndcg@10"] for table in single for one in table["rows"] if one["model"] == row["model"]]
        assert row["folds"] == 3
        assert len(set(own)) > 1
        assert row["all/ndcg@10"] == pytest.approx(statistics.mean(own))
        assert row["all/ndcg@10/sd_runs"] == pytest.approx(statistics.stdev(own))
    done = bench("compare", "ease", "pop", "--dataset", "tiny", "--protocol", "random:3", "--results", tmp_path)
    assert done.status == 0, done.err
    done = bench("run", "--models", "ease@tuned", "--dataset", "tiny", "--protocol", "random:3", "--results", tmp_path)
    assert "ease was not tuned on these data under this protocol, fold 0: 'bench tune" in done.err


def test_repeated_held_out_users(bench, tmp_path):
    words = ("--dataset", "tiny", "--protocol", "strong:2", "--results", tmp_path, "--json")
    done = bench("run", "--models", "pop,ease", *words)
    assert done.status == 0, done.err
    rows = {row["model"]: row for row in json.loads(done.out)["rows"]}
    assert [row["folds"] for row in rows.values()] == [2, 2]
    done = bench("compare", "ease", "pop", *words)
    [found] = [one for one in json.loads(done.out) if (one["group"], one["metric"]) == ("all", "ndcg@10")]
    assert found["a"] == pytest.approx(rows["ease"]["all/ndcg@10"], abs=1e-6)
    assert found["b"] == pytest.approx(rows["pop"]["all/ndcg@10"], abs=1e-6)


def folds(*values):
    return [PerUser(np.array(list(one), np.int64), np.array([list(one.values())]).T) for one in values]


def test_splits_of_other_users_count_alike():
    """The mean over users is that of the splits' means, the value of a user in all splits the average."""
    unequal = _mean(folds({0: 1.0, 1: 0.0, 2: 0.5}, {2: 1.0}, {}))
    assert unequal.users.tolist() == [0, 1, 2]
    assert float(unequal.values.mean()) == pytest.approx((0.5 + 1.0) / 2)
    alike = _mean(folds({0: 1.0, 1: 0.0}, {0: 0.5, 1: 0.2}))
    assert alike.values[:, 0].tolist() == pytest.approx([0.75, 0.1])


def test_a_group_that_is_empty_in_one_split_stays(make_result):
    """Its number is the largest."""
    results = []
    for fold, n in enumerate((40, 35, 0)):
        result = make_result(fold=fold)
        group = result.groups["all"].model_copy(update={"n": n, **({} if n else {"metrics": {}, "errors": {}})})
        results.append(result.model_copy(update={"groups": {"all": group}}))
    [table] = tables(results)
    assert table.groups == {"all": ("all users", 40)}
    assert table.rows[0].has("all", "ndcg@10")
    assert table.rows[0].mean("all", "ndcg@10") == 0.5


# Folds that are not there ---------------------------------------------------------------------------------------------


def without(store, model, folds):
    return [r for r in store.results() if r.cell.model != model or r.cell.fold not in folds]


def test_a_row_that_lacks_folds_stands_behind_whole_ones_and_has_no_rank(store, tmp_path, tiny_cards):
    [table] = tables(without(store, "pop", {1, 2}))
    assert [(row.name, row.lacks) for row in table.rows] == [("random", ""), ("pop", "folds 1, 2")]
    judged = verdict(table, store)
    assert ("pop", "all") not in judged.standings
    assert judged.notes == ["pop has no rank: it lacks folds 1, 2, so that its mean is of other test items"]
    assert "1 × 1 of 3 splits" in main(table, judged)
    few = Store(tmp_path)
    for result in table.rows[0].results + table.rows[1].results:
        few.path(result.cell_id).mkdir(parents=True)
        few.write(result)
    with pytest.raises(BenchError, match="pop lacks folds 1, 2, so that it cannot be compared"):
        compare(few, "pop", "random", "tiny", protocol="kfold:3")


def test_a_seed_that_lacks_folds_does_not_count_beside_whole_ones(store):
    first = next(r for r in store.results() if r.cell.model == "random" and r.cell.fold == 0)
    cell = first.cell.model_copy(update={"seed": 2})
    [table] = tables([*store.results(), first.model_copy(update={"cell": cell, "cell_id": cell.id})])
    [row] = [row for row in table.rows if row.name == "random"]
    assert (row.seeds, len(row.results), row.lacks) == (1, 3, "")
    assert table.left_out == ["random seed 2 lacks folds that its other seeds have"]


def test_a_group_without_users_in_a_fold_is_judged_by_the_others(tmp_path, make_result, tiny_cards):
    """Users 0 to 49 in the first fold, 50 to 99 in the second, none of the third are in the long tail."""
    store, levels = Store(tmp_path), {"a": 0.6, "b": 0.2}
    for model, level in levels.items():
        for fold, n in enumerate((50, 50, 0)):
            result = make_result(model, protocol=protocol("kfold:3"), fold=fold, deterministic=True)
            users = np.arange(60) + 50 * fold
            values = level + 0.1 * np.sin(users)
            own = np.where(np.arange(60) < n, values, np.nan)
            known = result.groups["all"]
            groups = {
                "all": known.model_copy(update={"n": 60, "metrics": dict.fromkeys(known.metrics, values.mean())}),
                "long tail": known.model_copy(update={"n": n, "metrics": dict.fromkeys(known.metrics, np.nanmean(own))})
                if n
                else known.model_copy(update={"n": 0, "metrics": {}, "errors": {}}),
            }
            frame = {f"all/{metric}": values for metric in known.metrics}
            frame |= {f"long tail/{metric}": own for metric in known.metrics} if n else {}
            store.path(result.cell_id).mkdir(parents=True)
            pd.DataFrame({"user": users, **frame}).to_parquet(store.path(result.cell_id) / "per_user.parquet")
            store.write(result.model_copy(update={"groups": groups}))
    [table] = tables(store.results())
    judged = verdict(table, store)
    assert judged.notes == []
    assert judged.standings["a", "long tail"][1:] == (1, 1)
    assert judged.standings["b", "long tail"][1:] == (2, 2)
    found = compare(store, "a", "b", "tiny", fingerprint="f")
    assert "not compared" not in " ".join(found.notes)
    assert set(found.frame["group"]) == {"all", "long tail"}
    tail = found.frame[found.frame["group"] == "long tail"]
    assert tail["difference"].tolist() == pytest.approx([0.4] * len(tail))


def test_each_split_is_tuned_by_itself(bench, tmp_path):
    """Validation of a fold decides for it alone: parts of it are test in the others."""
    words = ("--dataset", "tiny", "--protocol", "kfold:3", "--results", tmp_path)
    said = bench("tune", "--models", "itemknn", "--trials", "4", *words)
    assert said.status == 0, said.err
    found = [Study.model_validate_json(path.read_text()) for path in (tmp_path / FOLDER).glob("*.json")]
    studies = {study.fold: study for study in found}
    assert sorted(studies) == [0, 1, 2]
    assert len({study.trials[0].score for study in studies.values()}) == 3
    assert len({json.dumps(study.best.options) for study in found}) > 1
    assert all(f"itemknn@tuned fold {fold}: " in said.out for fold in studies)
    done = bench("run", "--models", "itemknn,itemknn@tuned", *words)
    assert done.status == 0, done.err
    tested = [result for result in Store(tmp_path).results() if result.cell.preset == "tuned"]
    assert sorted(result.cell.fold for result in tested) == [0, 1, 2]
    for result in tested:
        best = studies[result.cell.fold].best
        assert best.options.items() <= result.cell.config.items()
        assert result.validation == pytest.approx(best.score)
    [table] = tables(Store(tmp_path).results())
    assert {(row.name, row.folds) for row in table.rows} == {("itemknn", 3), ("itemknn@tuned", 3)}
    before, after = (
        np.mean(scores) for scores in zip(*((s.trials[0].score, s.best.score) for s in found), strict=True)
    )
    seconds = sum(study.seconds for study in found)
    told = f"itemknn@tuned: best of 4 trials in each of 3 splits, {seconds:,.0f} s of training; ndcg@10 from the preset"
    assert f"{told} to it, validation {before:.4f} to {after:.4f}, test " in done.out
    [page] = build([tmp_path]).tables
    assert [(part.model, part.test) for part in page.tuning] == [(f"itemknn fold {fold}", None) for fold in range(3)]
    [row] = [row for row in page.rows if row.preset == "tuned"]
    configs = [result.cell.config for result in sorted(tested, key=lambda result: result.cell.fold)]
    for name, value in row.source.config.items():
        values = [config[name] for config in configs]
        assert value == (values if len(set(map(str, values))) > 1 else values[0])
    assert any(isinstance(value, list) for value in row.source.config.values())
    again = bench("verify", "itemknn@tuned", *words)
    assert "equal to the digit" in again.out, again.err
    target = tmp_path / "published"
    assert bench("results", "publish", "--results", tmp_path, "--to", target).status == 0
    assert len(list((target / FOLDER).glob("*-fold*.json"))) == 3


def test_what_cannot_be_of_several_splits_is_one_line(bench, tmp_path):
    words = ("--dataset", "tiny", "--protocol", "random:2", "--results", tmp_path)
    assert bench("tune", "--models", "itemknn", "--trials", "1", *words).status == 0
    done = bench("run", "--models", "itemknn@tuned", "--set", "itemknn.shrink=3", *words)
    assert done.err.endswith("error: itemknn@tuned has a config of its own in each split: it takes no --set here\n")
    [path] = (tmp_path / FOLDER).glob("*-fold1.json")
    path.unlink()
    done = bench("run", "--models", "itemknn@tuned", *words)
    assert "error: itemknn was not tuned on these data under this protocol, fold 1: 'bench tune" in done.err
