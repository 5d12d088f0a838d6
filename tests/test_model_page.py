"""The plugin of docs/model.md is a working package: what a reader copies is what is tested here."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bench
from bench.interactions import Interactions
from bench.testing import LocalContext, block_interactions, ndcg
from bench.topk import rank

PAGE = Path(__file__).parent.parent / "docs" / "model.md"


@pytest.fixture
def blocks():
    found = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return {kind: text for kind, text in found if text.startswith(("# toy.py\n", "# pyproject.toml\n[project]\n"))}


@pytest.fixture
def site(blocks, tmp_path, monkeypatch):
    """The example, installed as pip would leave it."""
    folder = tmp_path / "site"
    (folder / "toy-1.0.dist-info").mkdir(parents=True)
    (folder / "toy.py").write_text(blocks["python"])
    (folder / "toy-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    group, entry = re.search(r'entry-points\."(.*?)"\]\n(.*)', blocks["toml"]).groups()
    (folder / "toy-1.0.dist-info" / "entry_points.txt").write_text(f"[{group}]\n{entry.replace(chr(34), '')}\n")
    return folder


def test_example_is_at_most_twelve_lines_with_imports(blocks):
    lines = [line for line in blocks["python"].splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= 12


def test_example_runs_and_equals_popularity(start_bench, site, tmp_path):
    words = ("run", "--models", "toy,pop", "--dataset", "tiny", "--results", tmp_path / "results", "--json")
    process = start_bench(*words, environment={"PYTHONPATH": str(site)})
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    rows = {row["model"]: row for row in json.loads(out)["rows"]}
    assert rows["toy"]["all/ndcg@10"] == rows["pop"]["all/ndcg@10"] > 0


def test_example_passes_the_published_checks(site):
    (site / "test_toy.py").write_text(
        "from bench.testing import ModelChecks\n\nclass TestToy(ModelChecks):\n    name = 'toy'\n"
    )
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(site / "test_toy.py")]
    done = subprocess.run(words, env={"PYTHONPATH": str(site), "PATH": ""}, capture_output=True, text=True, cwd=site)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


PUBLIC = {
    "Arrays", "BenchError", "ConfigError", "Context", "DataError", "Interactions", "ModelConfig", "PluginError",
    "RawData", "Reader", "Recommendations", "Recommender", "ResultsError", "RunSpec", "Search", "TextInputs",
    "UNFILLED", "UnknownName", "Validation", "hookimpl", "load_interactions", "rank", "run", "save_array",
    "save_interactions", "top_k",
}  # fmt: skip


def test_public_names_are_these_and_all_can_be_had():
    assert set(bench.__all__) == set(dir(bench)) == PUBLIC
    assert all(getattr(bench, name) is not None for name in PUBLIC)
    assert (bench.Interactions, bench.rank) == (Interactions, rank)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bench.nothing


def test_public_names_are_enough_for_a_model(tmp_path):
    class Neighbours(bench.Recommender):
        """Items seen together."""

        state = ("together",)

        def fit(self, train, valid, context):
            seen = np.zeros(train.shape, np.float32)
            seen[train.users, train.items] = 1
            self.together = seen.T @ seen

        def score(self, users, history):
            found = np.zeros(history.shape, np.float32)
            np.add.at(found, history.users, self.together[history.items])
            return found

    data = block_interactions()
    model = Neighbours(Neighbours.Config())
    model.fit(data.train, data.valid, LocalContext(model, data, tmp_path))
    assert ndcg(model, data) > 0.25
