"""Mean ranks over data sets: of the rows that tables share, with what data sets and tables leave open."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest

from bench.report import across as module
from bench.report.across import across
from bench.report.table import tables
from bench.runs.store import Store

USERS = 200


@pytest.fixture
def store(tmp_path, make_result):
    """Keep deterministic rows by data set: a mean each, of users that differ a little."""

    def keep(datasets, protocols=("f" * 64,)):
        store = Store(tmp_path)
        for dataset, rows in datasets.items():
            for (name, mean), fingerprint in itertools.product(rows.items(), protocols):
                noise = 0.01 * np.random.default_rng(len(name)).normal(size=USERS)
                values = mean + noise - noise.mean()
                result = make_result(name, dataset=dataset, fingerprint=fingerprint, deterministic=True)
                known = result.groups["all"]
                told = {"n": USERS, "metrics": dict.fromkeys(known.metrics, float(values.mean()))}
                result = result.model_copy(update={"groups": {"all": known.model_copy(update=told)}})
                store.path(result.cell_id).mkdir(parents=True)
                store.commit(result)
                frame = {"user": np.arange(USERS)} | {f"all/{metric}": values for metric in known.metrics}
                pd.DataFrame(frame).to_parquet(store.path(result.cell_id) / "per_user.parquet")
        return store

    return keep


def found(store, names=()):
    return across(tables(store.results()), store, names)


def test_mean_rank_is_over_the_rows_that_all_tables_share(store):
    """Ranks among the shared rows alone, by hand: a 1, 2, 1; bb 2, 1, 2; c, in one table only, does not count."""
    one = found(store({"x": {"a": 0.5, "bb": 0.3, "c": 0.4}, "y": {"a": 0.1, "bb": 0.2}, "z": {"a": 0.9, "bb": 0.1}}))
    assert one.rows == ["a", "bb"]
    np.testing.assert_allclose(one.mean, [4 / 3, 5 / 3])
    assert one.ranks.tolist() == [[1, 2], [2, 1], [1, 2]]
    assert [str(standing) for row in one.standings for standing in row] == ["1", "2", "2", "1", "1", "2"]


def test_a_table_of_few_users_is_left_out(store, monkeypatch):
    rows = {"a": 0.5, "bb": 0.3}
    kept = store({"x": rows, "y": rows})
    monkeypatch.setattr(f"{store.__module__}.USERS", 20)
    store({"z": rows})
    assert across(tables(kept.results()), kept).datasets == ["x", "y"]


def test_tables_of_one_data_set_count_once(store):
    """x has two tables of the same order, y one of the other: each data set weighs a half."""
    kept = store({"x": {"a": 0.5, "bb": 0.3}}, protocols=("e" * 64, "f" * 64))
    one = found(store({"y": {"a": 0.1, "bb": 0.2}})) if kept else None
    assert len(one.tables) == 3
    assert one.datasets == ["x", "y"]
    np.testing.assert_allclose(one.mean, [1.5, 1.5])


def test_level_rows_have_the_same_rank(store):
    one = found(store({"x": {"a": 0.5, "b": 0.5, "cc": 0.1}, "y": {"a": 0.5, "b": 0.5, "cc": 0.1}}))
    assert one.rows[-1] == "cc"
    assert [str(standing) for standing in one.standings[0]] == ["1–2", "1–2", "3"]
    assert (one.low[2], one.high[2]) == (3, 3)
    assert all(one.low[:2] == 1)
    assert all(one.high[:2] == 2)


def exact(bounds, n_datasets):
    """Distribution of the first row's mean rank, by listing all draws: of data sets, and of a rank in each."""
    ranks = [range(low, high + 1) for low, high in bounds]
    values = [
        np.mean([own[place] for place in picked])
        for own in itertools.product(*ranks)
        for picked in itertools.product(range(n_datasets), repeat=n_datasets)
    ]
    return np.sort(values)


@pytest.mark.parametrize(
    "bounds", [[(1, 1), (3, 5), (2, 3)], [(1, 4), (1, 2), (2, 2)], [(2, 2), (2, 2), (2, 2)]], ids=str
)
def test_the_interval_is_that_of_all_draws(bounds):
    drawn = module._drawn(np.array(bounds)[:, None, :], np.arange(3))[:, 0]
    listed = exact(bounds, 3)
    assert drawn.mean() == pytest.approx(listed.mean(), abs=0.03)
    assert drawn.std() == pytest.approx(listed.std(), abs=0.03)
    for place in (2.5, 25, 75, 97.5):
        assert np.percentile(drawn, place) == pytest.approx(np.percentile(listed, place), abs=1 / 3)
    assert set(np.round(drawn, 6)) <= set(np.round(listed, 6))


