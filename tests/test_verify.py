"""``bench verify``: a row that was run again, of the same and of other code, data and machines."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from bench.messages.cell import Cell


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("verified")


@pytest.fixture
def ran(bench, results):
    """``ease`` and three seeds of ``random``, once for all tests."""
    if not (results / "cells").exists():
        done = bench("run", "--models", "ease,random", "--seeds", "1-3", "--dataset", "tiny", "--results", results)
        assert done.status == 0, done.err
    return results


def copied(ran, tmp_path, change, model="ease"):
    """A copy of the results in which the ``result.json`` of a model is another; its id is made to fit."""
    shutil.copytree(ran, tmp_path / "changed")
    for path in sorted((tmp_path / "changed" / "cells").glob("*/result.json")):
        told = json.loads(path.read_text())
        if told["cell"]["model"] == model:
            change(told, path.parent)
            told["cell_id"] = Cell.model_validate(told["cell"]).id
            path.write_text(json.dumps(told))
            path.parent.rename(path.parent.with_name(told["cell_id"]))
    return tmp_path / "changed"


def verified(bench, row, results, *options):
    done = bench("verify", row, "--dataset", "tiny", "--results", results, "--json", *options)
    return done.status, json.loads(done.out) if done.out else done.err


def shifted(by):
    """Every value per user is higher by so much than it was, and so are the means."""

    def change(told, folder):
        values = pd.read_parquet(folder / "per_user.parquet")
        values.loc[:, values.columns != "user"] += by
        values.to_parquet(folder / "per_user.parquet")
        for group in told["groups"].values():
            group["metrics"] = {name: value + by for name, value in group["metrics"].items()}

    return change


def test_same_code_gives_the_same_digits(bench, ran):
    status, told = verified(bench, "ease", ran)
    assert (status, told["state"], told["differences"]) == (0, "equal", [])
    assert all(line["stored"] == line["again"] for line in told["numbers"])
    assert {line["group"] for line in told["numbers"]} >= {"all", "head", "long tail"}


def test_every_seed_is_run_again_or_those_that_are_named(bench, ran):
    done = bench("verify", "random", "--dataset", "tiny", "--results", ran)
    assert done.status == 0
    assert "[3/3]" in done.err
    assert "random: equal to the digit" in done.out
    assert max(map(len, done.out.splitlines())) <= 100
    assert "[1/1]" in bench("verify", "random", "--dataset", "tiny", "--results", ran, "--seeds", "2").err
    wrong = bench("verify", "random", "--dataset", "tiny", "--results", ran, "--seeds", "2,7")
    assert (wrong.status, wrong.err) == (1, "error: random has no seed 7: it has 1, 2, 3\n")


@pytest.mark.parametrize(("by", "state"), [(1e-3, "within"), (0.4, "different")])
def test_numbers_that_differ_are_held_against_the_interval_of_the_row(bench, ran, tmp_path, by, state):
    status, told = verified(bench, "ease", copied(ran, tmp_path, shifted(by)))
    assert (status, told["state"]) == (int(state == "different"), state)
    own = next(line for line in told["numbers"] if (line["group"], line["metric"]) == ("all", "ndcg@10"))
    assert own["stored"] - own["again"] == pytest.approx(by, abs=1e-6)
    # The interval by its definition: a row of one run, whose only error is that of its users.
    results = {path.parent: json.loads(path.read_text()) for path in ran.glob("cells/*/result.json")}
    [folder] = [folder for folder, result in results.items() if result["cell"]["model"] == "ease"]
    values = pd.read_parquet(folder / "per_user.parquet")["all/ndcg@10"].dropna()
    assert own["half_width"] == pytest.approx(1.96 * values.std(ddof=1) / len(values) ** 0.5, rel=1e-3)


def test_says_what_differs_in_code_packages_config_and_machine(bench, ran, tmp_path):
    def change(told, folder):
        told["cell"]["code"] = "0" * 64
        told["packages"]["numpy"] = "1.26.0"
        told["hardware"]["processor"] = "abacus"

    status, told = verified(bench, "ease", copied(ran, tmp_path, change))
    assert (status, told["state"]) == (0, "equal")
    assert [line.partition(":")[0] for line in told["differences"]] == ["code", "packages", "machine"]
    assert f"numpy 1.26.0 -> {np.__version__}" in told["differences"][1]
    assert "processor abacus -> " in told["differences"][2]


def test_the_config_of_the_row_is_run_and_not_the_default(bench, ran, tmp_path):
    options = ("--dataset", "tiny", "--results", tmp_path)
    assert bench("run", "--models", "ease", "--set", "ease.l2=3.0", *options).status == 0
    status, told = verified(bench, "ease", tmp_path)
    default = verified(bench, "ease", ran)[1]["numbers"]
    assert (status, told["state"]) == (0, "equal")
    assert [line["again"] for line in told["numbers"]] != [line["again"] for line in default]


def test_other_raw_files_are_named_before_anything_runs(bench, ran, tiny, write_amazon, rows, tmp_path):
    write_amazon(tmp_path / "raw", rows[:-20])
    done = bench("verify", "ease", "--dataset", "tiny", "--results", ran, "--raw-dir", tmp_path / "raw")
    assert done.status == 1
    assert "is not what it was (other raw files: reviews_tiny.json" in done.err
    assert done.err.count("\n") == 1


def test_published_records_can_be_verified(bench, ran, tmp_path):
    assert bench("results", "publish", "--results", ran, "--to", tmp_path / "published").status == 0
    status, told = verified(bench, "ease", tmp_path / "published")
    assert (status, told["state"]) == (0, "equal")
    assert {line["metric"].partition("@")[0] for line in told["numbers"]} == {"ndcg", "recall"}  # all that is published


def test_a_row_of_lists_is_no_models(bench, ran):
    assert bench("fuse", "ease", "random", "--name", "both", "--dataset", "tiny", "--results", ran).status == 0
    done = bench("verify", "both", "--dataset", "tiny", "--results", ran)
    assert (done.status, done.out) == (1, "")
    assert " is made of lists, and not by a model" in done.err
