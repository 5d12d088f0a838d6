"""Why a cell failed: the wall is named where it was in the way, and nowhere else."""

import socket
import urllib.error

import pytest

from bench.errors import ConfigError, place_of
from bench.worker.reason import reason_of

HELD = "Landlock ABI 6: files, TCP, signals"


@pytest.fixture
def confined(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_CONFINED", HELD)
    monkeypatch.setenv("HOME", str(tmp_path))


def wrapped(error):
    try:
        try:
            raise error
        except OSError as inner:
            raise RuntimeError("the tokenizer cannot be had") from inner
    except RuntimeError as outer:
        return outer


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "/data/x.txt"), "the worker may not read or write there: "),
        (wrapped(PermissionError(13, "Permission denied", "/data/x.txt")), "the worker may not read or write there: "),
        (PermissionError(13, "Permission denied"), "the worker has no network: "),
        (socket.gaierror(-2, "Name or service not known"), "the worker has no network: "),
        (urllib.error.URLError(socket.gaierror(-2, "Name or service not known")), "the worker has no network: "),
    ],
)
def test_the_wall_is_named(confined, error, said):
    found = reason_of(error, "toy")
    assert f"; {said}" in found
    assert "\n" not in found


def test_a_file_of_the_real_home_is_explained(confined, tmp_path):
    error = FileNotFoundError(2, "No such file", str(tmp_path / "data.txt"))
    assert "; the worker has a home of its own: " in reason_of(error, "toy")
    assert "worker" not in reason_of(FileNotFoundError(2, "No such file", "/data/x.txt"), "toy")


@pytest.mark.parametrize("held", ["", "unconfined: not wanted"])
def test_there_is_no_wall_where_nothing_is_held(confined, monkeypatch, held):
    monkeypatch.setenv("BENCH_CONFINED", held)
    error = PermissionError(13, "Permission denied", "/data/x.txt")
    assert reason_of(error, "toy") == "PermissionError: [Errno 13] Permission denied: '/data/x.txt'"


def test_the_place_is_the_innermost_line_of_the_package():
    def fails(error):
        raise error

    package = __name__.partition(".")[0]
    found = []
    for error in (ValueError("no"), ConfigError("no")):
        try:
            fails(error)
        except (ValueError, ConfigError) as caught:
            found.append([place_of(caught, package), place_of(caught, "other")])
    line = fails.__code__.co_firstlineno + 1
    assert found == [[f" ({__name__.replace('.', '/')}.py:{line})", ""], ["", ""]]  # a BenchError says what to do
