"""A plugin in an environment of its own: seen, hashed and run there, and made and removed by one command."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import tomllib
from pathlib import Path

import pytest

import bench as core
from bench.code import code_hash
from bench.errors import ConfigError, PluginError
from bench.installation import satisfies
from bench.isolated import Isolated, Record, environments
from bench.plugins import find_model, installed
from bench.runs import install
from bench.runs.hashes import hashes

CORE = Path(core.__file__).parent
MODEL = '''
import sys

import numpy as np

from bench import Recommender


class Toy(Recommender):
    """What is popular."""

    deterministic = True
    personalized = False
    state = ("counts",)

    def fit(self, train, valid, context):
        print(sys.prefix)
        self.counts = np.bincount(train.items, minlength=train.n_items).astype(np.float32)

    def score(self, users, history):
        return np.tile(self.counts, (len(users), 1))
'''


def package(folder, name="toy-plugin", model="toy", requires=("recsys-bench",), source=MODEL, group="bench.models"):
    """A package with one model, as an author writes it."""
    module = name.replace("-", "_")
    (folder / module).mkdir(parents=True)
    (folder / module / "__init__.py").write_text(source)
    (folder / "pyproject.toml").write_text(
        textwrap.dedent(f"""
        [build-system]
        requires = ["hatchling>=1.27"]
        build-backend = "hatchling.build"

        [project]
        name = "{name}"
        version = "0.1"
        requires-python = ">=3.11"
        dependencies = {json.dumps(list(requires))}

        [project.entry-points."{group}"]
        {model} = "{module}:Toy"
        """)
    )
    return folder


def put(site, source):
    """Install the package in the folder ``source`` as pip leaves it."""
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    module = project["name"].replace("-", "_")
    shutil.copytree(source / module, site / module)
    info = site / f"{module}-{project['version']}.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {project['name']}", f"Version: {project['version']}"]
    lines += [f"Requires-Dist: {line}" for line in project["dependencies"]]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    entries = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in found.items())
        for group, found in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(entries))
    (info / "RECORD").write_text("".join(f"{path.relative_to(site)},,\n" for path in site.glob(f"{module}/*.py")))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of environments with ``toy-plugin`` in one, whose libraries are those of this environment."""
    folder = tmp_path_factory.mktemp("environments")
    target = folder / "toy-plugin"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", target], check=True)
    site = next(target.glob("lib/python*/site-packages"))
    (site / "libraries.pth").write_text(f"{CORE.parent}\n{sysconfig.get_path('purelib')}\n")
    put(site, package(tmp_path_factory.mktemp("source")))
    put(site, package(tmp_path_factory.mktemp("other"), "needed-plugin", "needed"))
    record = Record(distribution="toy-plugin", asked=["toy-plugin"], core=str(CORE))
    (target / "environment.json").write_text(record.model_dump_json())
    return target


@pytest.fixture
def isolated(made, monkeypatch):
    """This process sees the environments of ``made``."""
    monkeypatch.setenv("BENCH_ENVIRONMENTS_DIR", str(made.parent))
    return made


def test_models_of_the_distribution_that_was_asked_for_are_seen(isolated):
    found = {plugin.name: plugin for plugin in installed()}
    assert found["toy"].interpreter == str(isolated / "bin" / "python")
    assert found["toy"].distribution == "toy-plugin"
    assert found["pop"].interpreter == sys.executable
    assert "needed" not in found  # it is there because toy-plugin may need it


def test_list_says_where_a_model_lives(isolated, bench):
    rows = {row["name"]: row for row in json.loads(bench("models", "list", "--json").out)}
    assert (rows["toy"]["environment"], rows["toy"]["problem"]) == (str(isolated), None)
    assert rows["pop"]["environment"] is None
    [line] = [line for line in bench("models", "list").out.splitlines() if line.startswith("toy ")]
    assert line.endswith(f"toy-plugin 0.1  in {isolated}")


