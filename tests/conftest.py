"""What the tests of the core share: small data, a command line in this process and in others, plugins."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
import types
from pathlib import Path

import numpy as np
import pytest
import yaml

LAUNCHER = """
import sys, pathlib, bench.data.catalog
cards = pathlib.Path(sys.argv.pop(1))
bench.data.catalog._cards_file = lambda: cards
from bench.cli import main
main()
"""
"""``bench`` with other dataset cards than those of the repository."""


@pytest.fixture
def new_cache(tmp_path, monkeypatch):
    """An empty cache folder for this test alone."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("BENCH_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def write_amazon():
    """Write (user, item, time) numbers as raw files in the form of Amazon 2014."""

    def write(folder, rows):
        folder.mkdir(parents=True, exist_ok=True)
        reviews = [
            {"reviewerID": f"u{user:03}", "asin": f"i{item:03}", "unixReviewTime": 1_300_000_000 + time}
            for user, item, time in rows
        ]
        (folder / "reviews_tiny.json").write_text("".join(json.dumps(review) + "\n" for review in reviews))
        metas = [
            {"asin": f"i{item:03}", "title": f"thing {item}", "categories": [["all", f"kind {item % 4}"]]}
            for item in sorted({item for _, item, _ in rows})
        ]
        (folder / "meta_tiny.json").write_text("".join(f"{meta!r}\n" for meta in metas))

    return write


@pytest.fixture(scope="session")
def rows():
    """(user, item, time) of 48 users and 40 items, in random order; users like items of their own block of four."""
    rng = np.random.default_rng(0)
    found = []
    for user in range(48):
        inside = np.arange(user % 4, 40, 4)
        some = rng.choice(inside, int(rng.integers(3, len(inside))), replace=False)
        found += [(user, int(item)) for item in np.union1d(some, rng.choice(40, 3, replace=False))]
    return [(*found[at], 10 * time) for time, at in enumerate(rng.permutation(len(found)))]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, rows, write_amazon):
    """A data set ``tiny`` of 48 users and 40 items: its card file ``cards`` and the folder ``raw``."""
    folder = tmp_path_factory.mktemp("tiny")
    write_amazon(folder / "raw", rows)
    files = {"reviews": {"name": "reviews_tiny.json.gz"}, "metadata": {"name": "meta_tiny.json.gz"}}
    card = {
        "title": "Tiny",
        "sources": [{"reader": "amazon-2014", "files": files}],
        "protocol": "random",
        "long_tail": {"rule": "least-active-share", "value": 0.2},
    }
    (folder / "cards.yaml").write_text(yaml.safe_dump({"tiny": card}))
    return types.SimpleNamespace(raw=folder / "raw", cards=folder / "cards.yaml")


@pytest.fixture
def own_card(tmp_path):
    """The card of a data set made of (user, item, time, rating) rows in a CSV file, perhaps with titles of items."""
    from bench.data.catalog import Card

    def make(rows, titles=None, **fields):
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        names = ("user", "item", "time", "rating")[: len(rows[0]) if rows else 3]
        options = {"columns": {name: name for name in names}}
        files = {"interactions": {"name": str(folder / "interactions.csv")}}
        lines = [",".join(map(str, row)) for row in (names, *rows)]
        (folder / "interactions.csv").write_text("\n".join(lines) + "\n")
        if titles is not None:
            options["items"] = {"id": "id", "title": "title"}
            files["items"] = {"name": str(folder / "items.csv")}
            (folder / "items.csv").write_text("".join(f"{i},{t}\n" for i, t in {"id": "title", **titles}.items()))
        sources = [{"reader": "table", "files": files, "options": options}]
        return Card.model_validate({"name": "own", "title": "Own", "sources": sources, **fields})

    return make


@pytest.fixture
def tiny_cards(tiny, monkeypatch):
    """Within this process, ``tiny`` is the only data set, and its raw files are found."""
    monkeypatch.setattr("bench.data.catalog._cards_file", lambda: tiny.cards)
    monkeypatch.setenv("BENCH_RAW_DIR", str(tiny.raw))
    return tiny


@pytest.fixture
def tuned(tiny_cards):
    """Tune a model on ``tiny``: ``tuned(folder, trials=2)`` is the study."""
    from bench.messages.spec import RunSpec
    from bench.runs.tune import tune

    def call(folder, model="itemknn", trials=4, seed=1, **fields):
        spec = RunSpec(models=[model], dataset="tiny", **fields)
        return tune(spec, trials, seed, folder, lambda cell, event: None, lambda study, trial: None)

    return call


@pytest.fixture
def clock(monkeypatch):
    """``clock.now``, by which a model's context counts: processor seconds, each of which takes three on the wall."""
    from bench.worker import context
    from bench.worker.seconds import Seconds

    clock = types.SimpleNamespace(now=1000.0)
    monkeypatch.setattr(context, "so_far", lambda: Seconds(3 * clock.now, clock.now))
    return clock


