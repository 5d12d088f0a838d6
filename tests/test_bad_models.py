"""Whatever a stranger's model does in its process, the others go on and the row says what happened."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.contract import ModelConfig
from bench.errors import ConfigError
from bench.runs.store import Store
from bench.worker.config import make_config

FAIL = {
    "raises": "RuntimeError: the model broke in two lines",
    "aborts": "killed by SIGABRT",
    "killed": "killed by SIGKILL (out of memory, or killed from outside)",
    "exits": "SystemExit: 0",
    "hungry": "out of memory: Unable to allocate 1.00 TiB",
    "no-disk": "OSError: [Errno 27] File too large",
    "shape": "the plugin returned items of shape (48, 3)",
    "none": "TypeError: ",
    "objects": "ValueError: Object arrays cannot be saved",
}
OFFEND = {"nan": "not-finite", "unknown": "unknown", "excluded": "excluded", "duplicates": "duplicate"}
FINE = ("healthy", "noisy", "grandchild", "family:good")


@pytest.fixture(scope="module")
def run(start_bench, rough_site, tmp_path_factory):
    """One run of all these models, two at a time."""
    results = tmp_path_factory.mktemp("results")
    models = ",".join(f"rough-{name}" for name in (*FAIL, *OFFEND, *FINE))
    process = start_bench(
        "run", "--models", models, "--dataset", "tiny", "--jobs", "2", "--memory-limit", "16", "--results", results,
        environment={"PYTHONPATH": str(rough_site)},
    )  # fmt: skip
    process.out, process.err = process.communicate(timeout=300)
    process.results = {result.cell.model.removeprefix("rough-"): result for result in Store(results).results()}
    process.folder = results
    return process


def test_run_ends_in_good_order(run):
    assert run.returncode == 1
    assert len(run.results) == len(FAIL) + len(OFFEND) + len(FINE)
    assert f"{len(FAIL)} of {len(run.results)} cells failed" in run.err
    assert "Traceback" not in run.out + run.err


@pytest.mark.parametrize("name", FAIL)
def test_failed_model_is_a_row_with_the_reason(run, name):
    result = run.results[name]
    assert result.status == "failed"
    assert result.reason.startswith(FAIL[name])
    assert "\n" not in result.reason
    assert f"rough-{name} failed: {FAIL[name]}" in run.out
    assert (run.folder / "cells" / result.cell_id / "worker.log").is_file()


def test_the_reason_names_the_line_of_the_plugin(run):
    source = (Path(__file__).parent / "rough_plugin/rough/models.py").read_text().splitlines()
    said = run.results["raises"].reason.removeprefix(FAIL["raises"])
    [line] = re.fullmatch(r" \(rough/models\.py:(\d+)\)", said).groups()
    assert "the model broke" in source[int(line) - 1]


@pytest.mark.parametrize("name", OFFEND)
def test_offence_is_counted_in_the_table(run, name):
    result = run.results[name]
    assert result.status == "finished"
    assert result.violations[OFFEND[name]] > 0
    assert f"rough-{name} broke the contract in these slots: " in run.out


@pytest.mark.parametrize("name", FINE)
def test_healthy_model_beside_them_finishes(run, name):
    result = run.results[name]
    assert (result.status, result.reason) == ("finished", None)
    assert not any(result.violations.values())
    assert result.groups == run.results["healthy"].groups
    assert set(result.phases) == {"import", "fit", "recommend", "validate", "save"}
    assert all(phase.peak_mib > 10 for phase in result.phases.values())


def test_offences_do_not_pay(run):
    scores = {name: run.results[name].groups["all"].metrics["recall@20"] for name in (*OFFEND, "healthy")}
    assert scores["unknown"] == 0
    assert scores["duplicates"] < scores["healthy"]
    assert scores["excluded"] <= scores["healthy"]


def test_noise_goes_to_the_log(run):
    result = run.results["noisy"]
    log = (run.folder / "cells" / result.cell_id / "worker.log").read_bytes()
    for said in (b"said through the context", b"said on standard output", b"by native code \xff"):
        assert said in log
    assert "said on" not in run.out + run.err


def test_traceback_of_a_failed_model_is_in_its_log(run):
    result = run.results["raises"]
    log = (run.folder / "cells" / result.cell_id / "worker.log").read_text()
    assert "Traceback" in log
    assert "rough/models.py" in log


def test_code_and_version_of_the_plugin_are_recorded(run):
    result = run.results["healthy"]
    assert (result.plugin.distribution, result.plugin.version) == ("rough-plugin", "0.3")
    assert len(result.cell.code) == 64


def test_failed_cells_are_tried_again_and_finished_ones_kept(run, start_bench, rough_site):
    words = ("run", "--models", "rough-healthy,rough-raises", "--dataset", "tiny", "--memory-limit", "16")
    again = start_bench(*words, "--results", run.folder, environment={"PYTHONPATH": str(rough_site)})
    _, err = again.communicate(timeout=60)
    lines = err.splitlines()
    assert any("rough-healthy" in line and "already there" in line for line in lines)
    assert any("rough-raises" in line and "failed: RuntimeError" in line for line in lines)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            "rough-import",
            "plugin 'rough-import' of rough-plugin cannot be imported: ImportError: this plugin needs a library",
        ),
        ("rough-missing", "its module rough.nowhere is not there: install the package again"),
        ("rough-family:bad", "rough.models:family gives None, which is no subclass of bench.Recommender"),
    ],
)
def test_model_that_cannot_be_had_is_one_line_before_anything_runs(start_bench, rough_site, tmp_path, model, said):
    words = ("run", "--models", f"rough-healthy,{model}", "--dataset", "tiny", "--results", tmp_path)
    process = start_bench(*words, environment={"PYTHONPATH": str(rough_site)})
    _, err = process.communicate(timeout=60)
    [line] = err.strip().splitlines()
    assert process.returncode == 1
    assert said in line
    assert list(tmp_path.iterdir()) == []


def test_broken_plugin_is_a_line_in_the_list_of_plugins(start_bench, rough_site):
    only = {"PYTHONPATH": str(rough_site), "BENCH_PLUGINS": "rough-plugin,recsys-bench-classic"}
    process = start_bench("plugin", "list", "--json", environment=only)
    out, _ = process.communicate(timeout=120)
    errors = {plugin["name"]: plugin["error"] for plugin in json.loads(out)}
    assert "this plugin needs" in errors["rough-import"]
    assert "rough.nowhere" in errors["rough-missing"]
    assert errors["rough-broken-hooks"] is not None
    assert {errors[name] for name in ("rough-healthy", "rough-family:", "rough-hooks", "ease")} == {None}
    assert all("\n" not in (error or "") for error in errors.values())
    assert process.returncode == 0


def test_a_config_field_without_default_is_named():
    class Config(ModelConfig):
        damping: float

    with pytest.raises(ConfigError, match="own: the field 'damping' of its Config has no default: give it one"):
        make_config("own", SimpleNamespace(Config=Config), {})
    assert make_config("own", SimpleNamespace(Config=Config), {"damping": 2}).damping == 2
