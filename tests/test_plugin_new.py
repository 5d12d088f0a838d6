"""``bench plugin new``: a package of each kind is written, runs, keeps the contract, and passes the linters."""

import json
import os
import subprocess
import sys
import tomllib

import pytest

from bench.cli.template import KINDS, new_package
from bench.errors import ConfigError

NEURAL = [kind for kind in KINDS if kind != "score"]


def written(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def in_process(start_bench, plugin_site, tmp_path):
    """A call of ``bench`` where the package of that kind is installed as ``my-idea-KIND``: status, output, errors."""

    def call(kind, *words):
        folder = tmp_path / f"my-idea-{kind}"
        if not folder.exists():
            new_package(folder.name, kind, folder)
        path = os.pathsep.join([str(plugin_site(folder)), os.environ.get("PYTHONPATH", "")])
        process = start_bench(*words, environment={"PYTHONPATH": path})
        return (*process.communicate(timeout=300), process.returncode)

    return call


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_bears_its_name_everywhere(bench, tmp_path, kind):
    done = bench("plugin", "new", "Deep-Walk2", "--kind", kind, "--to", tmp_path / "in" / "there")
    assert done.status == 0
    assert "bench run --models Deep-Walk2,pop --dataset ml-100k\n    bench plugin test Deep-Walk2" in done.out
    files = written(tmp_path / "in" / "there")
    assert {"pyproject.toml", "README.md", "deep_walk2/model.py", "tests/test_deep_walk2.py"} < set(files)
    for name, text in files.items():
        for old in ("my-model", "my_model", "MyModel"):
            assert old not in name + text
        if name.endswith(".py"):
            compile(text, name, "exec")
    project = tomllib.loads(files["pyproject.toml"])["project"]
    assert project["entry-points"]["bench.models"] == {"Deep-Walk2": "deep_walk2.model:DeepWalk2"}
    needed = " ".join(project["dependencies"])
    assert ("recsys-bench-torchkit" in needed) == (kind in NEURAL)


def test_the_name_of_the_templates_is_a_name_too(tmp_path):
    new_package("my-model", "score", tmp_path / "new")
    assert "class MyModel(" in (tmp_path / "new" / "my_model" / "model.py").read_text()


def test_a_score_model_begins_short(tmp_path):
    new_package("short", "score", tmp_path / "short")
    text = (tmp_path / "short" / "short" / "model.py").read_text()
    body = text[text.index("class Short(") :]
    assert len([line for line in body.splitlines() if line.strip()]) <= 30


def test_nothing_is_written_over(bench, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.py").write_text("years of work")
    done = bench("plugin", "new", "mine", "--to", tmp_path / "mine")
    assert (done.status, done.err) == (
        1, f"error: {tmp_path / 'mine'} is there already: remove it, or give another NAME or --to\n",
    )  # fmt: skip
    assert written(tmp_path / "mine") == {"model.py": "years of work"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("2fast", "NAME takes"),
        ("a b", "NAME takes"),
        ("../up", "NAME takes"),
        ("a@b", "NAME takes"),
        ("ends-", "NAME takes"),
        ("x" * 41, "NAME takes"),
        ("café", "NAME takes"),
        ("", "NAME takes"),
        ("lambda", "is a word of Python"),
        ("ease", "recsys-bench-classic has a model 'ease' already"),
        ("numpy", "a package numpy is installed"),
        ("json", "a package json is installed"),
        ("tests", "a package tests is installed"),
        ("recommender", "the class of 'recommender' would be Recommender"),
    ],
)
def test_a_name_that_cannot_be_used_is_one_line(tmp_path, name, said):
    with pytest.raises(ConfigError) as error:
        new_package(name, "score", tmp_path / "new")
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_new_score_model_runs_at_once_beside_ours(in_process, tmp_path):
    words = ("run", "--models", "my-idea-score,pop", "--dataset", "tiny", "--results", tmp_path / "r", "--json")
    out, err, status = in_process("score", *words)
    assert status == 0, err
    scores = {row["model"]: row["all/ndcg@10"] for row in json.loads(out)["rows"]}
    assert scores["my-idea-score"] > scores["pop"] > 0  # users of the data like items of their own block


@pytest.mark.slow
@pytest.mark.parametrize("kind", NEURAL)
def test_a_new_neural_model_runs_at_once_beside_ours(in_process, tmp_path, kind):
    words = ("run", "--models", f"my-idea-{kind},pop", "--dataset", "tiny", "--results", tmp_path / "r", "--json")
    out, err, status = in_process(kind, *words)
    assert status == 0, err
    assert {row["model"]: row["status"] for row in json.loads(out)["rows"]}[f"my-idea-{kind}"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_model_keeps_the_contract(in_process, kind):
    out, err, status = in_process(kind, "plugin", "test", f"my-idea-{kind}", "--seconds", "200")
    assert status == 0, out + err
    assert "none of 33 checks" in out


@pytest.mark.slow
def test_a_new_model_can_be_tuned(in_process, tmp_path):
    words = ("tune", "--models", "my-idea-score", "--dataset", "tiny", "--trials", "3", "--results", tmp_path / "r")
    out, err, status = in_process("score", *words)
    assert status == 0, err
    assert "damping" in out + err


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_package_passes_the_linters(tmp_path, tmp_path_factory, kind):
    cache = tmp_path_factory.getbasetemp() / "mypy"  # of all kinds: most of the time goes into torch
    new_package("my-idea", kind, tmp_path / "my-idea")
    for words in (("ruff", "check", "--isolated", "--select", "E,F,I,D1,UP,B,SIM,RUF", "--line-length", "120"),
                  ("ruff", "format", "--isolated", "--check", "--line-length", "120"),
                  ("mypy", "--strict", "--cache-dir", cache)):  # fmt: skip
        ignored = ("--ignore", "D102,D107") if words[1] == "check" else ()
        where = ["my_idea"] if words[0] == "mypy" else ["."]
        done = subprocess.run(
            [sys.executable, "-m", *words, *ignored, *where],
            cwd=tmp_path / "my-idea", capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
