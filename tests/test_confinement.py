"""A stranger's package looks for the answers during ``bench run``: all that it tries is refused, and counted."""

import json
import os
import shutil
import socket
import types
from pathlib import Path

import pytest

from bench.runs.store import Store
from bench.worker import confine

PER_PROCESS = 6
"""Attempts at each process: its descriptors, and what lies in its folder."""
MODELS = ("reads", "threads", "network", "writes", "orphan")


@pytest.fixture(scope="module")
def wall():
    try:
        return confine.held(confine.abi(), network=False)
    except confine.Unconfined as reason:
        pytest.skip(f"nothing is refused here: {reason}")


@pytest.fixture(scope="module")
def hostile_site(plugin_site):
    """A folder with the hostile package as pip leaves it."""
    return plugin_site("hostile_plugin")


@pytest.fixture(scope="module")
def place(tiny, start_bench, tmp_path_factory):
    """Prepared data and a finished cell: where the answers are, with a cache and results of this test alone."""
    folder = tmp_path_factory.mktemp("place")
    shutil.copytree(tiny.raw, folder / "raw")
    environment = {"BENCH_CACHE_DIR": str(folder / "cache"), "BENCH_RAW_DIR": str(folder / "raw")}
    words = ("run", "--models", "pop", "--dataset", "tiny", "--results", folder / "results")
    process = start_bench(*words, environment=environment)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    files = [str(path) for path in folder.rglob("*") if path.is_file() and "leaderboards" not in path.parts]
    assert any("result.json" in path for path in files)
    assert any("test" in Path(path).name for path in files)
    folders = [str(folder), *(str(folder / name) for name in ("cache", "raw", "results"))]
    content = {path: Path(path).read_bytes() for path in files}
    return types.SimpleNamespace(folder=folder, environment=environment, files=files, folders=folders, content=content)


def run_hostile(place, site, start_bench, names, results, *options):
    """Results by the model's name, and the processes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        known = {"files": place.files, "folders": place.folders, "port": server.getsockname()[1], "pid": os.getpid()}
        process = start_bench(
            "run", "--models", ",".join(f"hostile-{name}" for name in names), "--dataset", "tiny",
            "--results", results, *options,
            environment={**place.environment, "PYTHONPATH": str(site), "HOSTILE": json.dumps(known)},
        )  # fmt: skip
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    return {result.cell.model.removeprefix("hostile-"): result for result in Store(results).results()}


@pytest.fixture(scope="module")
def confined(place, hostile_site, start_bench, wall):
    return run_hostile(place, hostile_site, start_bench, MODELS, place.folder / "results", "--jobs", "2")


@pytest.fixture(scope="module")
def unconfined(place, hostile_site, start_bench, confined):
    names = ("reads", "threads", "network")
    return run_hostile(place, hostile_site, start_bench, names, place.folder / "open", "--unconfined")


@pytest.fixture(scope="module")
def beyond(wall):
    """Words in the names of attempts that this kernel cannot refuse."""
    return [
        *([] if "TCP" in wall else ["connect", "listen"]),
        *([] if "signals" in wall else ["signal"]),
    ]


def expected(place, name, beyond):
    """How many attempts a model makes, by hand."""
    reads = len(place.files) + len(place.folders) + 3 + 1
    network = (0 if "connect" in beyond else 2) + (0 if "signal" in beyond else 2)
    of_writes = 2 * len(place.files) + len(place.folders) + 5 + 1 + 1 + 1 + 5
    everything = reads + 2 * PER_PROCESS + network
    return {"reads": reads + 2 * PER_PROCESS, "threads": 2 * everything, "network": network, "writes": of_writes}[name]


@pytest.mark.parametrize("name", ["reads", "threads", "network", "writes"])
def test_everything_that_is_tried_is_refused(confined, place, beyond, name):
    told = confined[name].facts["attempts"]
    found = {attempt: what for attempt, what in told.items() if not any(word in attempt for word in beyond)}
    assert {attempt: what for attempt, what in found.items() if what != "refused"} == {}
    assert len(found) == expected(place, name, beyond)


@pytest.mark.parametrize("name", ["reads", "threads", "network"])
def test_the_same_attempts_succeed_unconfined(unconfined, place, name):
    """So the attempts are real: every file is read, and every call goes through."""
    found = unconfined[name].facts["attempts"]
    certain = [f"read {path}" for path in place.files] + [f"list {path}" for path in place.folders]
    certain = {"network": ["connect", "listen"], "reads": certain}.get(name) or [
        f"{thread}: {attempt}" for thread in ("started", "found") for attempt in (*certain, "connect")
    ]
    assert {attempt: found[attempt] for attempt in certain} == dict.fromkeys(certain, "done")
    assert unconfined[name].confinement.startswith("unconfined")


def test_rows_say_what_was_held(confined, wall):
    assert {result.confinement for result in confined.values()} == {wall}


def test_nothing_was_changed(confined, place):
    assert {path: Path(path).read_bytes() for path in place.files if Path(path).exists()} == place.content
    assert not list(place.folder.rglob("hostile"))
    assert not list(Path("/tmp").glob("hostile-*"))
    for result in confined.values():
        folder = place.folder / "results" / "cells" / result.cell_id
        assert all(path.is_file() and not path.is_symlink() for path in folder.rglob("*") if not path.is_dir())


def test_orphan_in_a_session_of_its_own_is_gone(confined):
    with pytest.raises(ProcessLookupError):
        os.kill(confined["orphan"].facts["orphan"], 0)


def test_lists_are_those_of_a_model_that_tries_nothing(confined, unconfined, place):
    """And of the same model unconfined: the wall changes no number."""
    own = confined["reads"].groups
    assert own["all"].metrics["recall@20"] > 0
    assert own == unconfined["reads"].groups
    assert own == confined["pop"].groups


def test_memory_is_measured_as_unconfined(confined, unconfined):
    """Each phase begins a new peak, which takes a file that a confined worker cannot open."""
    here, there = (results["reads"].phases for results in (confined, unconfined))
    assert set(here) == set(there) >= {"import", "fit", "recommend"}
    for name in here:
        assert here[name].peak_mib == pytest.approx(there[name].peak_mib, rel=0.1)