def test_its_workers_run_there_and_the_row_says_so(isolated, bench, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_PLUGINS", "toy-plugin,recsys-bench-classic")
    done = bench("run", "--models", "toy,pop", "--dataset", "tiny", "--results", tmp_path)
    assert done.status == 0, done.err
    cells = {}
    for path in tmp_path.glob("cells/*/result.json"):
        result = json.loads(path.read_text())
        cells[result["cell"]["model"]] = result
    assert str(isolated) in (tmp_path / "cells" / cells["toy"]["cell_id"] / "worker.log").read_text()
    assert cells["toy"]["plugin"] == {"distribution": "toy-plugin", "version": "0.1", "environment": "toy-plugin"}
    assert cells["pop"]["plugin"]["environment"] == ""
    assert cells["toy"]["packages"]["python"] == sys.version.split()[0]
    assert {"numpy", "pydantic"} <= set(cells["toy"]["packages"])
    assert cells["toy"]["confinement"] == cells["pop"]["confinement"]
    assert cells["toy"]["groups"]["all"]["metrics"] == cells["pop"]["groups"]["all"]["metrics"]  # both are popularity
    shown = bench("recommend", "--model", "toy", "--dataset", "tiny", "--user", "u001", "--results", tmp_path)
    assert shown.status == 0, shown.err


def test_its_code_is_hashed_by_the_same_rule(isolated, tmp_path, monkeypatch):
    own = find_model("toy")
    put(tmp_path, package(tmp_path / "source"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("BENCH_ENVIRONMENTS_DIR", "")
    beside = find_model("toy")
    assert beside.environment is None
    assert hashes("code", [own]) == [code_hash(beside)]
    where = tmp_path / "toy_plugin" / "__init__.py"
    where.write_text(MODEL.replace("np.tile(self.counts", "np.tile(-self.counts"))
    assert hashes("code", [own]) != [code_hash(beside)]


def test_a_file_that_cannot_be_parsed_there_is_one_error_for_its_model(made, tmp_path, monkeypatch):
    copy = tmp_path / "toy-plugin"
    shutil.copytree(made, copy, symlinks=True)
    monkeypatch.setenv("BENCH_ENVIRONMENTS_DIR", str(tmp_path))
    next(copy.glob("lib/python*/site-packages/toy_plugin")).joinpath("__init__.py").write_text("def\n")
    [wrong, fine] = hashes("description", [find_model("toy"), find_model("pop")])
    assert isinstance(wrong, PluginError)
    assert "cannot be parsed" in str(wrong)
    assert isinstance(fine, str)


def test_name_that_is_in_both_places_is_one_line(isolated, bench, tmp_path, monkeypatch):
    put(tmp_path / "site", package(tmp_path / "source")) if (tmp_path / "site").mkdir() is None else None
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    [row] = [row for row in json.loads(bench("models", "list", "--json").out) if row["name"] == "toy"]
    said = f"'toy' comes from toy-plugin and from toy-plugin in {isolated}: uninstall one of them"
    assert row["problem"] == said
    done = bench("run", "--models", "toy", "--dataset", "tiny", "--results", tmp_path / "results")
    assert (done.status, done.err) == (1, f"error: {said}\n")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda target: (target / "bin" / "python").unlink(), "the Python of its environment"),
        (lambda target: change(target, core=str(target)), "has another version of recsys-bench than this one"),
    ],
)
def test_environment_that_broke_is_told_with_the_way_out(made, bench, tmp_path, monkeypatch, harm, said):
    copy = tmp_path / "toy-plugin"
    shutil.copytree(made, copy, symlinks=True)
    harm(copy)
    monkeypatch.setenv("BENCH_ENVIRONMENTS_DIR", str(tmp_path))
    [row] = [row for row in json.loads(bench("models", "list", "--json").out) if row["name"] == "toy"]
    assert said in row["problem"]
    assert "'bench plugin remove toy-plugin'" in row["problem"]
    done = bench("run", "--models", "toy", "--dataset", "tiny", "--results", tmp_path / "results")
    assert (done.status, done.err) == (1, f"error: {row['problem']}\n")


def change(target, **fields):
    record = json.loads((target / "environment.json").read_text()) | fields
    (target / "environment.json").write_text(json.dumps(record))


def test_unfinished_and_damaged_environments_are_none(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_ENVIRONMENTS_DIR", str(tmp_path))
    (tmp_path / "unfinished" / "bin").mkdir(parents=True)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "environment.json").write_text('{"distribution": ')
    assert environments() == []


