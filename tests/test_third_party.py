"""A package outside this repository, built and installed for real, appears and runs."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
NO_SOURCES = shutil.ignore_patterns(".git", ".venv*", "results", "tests", "__pycache__", "recbole")


def call(*words, environment=None):
    """Output of a command that has to succeed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BENCH_", "PYTHON"))}
    done = subprocess.run(
        list(map(str, words)), env={**kept, **(environment or {})}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of a new environment with wheels of core, classic and the stranger's package.

    Their dependencies are those of the environment that runs the tests.
    """
    folder = tmp_path_factory.mktemp("third-party")
    shutil.copytree(REPOSITORY, folder / "core", ignore=NO_SOURCES)
    shutil.copytree(Path(__file__).parent / "rough_plugin", folder / "rough", ignore=NO_SOURCES)
    for source in (folder / "core", folder / "core" / "plugins" / "classic", folder / "rough"):
        call(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder / "wheels", source)
    call(sys.executable, "-m", "venv", folder / "venv")
    found = folder / "venv" / "bin" / "python"
    site = Path(call(found, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    call(found, "-m", "pip", "install", "-q", "--no-deps", "--no-index", *sorted((folder / "wheels").iterdir()))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return found


@pytest.fixture
def environment(session_cache, tiny):
    only = "rough-plugin,recsys-bench-classic"
    return {
        "BENCH_CACHE_DIR": str(session_cache),
        "BENCH_RAW_DIR": str(tiny.raw),
        "BENCH_PLUGINS": only,
        "BENCH_ENVIRONMENTS_DIR": "",
    }


@pytest.mark.slow
def test_installed_harness_is_not_the_repository(python, environment):
    assert str(python.parent.parent) in call(python, "-c", "import bench; print(bench.__file__)")
    names = [card["name"] for card in json.loads(call(python.parent / "bench", "datasets", "list", "--json"))]
    assert {"ml-100k", "beauty"} <= set(names)


@pytest.mark.slow
def test_model_of_the_package_appears(python, environment):
    found = json.loads(call(python.parent / "bench", "models", "list", "--json", environment=environment))
    of_the_package = {"name": "rough-healthy", "plugin": "rough-plugin", "version": "0.3"}
    assert {**of_the_package, "environment": None, "problem": None} in found
    assert "epochs = 3" in call(python.parent / "bench", "models", "info", "rough-learner", environment=environment)


@pytest.mark.slow
def test_model_of_the_package_runs_beside_ours(python, environment, tiny, launcher, tmp_path):
    words = ("run", "--models", "rough-healthy,pop", "--dataset", "tiny", "--results", tmp_path, "--json")
    rows = json.loads(call(python, "-c", launcher, tiny.cards, *words, environment=environment))["rows"]
    assert {row["model"]: row["status"] for row in rows} == {"rough-healthy": "finished", "pop": "finished"}
    assert rows[0]["all/ndcg@10"] == rows[1]["all/ndcg@10"] > 0  # both are popularity
