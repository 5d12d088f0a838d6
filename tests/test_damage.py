"""Results and cache are damaged in every way: a command does without, or ends in one line that says what to do."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from damage import CACHE, CONTRADICTIONS, RESULTS

MODELS = ("--models", "pop,ease", "--dataset", "tiny")
COMMANDS = {
    "leaderboard": ("leaderboard",),
    "compare": ("compare", "pop", "ease", "--dataset", "tiny"),
    "run": ("run", *MODELS),
    "measure": ("run", *MODELS, "--k", "3"),
    "recommend": ("recommend", "--model", "pop", "--dataset", "tiny", "--user", "u003"),
}
DATA = {"prepare": ("datasets", "prepare", "tiny"), "info": ("datasets", "info", "tiny")}


@pytest.fixture(scope="module")
def base(tiny, start_bench, tmp_path_factory):
    """Results of two models, with their models, and the cache that they were made with."""
    folder = tmp_path_factory.mktemp("base")
    environment = {"BENCH_CACHE_DIR": str(folder / "cache"), "BENCH_PLUGINS": "recsys-bench-classic"}
    process = start_bench("run", *MODELS, "--save-models", "--results", folder / "results", environment=environment)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    return folder


@pytest.fixture
def place(base, tmp_path, monkeypatch):
    """A copy of them."""
    folder = tmp_path / "place"
    shutil.copytree(base, folder, symlinks=True)
    monkeypatch.setenv("BENCH_CACHE_DIR", str(folder / "cache"))
    monkeypatch.setenv("BENCH_PLUGINS", "recsys-bench-classic")
    return folder


def cell_of(place, model):
    [found] = [
        path.parent
        for path in place.glob("results/cells/*/result.json")
        if json.loads(path.read_text())["cell"]["model"] == model
    ]
    return found


def check(done):
    """It worked, or it ended in one line that says what to do."""
    assert done.status in (0, 1)
    said = done.out + done.err
    assert "should not happen" not in said
    assert "Traceback" not in said
    assert "\x1b" not in said
    if done.status:
        errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert re.search(
            r"delete|remove|run|see|check|give|cannot be prepared|has no metric|no metric|give --", errors[0]
        )


def of_files(name):
    """Whether files beside the result are damaged, from which it is measured again."""
    return name.startswith(("per_user", "lists", "model"))


@pytest.mark.parametrize("name", [name for name in RESULTS if not of_files(name)])
def test_leaderboard_does_without_a_damaged_result(name, place, bench):
    RESULTS[name](cell_of(place, "pop"))
    done = bench("leaderboard", "--results", place / "results")
    check(done)
    assert done.status == 0
    assert "ease" in done.out
    assert sorted(path.name for path in place.iterdir()) == ["cache", "results"]
    assert sorted(path.name for path in (place / "results").iterdir()) == ["cells", "leaderboards"]
    if name in CONTRADICTIONS:
        [line] = [line for line in done.err.splitlines() if "left out" in line]
        assert "run the cell again or remove it" in line or "remove its folder" in line
        assert "| pop " not in done.out


KINDS = ("empty", "a pipe", "folder of an odd name")
"""Of the results that are none, of which the leaderboard's test has all: other commands read them by the same lines."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RESULTS if name in KINDS or name not in CONTRADICTIONS])
def test_every_command_does_without_a_damaged_result(name, place, base, bench, tmp_path):
    """Of a damaged result itself, other cut-offs ask more than a run, and the leaderboard has a test of its own."""
    for command, words in COMMANDS.items():
        if command in ("leaderboard", "run") and not of_files(name):
            continue
        shutil.rmtree(place)
        shutil.copytree(base, place, symlinks=True)
        RESULTS[name](cell_of(place, "pop"))
        done = bench(*words, "--results", place / "results")
        check(done)
        if words[0] == "run" and not name.startswith("folder is"):
            assert done.status == 0, command
            [row] = [line for line in done.out.splitlines() if re.match(r"\| pop +\|", line)][:1]
            assert "failed" not in row


@pytest.mark.slow
@pytest.mark.parametrize("name", CACHE)
def test_every_command_does_without_a_damaged_cache(name, place, base, bench):
    """What the data cannot be read from, or are made again for, 'run' tells of as well as 'recommend'."""
    statuses = []
    for words in (*DATA.values(), COMMANDS["run"], COMMANDS["recommend"]):
        if words[0] == "recommend" and any(statuses):
            break
        shutil.rmtree(place)
        shutil.copytree(base, place, symlinks=True)
        CACHE[name](place / "cache")
        folder = () if words[0] == "datasets" else ("--results", place / "results")
        done = bench(*words, *folder)
        check(done)
        statuses.append(done.status)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a pipe", "folder is a link to itself", "work is a pipe"])
def test_doctor_says_what_is_there(name, place, bench):
    RESULTS[name](cell_of(place, "pop"))
    done = bench("doctor", "--results", place / "results")
    assert "should not happen" not in done.err
    assert "results" in done.out


@pytest.mark.parametrize("name", [name for name in CACHE if name.startswith(("datasets/*/facts", "datasets/*/all"))])
def test_damaged_data_is_named_and_is_made_again_when_it_is_removed(name, place, bench):
    CACHE[name](place / "cache")
    done = bench("datasets", "prepare", "tiny")
    check(done)
    if done.status:
        [folder] = re.findall(r"prepared data in (\S+) is damaged", done.err)
        shutil.rmtree(folder)
        assert bench("datasets", "prepare", "tiny").status == 0
    else:
        assert name.endswith("of other counts") is False