def test_checks_of_its_model_run_there(isolated, bench, monkeypatch):
    monkeypatch.setattr(Isolated, "distribution", lambda self, name: None if name == "pytest" else real(self, name))
    done = bench("plugin", "test", "toy")
    assert done.status == 1
    assert done.err.endswith("and add it again\n")


real = Isolated.distribution

# Adding and removing --------------------------------------------------------------------------------------------------


@pytest.fixture
def uv(tmp_path, monkeypatch, made):
    """A ``uv`` that notes its words, and does what ``does`` says."""
    monkeypatch.setenv("BENCH_ENVIRONMENTS_DIR", str(tmp_path / "environments"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    site = next(made.glob("lib/python*/site-packages"))
    script = tmp_path / "bin" / "uv"
    script.parent.mkdir()

    def make(status=0, leaves="toy_plugin"):
        python = '$(dirname "$(dirname "$4")")'
        copy = f"cp -r {site}/libraries.pth {site}/{leaves}* {python}/lib/python*/site-packages/" if leaves else ""
        script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/words\n{copy}\nexit {status}\n')
        script.chmod(0o755)
        return lambda: (tmp_path / "words").read_text().splitlines()

    return make


def test_add_installs_core_and_plugin_together_and_remove_leaves_nothing(uv, bench, tmp_path):
    words = uv()
    source = package(tmp_path / "source")
    done = bench("plugin", "add", source, "--isolated", "--with", "numpy<2", "-e")
    assert done.status == 0, done.err
    target = tmp_path / "environments" / "toy-plugin"
    assert done.out == f"{'toy':16} toy-plugin 0.1  in {target}  ok\n"
    interpreter = str(target / "bin" / "python")
    assert words() == [
        "pip", "install", "--python", interpreter, "-e", str(CORE.parent), "pytest>=8.0", "-e", str(source),
        "numpy<2", "--quiet",
    ]  # fmt: skip
    again = bench("plugin", "add", source, "--isolated")
    assert again.err == f"error: toy-plugin has an environment in {target}: 'bench plugin remove toy-plugin' first\n"
    gone = bench("plugin", "remove", "Toy_Plugin")
    assert (gone.status, gone.out) == (0, f"removed {target}\n")
    assert list(target.parent.iterdir()) == []


def test_a_plugin_that_cannot_be_installed_leaves_nothing(uv, bench, tmp_path):
    uv(status=7, leaves="")
    done = bench("plugin", "add", "toy-plugin==0.1", "--isolated")
    assert done.status == 1
    assert done.err == "error: toy-plugin==0.1 cannot be installed (exit status 7): the reason stands above\n"
    assert list((tmp_path / "environments").iterdir()) == []


def test_a_distribution_without_models_gets_no_environment(uv, bench, tmp_path):
    uv(leaves="needed_plugin")  # nothing that was asked for
    done = bench("plugin", "add", "toy-plugin", "--isolated")
    assert done.status == 1
    assert "error: toy-plugin brings no model (an entry point of the group bench.models)" in done.err
    assert list((tmp_path / "environments").iterdir()) == []


def test_beside_the_core_its_packages_keep_their_versions(uv, tmp_path):
    from importlib import metadata

    words = uv(status=1, leaves="")
    with pytest.raises(PluginError, match="add --isolated"):
        install.add_beside("toy-plugin")
    assert words()[:5] == ["pip", "install", "--python", sys.executable, "-c"]
    kept = tmp_path / "kept"
    script = tmp_path / "bin" / "uv"
    script.write_text(f'#!/bin/sh\ncp "$6" {kept}\n')
    install.add_beside("toy-plugin")
    pins = dict(line.split("==") for line in kept.read_text().splitlines())
    assert pins["numpy"] == metadata.version("numpy")
    assert {name.lower() for name in pins} >= {"numpy", "pandas", "pyarrow", "pydantic", "scipy", "optuna"}


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("Some.Plugin==1.2", "some-plugin"),
        ("a_plugin[fast] >= 2", "a-plugin"),
        ("plugin @ git+https://example.org/x", "plugin"),
        ("dist/a_plugin-1.0-py3-none-any.whl", "a-plugin"),
    ],
)
def test_name_of_what_is_added(what, name):
    assert install.distribution_name(what) == name


