"""A model that was interrupted goes on from its checkpoint, and nobody can tell from the result, but from its costs."""

import json
import re
import signal
import time

import pytest

from bench.runs.store import Store

RUN = ("run", "--dataset", "tiny", "--models", "rough-checkpoints", "--results")
ALL = [f"{stage} {epoch}" for stage in ("vectors", "lists") for epoch in (1, 2, 3, 4)]


@pytest.fixture(scope="module")
def attempt(start_bench, rough_site):
    def attempt(folder, die="", how="", words=()):
        environment = {"PYTHONPATH": str(rough_site), "ROUGH_DIE": die, "ROUGH_HOW": how}
        return start_bench(*RUN, folder, *words, environment=environment)

    return attempt


@pytest.fixture(scope="module")
def uninterrupted(attempt, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert attempt(folder).wait(60) == 0
    return folder


def only(folder):
    [result] = Store(folder).results()
    return result


def lists_of(folder):
    return (folder / "cells" / only(folder).cell_id / "lists.parquet").read_bytes()


def checkpoints(folder):
    return list(folder.glob("cells/*/work/checkpoints/checkpoint.json"))


def reached(folder, die):
    """Wait until the model has written the checkpoint behind which it sleeps."""
    end = time.monotonic() + 60
    while not any(
        json.loads(path.read_text())[0] == [die.split()[0], int(die.split()[1])] for path in checkpoints(folder)
    ):
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("how", "die"),
    [
        ("kill", "vectors 3"),
        ("SIGINT", "lists 2"),
        pytest.param("raise", "vectors 4", marks=pytest.mark.slow),
        pytest.param("raise", "lists 4", marks=pytest.mark.slow),
        pytest.param("timeout", "lists 1", marks=pytest.mark.slow),
        pytest.param("SIGKILL", "lists 3", marks=pytest.mark.slow),
    ],
)
def test_next_attempt_goes_on(attempt, uninterrupted, tmp_path, how, die):
    if how in ("kill", "raise"):
        assert attempt(tmp_path, die, how).wait(60) == 1
    elif how == "timeout":
        assert attempt(tmp_path, die, "sleep", ["--timeout", "4"]).wait(60) == 1
    else:
        process = attempt(tmp_path, die, "sleep")
        reached(tmp_path, die)
        process.send_signal(getattr(signal, how))
        process.wait(30)
    assert len(checkpoints(tmp_path)) == 1
    [log] = tmp_path.glob("cells/*/work/epochs.jsonl")
    log.write_text(re.sub(r'"cpu_seconds": [^,]+', '"cpu_seconds": 1000', log.read_text()))
    again = attempt(tmp_path)
    _, err = again.communicate(timeout=60)
    assert again.returncode == 0
    told = [line for line in err.splitlines() if "left checkpoints" in line]
    assert len(told) == 1
    found, whole = only(tmp_path), only(uninterrupted)
    assert found.facts["trained"] == ALL[ALL.index(die) + 1 :]
    assert lists_of(tmp_path) == lists_of(uninterrupted)
    assert found.validations == whole.validations
    assert [validation.epoch for validation in whole.validations] == [1, 2, 3, 4] * 2
    done = ALL.index(die) + 1
    assert found.phases["fit"].seconds > found.resumed_seconds > 0.02 * done
    assert found.phases["fit"].cpu_seconds > 1000
    assert whole.resumed_seconds == 0
    assert 0 < whole.phases["fit"].cpu_seconds < 1000
    assert list(tmp_path.glob("cells/*/work")) == list(tmp_path.glob("cells/*/job")) == []


@pytest.mark.slow
def test_failing_once_more_replaces_what_was_kept(attempt, tmp_path, bench, monkeypatch):
    monkeypatch.setenv("BENCH_PLUGINS", "recsys-bench-classic")
    for die in ("vectors 2", "lists 1"):
        assert attempt(tmp_path, die, "raise").wait(60) == 1
        [path] = checkpoints(tmp_path)
        assert json.loads(path.read_text())[0] == [die.split()[0], int(die.split()[1])]
    [line] = [line for line in bench("doctor", "--results", tmp_path).out.splitlines() if line.split()[1] == "work"]
    assert "1 unfinished cells" in line
    assert str(tmp_path / "cells") in line


def test_doctor_says_nothing_where_nothing_is_kept(uninterrupted, bench, monkeypatch):
    monkeypatch.setenv("BENCH_PLUGINS", "recsys-bench-classic")
    lines = bench("doctor", "--results", uninterrupted).out.splitlines()
    assert not [line for line in lines if line.split()[1] == "work"]
