"""A release is one version of core and plugins, and works from its wheels alone."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from bench import plugins
from bench.errors import UnknownName

ROOT = Path(__file__).parent.parent
TEMPLATES = sorted(path.parent for path in (ROOT / "bench" / "templates").glob("*/pyproject.toml"))
PLUGINS = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))
HINT = "run .ci/version with the version of pyproject.toml"


def project(folder):
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_version_is_the_same_everywhere():
    version = project(ROOT)["version"]
    assert {folder.name: project(folder)["version"] for folder in PLUGINS} == dict.fromkeys(
        (folder.name for folder in PLUGINS), version
    ), HINT
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == version, HINT
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert newest == version, "CHANGELOG.md begins with this version"


def test_plugins_are_called_as_their_folders():
    assert [project(folder)["name"] for folder in PLUGINS] == [f"recsys-bench-{folder.name}" for folder in PLUGINS]


@pytest.mark.parametrize("folder", [*PLUGINS, *TEMPLATES], ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_a_plugin_requires_the_core_of_its_series(folder):
    series = ".".join(project(ROOT)["version"].split(".")[:2])
    own = [line for line in project(folder)["dependencies"] if line.startswith("recsys-bench")]
    assert f"recsys-bench~={series}" in own, HINT
    assert all(line.endswith(f"~={series}") for line in own), HINT


def test_all_is_every_plugin():
    named = {re.split(r"[~\[]", line)[0] for line in project(ROOT)["optional-dependencies"]["all"]}
    assert named == {f"recsys-bench-{folder.name}" for folder in PLUGINS}, HINT


def test_models_of_all_plugins_are_listed():
    brought = {project(folder)["name"]: set(project(folder).get("entry-points", {}).get("bench.models", {}))
               for folder in PLUGINS}  # fmt: skip
    listed = yaml.safe_load((ROOT / "models.yaml").read_text())
    assert {name: set(models) for name, models in listed.items()} == {n: m for n, m in brought.items() if m}, HINT


@pytest.mark.parametrize(
    ("name", "distribution"),
    [("lightgcn", "recsys-bench-recbole"), ("recbole:ENMF", "recsys-bench-recbole"), ("hstu", "recsys-bench-neural")],
)
def test_a_model_of_a_plugin_that_is_not_installed_says_which(monkeypatch, name, distribution):
    present = [plugin for plugin in plugins.installed() if plugin.distribution == "recsys-bench-classic"]
    monkeypatch.setattr(plugins, "installed", lambda group=plugins.MODELS: present)
    monkeypatch.setattr(plugins.metadata, "distributions", lambda **named: [])
    with pytest.raises(UnknownName) as error:
        plugins.find_model(name)
    said = f"pip install {distribution} (in a clone: its folder below plugins) brings it; see 'bench models list'"
    assert str(error.value) == f"unknown model '{name}': {said}"
    with pytest.raises(UnknownName, match="unknown model 'easy': did you mean 'ease'"):
        plugins.find_model("easy")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([ROOT / ".ci" / "wheels", folder], check=True, env=environment)
    return folder


@pytest.mark.slow
def test_wheels_and_sources_hold_what_is_needed_and_nothing_of_the_tests(wheels):
    built = sorted(path.name for path in wheels.glob("*.whl"))
    assert [name.split("-")[0] for name in built] == sorted(
        ["recsys_bench", *(f"recsys_bench_{folder.name}" for folder in PLUGINS)]
    )
    assert len(list(wheels.glob("*.tar.gz"))) == len(built)
    for wheel in wheels.glob("*.whl"):
        names = zipfile.ZipFile(wheel).namelist()
        assert not [name for name in names if "/tests/" in name and "templates" not in name]
        assert [name for name in names if name.endswith("py.typed")], wheel.name
        assert [name for name in names if name.endswith("dist-info/licenses/LICENSE")], wheel.name
    core = zipfile.ZipFile(next(wheels.glob("recsys_bench-*.whl"))).namelist()
    assert {
        "bench/datasets.yaml",
        "bench/references.yaml",
        "bench/models.yaml",
        "bench/data/synthetic/interactions.csv",
    } <= set(core)


@pytest.mark.slow
def test_core_and_classic_work_from_their_wheels_in_an_empty_folder(wheels, tmp_path):
    python, home = tmp_path / "venv" / "bin" / "python", tmp_path / "empty"
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    home.mkdir()
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    words = [
        "install",
        "-q",
        "-c",
        ROOT / "constraints.txt",
        "--find-links",
        wheels,
        "recsys-bench",
        "recsys-bench-classic",
    ]
    subprocess.run([python, "-m", "pip", *words], env=outside, check=True)
    alone = {"PATH": f"{python.parent}:/usr/bin:/bin", "HOME": str(home), "OMP_NUM_THREADS": "1"}
    words = ["bench", "run", "--models", "pop,ease", "--dataset", "synthetic"]
    done = subprocess.run(words, cwd=home, env=alone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\| ease .*\n\| pop ", done.stdout, re.MULTILINE), done.stdout


def test_pre_commit_has_the_versions_of_the_constraints():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    [ruff] = [repo["rev"] for repo in hooks["repos"] if "ruff" in repo["repo"]]
    assert f"ruff=={ruff.removeprefix('v')}\n" in (ROOT / "constraints.txt").read_text(encoding="utf-8")
