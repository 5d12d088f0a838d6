"""One typed spec for the shell, for Python and for a file; strings mean the same everywhere."""

import typing

import pytest
import yaml

import bench as api
from bench.api import RunOptions, make_spec
from bench.cli.run import command
from bench.errors import BenchError, ConfigError, UnknownName
from bench.messages.spec import RunSpec
from bench.runs.store import Store

RUN = ("run", "--dataset", "tiny", "--models")


def test_python_call_has_the_fields_of_the_spec():
    assert set(typing.get_type_hints(RunOptions)) | {"models", "dataset"} == set(RunSpec.model_fields)


def test_every_field_of_the_spec_has_a_docstring():
    assert all(field.description for field in RunSpec.model_fields.values() if field.annotation is not str)


def test_every_option_of_the_shell_is_a_field_or_makes_one():
    made = {"changes", "config", "unconfined", "patience", "every", "validate_users", "validate_by"}
    options = {parameter.name for parameter in command.params} - {"spec", "results", "as_json", "track"}
    assert options - made == set(RunSpec.model_fields) - {"options", "confine", "stopping"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"models": " pop, ease,"}, {"models": ["pop", "ease"]}),
        ({"seeds": "1-2,7"}, {"seeds": [1, 2, 7]}),
        ({"seeds": 3}, {"seeds": [3]}),
        ({"seeds": (2, 1)}, {"seeds": [2, 1]}),
        ({"ks": "20,5"}, {"ks": [5, 20]}),
        ({"groups": "quartiles,cold"}, {"groups": ["quartiles", "cold"]}),
        ({"ablate": True}, {"ablate": ["all"]}),
        ({"ablate": False}, {"ablate": []}),
        ({"ablate": "a,b"}, {"ablate": ["a", "b"]}),
    ],
    ids=str,
)
def test_strings_mean_what_they_mean_in_the_shell(written, meant):
    spec = make_spec(**{"models": "pop", "dataset": "tiny", **written})
    assert {name: getattr(spec, name) for name in meant} == meant


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"models": ""}, "no model was named"),
        ({"seeds": "one"}, "--seeds takes whole numbers"),
        ({"ks": [0]}, "cut-offs must be 1 or more"),
        ({"jobs": 0}, "jobs = 0"),
        ({"history": "test"}, "history = 'test'"),
        ({"surprise": 1}, "surprise"),
        ({"stopping": {"metric": "auc"}}, "stopping.metric = 'auc'"),
    ],
    ids=str,
)
def test_mistake_is_a_config_error_in_one_line(fields, said):
    with pytest.raises(ConfigError) as caught:
        make_spec(**{"models": "pop", "dataset": "tiny", **fields})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_errors_can_be_caught_by_kind(tiny_cards, tmp_path):
    with pytest.raises(UnknownName, match="unknown model 'eese': did you mean 'ease'"):
        api.run("eese", "tiny", results=tmp_path)
    with pytest.raises(UnknownName, match="unknown config key"):
        api.run("ease", "tiny", results=tmp_path, options={"ease": {"l3": 1}})
    with pytest.raises(ConfigError, match="ease: l2 = 'much'"):
        api.run("ease", "tiny", results=tmp_path, options={"ease": {"l2": "much"}})
    assert issubclass(UnknownName, BenchError)


def test_spec_of_a_result_is_a_file_that_runs_the_same(bench, tmp_path):
    words = ("--seeds", "1,2", "--set", "ease.l2=9", "--k", "3,10", "--protocol", "colarec")
    bench(*RUN, "random,ease", "--results", tmp_path / "one", *words)
    first = Store(tmp_path / "one").results()
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(first[0].spec.model_dump(mode="json")))
    assert bench("run", "--spec", tmp_path / "run.yaml", "--results", tmp_path / "two").status == 0
    second = Store(tmp_path / "two").results()
    assert {r.cell_id: r.groups for r in first} == {r.cell_id: r.groups for r in second}
    assert all(r.spec == first[0].spec for r in second)


def test_options_of_the_command_line_win_over_the_file(bench, tmp_path):
    (tmp_path / "run.yaml").write_text("models: pop\ndataset: tiny\nseeds: [5]\nks: 3\n")
    bench("run", "--spec", tmp_path / "run.yaml", "--models", "random", "--results", tmp_path)
    [result] = Store(tmp_path).results()
    assert (result.cell.model, result.cell.seed, result.spec.ks) == ("random", 5, [3])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "expected 'models: "),
        ("a: [", "is no valid YAML"),
        ("models: pop", "--dataset is missing"),
        ("models: pop\ndataset: tiny\nsurprise: 1", "surprise"),
        ("models: pop\ndataset: tiny\nmodels: ease", "'models' is there twice in"),
    ],
)
def test_bad_spec_file_is_one_line(bench, tmp_path, text, said):
    (tmp_path / "run.yaml").write_text(text)
    done = bench("run", "--spec", tmp_path / "run.yaml", "--results", tmp_path / "results")
    [line] = done.err.splitlines()
    assert said in line
    assert done.status == 1
