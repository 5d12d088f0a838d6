"""Two rows are compared by what both have; what keeps them apart is said with the way out."""

import json

import numpy as np
import pandas as pd
import pytest

from bench.errors import ResultsError
from bench.report.compare import compare
from bench.runs.store import Store

RUN = ("run", "--dataset", "tiny")


@pytest.fixture(scope="module")
def unlike(start_bench, tmp_path_factory):
    """Two rows with other groups and cut-offs."""
    folder = tmp_path_factory.mktemp("unlike")
    for words in (("pop", "--groups", "quartiles", "--k", "3,10"), ("ease", "--k", "10,20")):
        process = start_bench(*RUN, "--models", *words, "--results", folder)
        process.communicate(timeout=60)
    return folder


def forget(folder, model, metrics=(), groups=()):
    """A row as if it had not been measured so: neither in its result nor per user."""
    for path in folder.glob("cells/*/result.json"):
        result = json.loads(path.read_text())
        if result["cell"]["model"] != model:
            continue
        for group in groups:
            result["groups"].pop(group, None)
        for group in result["groups"].values():
            for kind in ("metrics", "errors"):
                group[kind] = {name: value for name, value in group[kind].items() if name not in metrics}
        path.write_text(json.dumps(result))
        values = pd.read_parquet(path.parent / "per_user.parquet")
        gone = [c for c in values if c.rpartition("/")[0] in groups or c.rpartition("/")[2] in metrics]
        values.drop(columns=gone).to_parquet(path.parent / "per_user.parquet")


NAMES = ("ndcg", "recall", "mrr", "hit", "precision", "map")
QUARTERS = ("Q1", "Q2", "Q3", "Q4")


def at(*cuts):
    return [f"{name}@{cut}" for name in NAMES for cut in cuts]


def per_user(folder, model, column):
    [cell] = [result.cell_id for result in Store(folder).results() if result.cell.model == model]
    return pd.read_parquet(folder / "cells" / cell / "per_user.parquet").set_index("user")[column].dropna()


def test_rows_with_other_groups_and_cut_offs_are_compared_by_what_both_have(unlike, bench):
    forget(unlike, "pop", metrics=at(20))
    forget(unlike, "ease", metrics=at(3), groups=QUARTERS)
    done = bench("compare", "pop", "ease", "--dataset", "tiny", "--results", unlike, "--json")
    assert done.status == 0, done.err
    rows = {(row["group"], row["metric"]): row for row in json.loads(done.out)}
    assert {"all", "long tail", "head"} <= {group for group, _ in rows}
    assert {metric for _, metric in rows} == set(at(10))
    difference = per_user(unlike, "pop", "all/ndcg@10") - per_user(unlike, "ease", "all/ndcg@10")
    half = 1.959964 * difference.std() / np.sqrt(len(difference))
    row = rows["all", "ndcg@10"]
    assert row["n"] == len(difference) == 48
    assert row["difference"] == pytest.approx(difference.mean(), abs=1e-6)
    assert (row["low"], row["high"]) == pytest.approx((difference.mean() - half, difference.mean() + half), abs=1e-6)
    assert {f"{quarter} is not compared: only A was measured by it" for quarter in QUARTERS} <= set(
        done.err.splitlines()
    )
    done = bench("compare", "pop", "ease", "--dataset", "tiny", "--results", unlike, "--k", "3")
    assert "no metric at 3 in both rows (A was measured at 3, 10, B at 10, 20): --k 10 can be compared" in done.err
    assert len(done.err.splitlines()) == 1


@pytest.fixture
def kept(tmp_path):
    """Store results with values per user of 0, 2/3, 4/3, 2 times their score, ten users each, or of one the score."""

    def keep(*results):
        store = Store(tmp_path)
        for result in results:
            store.path(result.cell_id).mkdir(parents=True)
            store.commit(result)
            group = result.groups["all"]
            shares = np.tile(np.arange(4), 10) / 1.5 if group.n == 40 else np.ones(1)
            values = {f"all/{name}": shares * score for name, score in group.metrics.items()}
            path = store.path(result.cell_id) / "per_user.parquet"
            pd.DataFrame({"user": np.arange(group.n), **values}).to_parquet(path)
        return store

    return keep


OLD, NEW = "a" * 64, "b" * 64