def test_named_rows_take_the_tables_that_have_them(store):
    kept = store({"x": {"a": 0.5, "b": 0.3, "c": 0.1}, "y": {"a": 0.5, "b": 0.3}, "z": {"a": 0.5, "c": 0.7}})
    assert found(kept, ["a", "b"]).datasets == ["x", "y"]
    assert found(kept, ["c", "a"]).datasets == ["x", "z"]


@pytest.mark.parametrize(
    ("datasets", "names", "said"),
    [
        ({"x": {"a": 0.5, "b": 0.3}}, [], "2 rows are shared by tables of 1 data sets"),
        ({"x": {"a": 0.5, "b": 0.3}, "y": {"a": 0.5, "c": 0.3}}, [], "1 row is shared by tables of 2 data sets"),
        (
            {"x": {"a": 0.5, "b": 0.3}, "y": {"a": 0.5, "c": 0.3}},
            ["a", "b"],
            "2 rows are shared by tables of 1 data sets",
        ),
        ({"x": {"a": 0.5}, "y": {"b": 0.5}}, ["nobody"], "no table has a finished row 'nobody'"),
    ],
    ids=str,
)
def test_too_little_is_one_line(bench, store, tmp_path, datasets, names, said):
    store(datasets)
    words = ["--models", ",".join(names)] if names else []
    done = bench("leaderboard", "--across", "--results", tmp_path, *words)
    assert (done.status, done.out) == (1, "")
    assert said in done.err
    assert done.err.count("\n") == 1


def test_command_prints_ranks_and_says_how_many_data_sets(bench, store, tmp_path):
    store({"x": {"a": 0.5, "bb": 0.3}, "y": {"a": 0.1, "bb": 0.2}})
    done = bench("leaderboard", "--across", "--results", tmp_path)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("Mean rank over 2 data sets (2 tables)\n")
    assert "x: protocol random (ffffffff), by ndcg@10" in done.out
    assert "| row | mean rank |      95 % | x | y |" in done.out
    assert "Fewer than 6 data sets do not show" in " ".join(done.out.split())
    assert max(map(len, done.out.splitlines())) <= 100
    told = json.loads(bench("leaderboard", "--across", "--json", "--results", tmp_path).out)
    assert told["datasets"] == ["x", "y"]
    assert {row["row"]: row["mean_rank"] for row in told["rows"]} == {"a": 1.5, "bb": 1.5}
    assert "--models chooses the rows of --across" in bench("leaderboard", "--models", "a").err


def test_values_that_cannot_be_read_are_one_line(bench, store, tmp_path):
    kept = store({"x": {"a": 0.5, "bb": 0.3}, "y": {"a": 0.1, "bb": 0.2}})
    (kept.path(kept.results()[0].cell_id) / "per_user.parquet").unlink()
    done = bench("leaderboard", "--across", "--results", tmp_path)
    assert done.status == 1
    assert "per_user.parquet cannot be read" in done.err
    assert done.err.count("\n") == 1


def test_tables_of_one_data_set_are_called_by_what_tells_them_apart(store):
    kept = store({"x": {"a": 0.5, "bb": 0.3}}, protocols=("e" * 64, "f" * 64))
    one = found(store({"y": {"a": 0.1, "bb": 0.2}})) if kept else None
    assert one.names == ["x random eeeeeeee", "x random ffffffff", "y"]


def test_many_data_sets_stay_within_a_terminal(store):
    kept = store({f"a-long-name-of-data-{number}": {"a": 0.5, "bb": 0.3} for number in range(8)})
    text = found(kept).text()
    assert max(map(len, text.splitlines())) <= 100
    assert all(f" a-long-name-of-data-{number} |" in text for number in range(8))


def test_latex_has_the_metric_of_each_data_set(bench, store, tmp_path):
    store({"x": {"a": 0.5, "bb": 0.3}, "y_1": {"a": 0.1, "bb": 0.1}})
    done = bench("leaderboard", "--across", "--latex", "--results", tmp_path)
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert r" & mean & x & y\_1 \\" in lines
    assert r"a & 1.25 {\scriptsize 1.00--2.00} & \textbf{.5000} & \textbf{.1000} \\" in lines
    assert r"bb & 1.75 {\scriptsize 1.00--2.00} & .3000 & \textbf{.1000} \\" in lines
    assert r"\label{tab:across}" in lines
    assert "n = 200 users" in done.out
    assert "--latex is for --across" in bench("leaderboard", "--latex", "--results", tmp_path).err
