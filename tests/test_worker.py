"""What a worker is handed and what it tells: no way to the test set, hooks in order, everything in the result."""

import json
import os
import tempfile
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from bench.data.catalog import card
from bench.data.prepare import prepare
from bench.data.protocol import PROTOCOLS
from bench.data.split import split
from bench.messages.spec import RunSpec
from bench.runs.store import Store

SCHEMA = Path(__file__).parent.parent / "docs" / "result.schema.json"
WORDS = ("run", "--dataset", "tiny", "--models", "rough-spies,rough-learner", "--set", "rough-learner.epochs=4")


@pytest.fixture(scope="module")
def run(start_bench, rough_site, tmp_path_factory):
    """A run of a model that looks around and of one that trains, with a life-cycle plugin that writes."""
    folder = tmp_path_factory.mktemp("run")
    environment = {"PYTHONPATH": str(rough_site), "ROUGH_HOOKS": str(folder / "hooks")}
    process = start_bench(*WORDS, "--results", folder / "results", "--seeds", "1,2", environment=environment)
    process.out, process.err = process.communicate(timeout=120)
    assert process.returncode == 0, process.err
    process.results = Store(folder / "results").results()
    process.hooks = [json.loads(line) for line in (folder / "hooks").read_text().splitlines()]
    return process


@pytest.fixture
def seen(run):
    return next(result.facts for result in run.results if result.cell.model == "rough-spies")


@pytest.fixture
def parts(tiny_cards):
    return split(prepare(card("tiny")), PROTOCOLS["random"])


def test_worker_is_given_nothing_that_leads_to_the_test_set(seen, parts, tiny):
    told = json.dumps([seen["environment"], seen["arguments"], seen["folder"], seen["job"]])
    assert str(parts.visible.path) not in told
    assert str(parts.hidden.path) not in told
    assert str(parts.hidden.path.parent) not in told
    assert str(tiny.raw) not in told
    assert not {"BENCH_RAW_DIR", "BENCH_CACHE_DIR"} & set(seen["environment"])


def test_folder_of_the_worker_holds_train_and_validation_only(seen, parts):
    assert Path(seen["split"]).parts[-3:] == ("job", "in", "split")
    arrays = [f"{part}.{array}.npy" for part in ("train", "valid") for array in ("indptr", "items", "times")]
    assert sorted(seen["files"]) == sorted([*arrays, "facts.json", "item_texts.parquet", "user_texts.parquet"])
    visible = parts.visible
    keys = {
        name: set((part.users * 10_000 + part.items).tolist())
        for name, part in (("train", visible.train), ("valid", visible.valid), ("test", parts.hidden.test))
    }
    assert all(keys.values())
    assert not keys["train"] & keys["valid"]
    assert not (keys["train"] | keys["valid"]) & keys["test"]


def test_worker_works_in_a_folder_of_its_own(seen):
    assert Path(seen["folder"]).parent == Path(tempfile.gettempdir())
    assert seen["environment"]["HOME"].startswith(seen["folder"])
    assert not Path(seen["folder"]).exists()


def test_numerical_libraries_get_the_cores_of_the_job(seen):
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    assert {seen["environment"][name] for name in names} == {str(len(os.sched_getaffinity(0)))}


def test_hooks_are_called_in_order(run):
    assert run.hooks[0] == {"hook": "run started", "models": ["rough-spies", "rough-learner", "rough-learner"]}
    assert run.hooks[-1]["hook"] == "run finished"
    assert sorted(run.hooks[-1]["models"]) == ["rough-learner", "rough-learner", "rough-spies"]
    kinds = [told["hook"] for told in run.hooks if told.get("model") == "rough-learner"]
    once = ["cell started", "validation", "validation", "validation", "validation", "cell finished"]
    assert kinds == once * 2
    assert all(told["status"] == "finished" for told in run.hooks if told["hook"] == "cell finished")


def test_hooks_and_result_tell_the_same_validations(run):
    told = [hook for hook in run.hooks if hook["hook"] == "validation"]
    learner = next(result for result in run.results if result.cell.model == "rough-learner")
    kept = [{key: hook[key] for key in ("stage", "epoch", "score", "improved")} for hook in told[:4]]
    assert kept == [validation.model_dump() for validation in learner.validations]
    assert [validation["improved"] for validation in kept] == [True, False, False, False]
    assert {hook["metric"] for hook in told} == {"ndcg@10"}


def test_broken_life_cycle_plugin_is_a_warning(run):
    [line] = [line for line in run.err.splitlines() if "rough-broken-hooks" in line]
    assert "cannot be imported: ImportError: this plugin needs a library" in line


def test_spec_of_the_run_stands_in_its_results(run):
    [spec] = {result.spec.model_dump_json() for result in run.results}
    spec = RunSpec.model_validate_json(spec)
    assert spec.models == ["rough-spies", "rough-learner"]
    assert (spec.dataset, spec.seeds, spec.options) == ("tiny", [1, 2], {"rough-learner": {"epochs": 4}})


def test_result_tells_where_and_how_it_was_made(run, tiny):
    result = next(result for result in run.results if result.cell.model == "rough-learner")
    jsonschema.validate(json.loads(result.model_dump_json()), json.loads(SCHEMA.read_text()))
    assert result.cell.config == {"epochs": 4}
    assert result.cell.fingerprint
    assert set(result.raw_checksums) == {"reviews_tiny.json", "meta_tiny.json"}
    assert result.packages["numpy"] == np.__version__
    assert {"python", "pydantic"} <= set(result.packages)
    assert result.hardware["cores"] >= 1
    assert "--models rough-spies,rough-learner" in result.command
    assert all(phase.seconds > 0 for phase in result.phases.values())


def test_stochastic_model_is_run_for_each_seed_and_a_deterministic_one_once(run):
    assert sorted((result.cell.model, result.cell.seed) for result in run.results) == [
        ("rough-learner", 1), ("rough-learner", 2), ("rough-spies", 0),
    ]  # fmt: skip