def test_newest_data_of_a_name_count_and_others_by_fingerprint(kept, make_result, tiny_cards):
    old = [make_result(name, score, fingerprint=OLD, deterministic=True) for name, score in (("a", 0.5), ("b", 0.25))]
    new = [
        make_result(name, score, fingerprint=NEW, deterministic=True, created="2026-02-01T00:00:00+00:00")
        for name, score in (("a", 0.25), ("b", 0.125))
    ]
    store = kept(*old, *new)
    # By hand: the differences 0, 2/3, 4/3, 2 times d, the difference of the scores, ten each, have the mean d.
    for fingerprint, expected in ((None, 0.125), (NEW[:4], 0.125), (OLD[:8], 0.25)):
        found = compare(store, "a", "b", "tiny", fingerprint=fingerprint)
        row = found.frame.set_index(["group", "metric"]).loc[("all", "ndcg@10")]
        assert row["difference"] == pytest.approx(expected)
        half = 1.959964 * np.sqrt(50 / 39 / 40) * expected / 1.5  # the variance of ten times 0, 1, 2, 3 is 50/39
        assert (row["low"], row["high"]) == pytest.approx((expected - half, expected + half))
    assert compare(store, "a", "b", "tiny").notes[1:] == [f"other data of the same name: --fingerprint {OLD[:8]}"]
    with pytest.raises(ResultsError, match="--fingerprint"):
        compare(store, "a", "b", "tiny", fingerprint="c")


def test_row_that_was_run_on_other_data_alone_is_found_there(kept, make_result, tiny_cards):
    new = make_result("a", fingerprint=NEW, created="2026-02-01T00:00:00+00:00")
    store = kept(make_result("a", fingerprint=OLD), make_result("b", fingerprint=OLD), new)
    with pytest.raises(ResultsError, match=f"'b' has not been run on the newest data .* --fingerprint {OLD[:8]}"):
        compare(store, "a", "b", "tiny")


def test_the_largest_common_cut_off_stands_in_for_ten(kept, make_result, tiny_cards):
    store = kept(make_result("a", 0.5), make_result("b", 0.25))
    forget(store.root, "b", metrics=at(10))
    assert set(compare(store, "a", "b", "tiny").frame["metric"]) == {"ndcg@5", "recall@5", "mrr@5", "hit@5"}


def test_a_row_is_not_compared_with_itself(kept, make_result, tiny_cards):
    store = kept(make_result("a", 0.5), make_result("b", 0.25))
    with pytest.raises(ResultsError, match="a and a are one row: name two"):
        compare(store, "a", "a", "tiny")


def test_nothing_in_common_says_how_to_measure(kept, make_result, tiny_cards):
    store = kept(make_result("a", 0.5), make_result("b", 0.25))
    forget(store.root, "b", metrics=at(10))
    forget(store.root, "a", metrics=at(5))
    with pytest.raises(ResultsError, match=r"A was measured at 10, B at 5.*bench run --models … --k 10"):
        compare(store, "a", "b", "tiny")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\x00" * 100 + b"PAR1", None])
def test_damaged_values_per_user_are_one_line_and_are_measured_again(bench, tmp_path, content):
    bench(*RUN, "--models", "pop,random", "--results", tmp_path)
    path = min(tmp_path.glob("cells/*/per_user.parquet"))
    good = pd.read_parquet(path)
    path.unlink() if content is None else path.write_bytes(content)
    words = ("compare", "pop", "random", "--dataset", "tiny", "--results", tmp_path)
    done = bench(*words)
    [line] = done.err.splitlines()
    assert line.startswith(f"error: {path} cannot be read")
    assert "this should not happen" not in line
    done = bench(*RUN, "--models", "pop,random", "--results", tmp_path)
    assert done.err.count("already there") == 2
    pd.testing.assert_frame_equal(pd.read_parquet(path)[good.columns], good)
    assert bench(*words).status == 0


def test_one_user_has_no_interval(kept, make_result, tiny_cards):
    results = [make_result("a", 0.5), make_result("b", 0.25)]
    one = [r.groups["all"].model_copy(update={"n": 1, "errors": {}}) for r in results]
    store = kept(*(r.model_copy(update={"groups": {"all": own}}) for r, own in zip(results, one, strict=True)))
    found = compare(store, "a", "b", "tiny")
    assert found.frame["n"].unique() == [1]
    assert found.frame["low"].isna().all()
    assert "nan" not in found.text()
