"""Published records: a smaller results folder of which the same tables and comparisons are made."""

import shutil

import pandas as pd
import pytest

import bench as package
from bench.messages.spec import RunSpec
from bench.report.compare import compare
from bench.report.publish import publish
from bench.report.table import tables
from bench.report.verdict import verdict
from bench.runs.store import Store


@pytest.fixture
def own(tiny_cards, tmp_path, bench):
    """A results folder with default and tuned rows."""
    root = tmp_path / "own"
    assert bench("tune", "--models", "itemknn", "--dataset", "tiny", "--trials", "2", "--results", root).status == 0
    words = ("--dataset", "tiny", "--results", root, "--raw-dir", tiny_cards.raw)
    assert bench("run", "--models", "itemknn,itemknn@tuned,pop", *words).status == 0
    return root


def folder(root):
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_published_records_make_the_same_table_without_lists_and_paths(own, tmp_path, bench):
    done = bench("results", "publish", "--results", own, "--to", tmp_path / "published")
    assert done.status == 0, done.err
    assert "published 1 table;" in done.out
    published = Store(tmp_path / "published")
    [name] = [path.name for path in (own / "leaderboards").glob("*.csv")]
    assert (published.leaderboards / name).read_text() == (own / "leaderboards" / name).read_text()
    cells = {path.rpartition("/")[2] for path in folder(published.cells)}
    assert cells == {"result.json", "per_user.parquet"}
    text = "".join((published.root / path).read_text() for path in folder(published.root) if path.endswith("json"))
    assert str(tmp_path) not in text
    [study] = (published.root / "tuning").iterdir()
    assert study.read_text() == (own / "tuning" / study.name).read_text()
    [table] = tables(published.results())
    assert verdict(table, published) == verdict(tables(Store(own).results())[0], Store(own))
    columns = pd.read_parquet(next(published.cells.glob("*/per_user.parquet"))).columns
    assert {column.rpartition("/")[2] for column in columns} == {"user", "ndcg@10", "recall@10"}


def test_own_row_is_compared_with_a_published_one(own, tmp_path, tiny_cards):
    publish(tables(Store(own).results()), Store(own), published := Store(tmp_path / "published"))
    package.run("ease", "tiny", results=tmp_path / "mine")
    both = Store(tmp_path / "mine", published.root)
    assert {r.cell.model for r in both.results()} == {"ease", "itemknn", "pop"}
    found = compare(both, "ease", "itemknn@tuned", "tiny")
    package.run("ease", "tiny", results=own)
    whole = compare(Store(own), "ease", "itemknn@tuned", "tiny")
    kept = whole.frame[whole.frame["metric"].isin(["ndcg@10", "recall@10"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.frame.drop(columns="p_holm"), kept.drop(columns="p_holm"))
    assert "not compared: values per user are not among" in " ".join(found.notes)
    assert not (published.root / "cells" / both.results()[-1].cell_id / "lists.parquet").exists()


def test_a_cell_of_ones_own_folder_counts_before_one_beside_it(make_result, tmp_path):
    other, own = Store(tmp_path / "other"), Store(tmp_path / "own")
    for store, score in ((other, 0.2), (own, 0.4)):
        store.write(make_result(score=score))
    other.write(make_result("ease", score=0.3))
    both = Store(own.root, other.root)
    assert sorted(r.groups["all"].metrics["ndcg@10"] for r in both.results()) == [0.3, 0.4]
    shutil.rmtree(own.cells)
    assert [r.groups["all"].metrics["ndcg@10"] for r in both.results() if r.cell.model == "pop"] == [0.2]
    both.write(make_result("ease", score=0.9))  # never into the folder beside
    assert own.results()[0].groups["all"].metrics["ndcg@10"] == 0.9
    assert [r.groups["all"].metrics["ndcg@10"] for r in other.results() if r.cell.model == "ease"] == [0.3]


def test_what_cannot_be_published_is_one_line(own, tmp_path, bench):
    done = bench("results", "publish", "--results", own, "--to", own)
    assert done.status == 1
    assert "is where the results are: give another --to" in done.err
    done = bench("results", "publish", "--results", tmp_path / "none", "--to", tmp_path / "published")
    assert "no results to publish" in done.err
    for path in (own / "cells").glob("*/per_user.parquet"):
        path.write_bytes(b"PAR1 but not really")
    done = bench("results", "publish", "--results", own, "--to", tmp_path / "published")
    assert "per_user.parquet cannot be read" in done.err
    assert done.err.count("\n") == 1
    assert not list((tmp_path / "published").rglob("*.csv"))


def test_commands_keep_what_was_run_and_lose_where(make_result, tmp_path):
    command = (
        "bench run --models pop --results '/my files/x' --seeds 1-3 --raw-dir=/data --dataset tiny "
        "--groups memory,/me/own.csv --config=/me/c.yaml --set pop.x=1/2"
    )
    store, published = Store(tmp_path / "own"), Store(tmp_path / "published")
    spec = RunSpec(models=["pop"], dataset="/me/card.yaml", groups=["memory", "/me/own.csv"])
    store.write(make_result(status="failed", command=command, spec=spec))
    publish(tables(store.results()), store, published)
    [result] = published.results()
    kept = "--groups memory,own.csv --config=c.yaml --set pop.x=1/2"
    assert result.command == f"bench run --models pop --seeds 1-3 --dataset tiny {kept}"
    assert (result.spec.dataset, result.spec.groups) == ("card.yaml", ["memory", "own.csv"])
    assert result.reason == "it broke"


def test_what_a_run_said_loses_the_places_of_files(make_result, tmp_path):
    store, published = Store(tmp_path / "own"), Store(tmp_path / "published")
    facts = {"file": "/home/me/own/lists.csv", "from": ["https://a.org/b/c.gz", "and/or 1/2"], "n": 3}
    told = {"warnings": ["/home/me/own/x.csv: 3 rows", "nDCG / 2"], "facts": facts}
    store.write(make_result(status="failed", **told).model_copy(update={"reason": "no file '/data/me/a.csv' (/b/c)"}))
    publish(tables(store.results()), store, published)
    [result] = published.results()
    assert result.reason == "no file 'a.csv' (c)"
    assert result.warnings == ["x.csv: 3 rows", "nDCG / 2"]
    assert result.facts == {"file": "lists.csv", "from": ["https://a.org/b/c.gz", "and/or 1/2"], "n": 3}