@pytest.fixture(scope="session")
def make_result():
    """A result with given fields of itself or of its cell; ``score`` becomes every metric of every group."""
    from bench.data.protocol import PROTOCOLS
    from bench.evaluation import metrics
    from bench.messages.cell import Cell, Result

    def make(model="pop", score=0.5, **fields):
        cell = {
            "model": model, "preset": "default", "config": {}, "deterministic": False, "seed": 1, "device": "cpu",
            "code": "s" * 64, "dataset": "tiny", "content": "t", "fingerprint": "f" * 64,
            "protocol": PROTOCOLS["random"],
        }  # fmt: skip
        cell = Cell(**cell | {key: value for key, value in fields.items() if key in Cell.model_fields})
        scores = {f"{name}@{k}": score for name in ("ndcg", "recall", "mrr", "hit") for k in (5, 10)}
        group = {"rule": "all users", "members": "m", "n": 40, "metrics": scores, "errors": dict.fromkeys(scores, 0.01)}
        phase = {"seconds": 1.0, "peak_mib": 100.0}
        result = {
            "cell_id": cell.id, "cell": cell, "status": "finished", "metrics_version": metrics.VERSION,
            "plugin": {"distribution": "d", "version": "1"}, "created": "2026-01-01T00:00:00+00:00",
            "phases": dict.fromkeys(("import", "fit", "recommend"), phase),
            "groups": {"all": group, "head": {**group, "rule": "some", "n": 0, "metrics": {}, "errors": {}}},
        }  # fmt: skip
        if fields.get("status") == "failed":
            result |= {"groups": {}, "phases": {}, "reason": "it broke"}
        return Result(**result | {key: value for key, value in fields.items() if key in Result.model_fields})

    return make


@pytest.fixture
def bench(tiny_cards, capfd):
    """Call the command line in this process: ``bench("run", …)`` has ``status``, ``out`` and ``err``."""
    from bench.cli import main

    def call(*arguments):
        before = signal.getsignal(signal.SIGTERM)
        capfd.readouterr()
        try:
            with pytest.raises(SystemExit) as ended:
                main([str(argument) for argument in arguments])
        finally:
            signal.signal(signal.SIGTERM, before)
        out, err = capfd.readouterr()
        return types.SimpleNamespace(status=ended.value.code, out=out, err=err)

    return call


@pytest.fixture(scope="session")
def launcher():
    return LAUNCHER


@pytest.fixture(scope="session")
def start_bench(tiny, session_cache):
    """Start the command line in a process of its own, with changes to the environment; it is killed at the end."""
    started = []
    given = {name: value for name, value in os.environ.items() if not name.startswith("BENCH_")}
    given |= {"BENCH_CACHE_DIR": str(session_cache), "BENCH_RAW_DIR": str(tiny.raw)}
    given["BENCH_ENVIRONMENTS_DIR"] = ""  # none

    def start(*arguments, environment=None, **choices):
        words = [sys.executable, "-c", LAUNCHER, str(tiny.cards), *map(str, arguments)]
        choices = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **choices}
        choices["preexec_fn"] = _heed_interrupts
        changed = {**given, **(environment or {})}
        if changed.get("PYTHONPATH") != given.get("PYTHONPATH"):  # the project itself may be found by it
            changed["PYTHONPATH"] = os.pathsep.join(filter(None, [changed["PYTHONPATH"], given.get("PYTHONPATH")]))
        started.append(subprocess.Popen(words, env=changed, **choices))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _heed_interrupts():
    """Ctrl-C works, also where the tests run in the background of a shell, which has its children ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="session")
def plugin_site(tmp_path_factory):
    """Give a folder with the package of ``tests/FOLDER`` as pip leaves it: the source, and metadata with entry points.

    With that folder on PYTHONPATH the plugin is installed.
    """

    def make(folder):
        source = Path(__file__).parent / folder
        project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
        package = next(path.parent for path in source.glob("*/__init__.py"))
        site = tmp_path_factory.mktemp("site")
        shutil.copytree(package, site / package.name, ignore=shutil.ignore_patterns("__pycache__"))
        metadata = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        metadata.mkdir()
        named = f"Name: {project['name']}\nVersion: {project['version']}\n"
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\n{named}")
        groups = [
            f"[{group}]\n" + "".join(f"{name} = {module}\n" for name, module in entries.items())
            for group, entries in project["entry-points"].items()
        ]
        (metadata / "entry_points.txt").write_text("\n".join(groups))
        return site

    return make


@pytest.fixture(scope="session")
def rough_site(plugin_site):
    """The package of ``tests/rough_plugin``, installed."""
    return plugin_site("rough_plugin")