@pytest.mark.parametrize("what", ["git+https://example.org/x", "", "-r", "../nowhere", "a/b"])
def test_what_has_no_name_is_an_error(what):
    with pytest.raises(ConfigError, match="is no folder, no wheel and no requirement"):
        install.distribution_name(what)


def test_mistakes_are_one_line(bench, tmp_path):
    (tmp_path / "empty").mkdir()
    for words, said in [
        (("add", tmp_path / "empty", "--isolated"), "has no pyproject.toml with a name under [project]"),
        (("add", "x", "--isolated", "--python", "python9"), "'python9' is no Python interpreter"),
        (("add", "x", "--python", "python3"), "--python is for --isolated"),
        (("add", "x", "--isolated", "-e"), "--editable needs a folder, and x is none"),
        (("remove", "recsys-bench-classik"), "did you mean 'recsys-bench-classic'?"),
    ]:
        done = bench("plugin", *words)
        assert done.status == 1
        [line] = done.err.splitlines()
        assert said in line


def test_core_as_a_wheel_is_the_installed_one(tmp_path):
    found = install._wheel(CORE, tmp_path)
    site = tmp_path / "site"
    words = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", site, found]
    subprocess.run(words, check=True, capture_output=True)
    own = {str(path.relative_to(CORE)): path.read_bytes() for path in CORE.rglob("*.py")}
    assert {str(path.relative_to(site / "bench")): path.read_bytes() for path in (site / "bench").rglob("*.py")} == own


@pytest.mark.parametrize(
    ("version", "requirement", "fits"),
    [
        ("1.26.4", "numpy<2.7,>=1.26.4", True),
        ("2.7.0", "numpy<2.7,>=1.26.4", False),
        ("2.40.0", "pydantic-core==2.50.5", False),
        ("2.50.5", "pydantic-core==2.50.5", True),
        ("2.0", "some==1.*", True),  # what is not understood is no reason for an alarm
        ("1.0", "some!=1.0", True),
        ("1.0", "some>1", False),
        ("1.1", "some>1", True),
        ("1.1", "some<=1.0", False),
    ],
)
def test_bounds_of_a_requirement(version, requirement, fits):
    assert satisfies(version, requirement) is fits


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="numpy 1.26 has no wheel for this Python")
def test_a_model_that_needs_an_older_numpy_stands_beside_the_others(bench, tmp_path, monkeypatch):
    """Packages come from the package index."""
    monkeypatch.setenv("BENCH_ENVIRONMENTS_DIR", str(tmp_path / "environments"))
    source = "import numpy\n\nassert numpy.float_ is numpy.float64  # gone in numpy 2\n" + MODEL
    folder = package(tmp_path / "old", "old-numpy", "old-pop", ("recsys-bench", "numpy<2"), source)
    done = bench("plugin", "add", folder, "--isolated")
    assert done.status == 0, done.err
    done = bench("run", "--models", "old-pop,pop", "--dataset", "tiny", "--results", tmp_path / "results", "--json")
    assert done.status == 0, done.err
    rows = {row["model"]: row for row in json.loads(done.out)["rows"]}
    assert rows["old-pop"]["all/ndcg@10"] == rows["pop"]["all/ndcg@10"] > 0
    packages = {}
    for path in tmp_path.glob("results/cells/*/result.json"):
        result = json.loads(path.read_text())
        packages[result["cell"]["model"]] = result["packages"]
    assert packages["old-pop"]["numpy"].startswith("1.26.")
    assert int(packages["pop"]["numpy"].partition(".")[0]) >= 2
    # The rest of the core works with it too, such as the reader of item texts.
    interpreter = tmp_path / "environments" / "old-numpy" / "bin" / "python"
    code = "import bench.data.visible, bench.runs.execute, bench.report.table, pandas; pandas.DataFrame({'a': [1.0]})"
    subprocess.run([interpreter, "-P", "-c", code], check=True)
    assert bench("verify", "old-pop", "--dataset", "tiny", "--results", tmp_path / "results").status == 0
