"""The plain lines that tell how far a cell has come."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench.cli import progress
from bench.messages.events import PhaseBegan, Progress, Started


@pytest.fixture
def lines(monkeypatch, capsys):
    """Tell a cell's events, each with the second that it comes at; returns the lines said of the cell."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock.now)
    cell = cast(Any, SimpleNamespace(id="a", label="mine seed 1"))

    def tell(*events):
        shown = progress.CellProgress()
        for clock.now, event in events:
            shown.tell(cell, event)
        return capsys.readouterr().err.splitlines()

    return tell


def test_a_line_every_quarter_of_a_minute_has_the_time_left(lines):
    found = lines(
        (0, Started(resumed=False)),
        (0, PhaseBegan(name="fit")),
        (4, Progress(done=1, total=10, unit="epoch")),
        (20, Progress(done=5, total=10, unit="epoch")),
        (24, Progress(done=6, total=10, unit="epoch")),
    )
    assert [line.strip() for line in found] == ["mine seed 1 · fit 5/10 epochs, 20.0 s, at most 20.0 s left"]


@pytest.mark.parametrize(
    ("one", "several"),
    [("step", "steps"), ("pass", "passes"), ("batch", "batches"), ("vectors epoch", "vectors epochs")],
)
def test_several_of_a_unit(one, several):
    assert progress.plural(one) == several


def test_what_a_unit_says_stays_in_its_line(lines):
    found = lines(
        (0, Started(resumed=False)),
        (0, PhaseBegan(name="fit")),
        (16, Progress(done=1, total=None, unit="pass\n[red]\x1b")),
    )
    assert [line.strip() for line in found] == ["mine seed 1 · fit 1/? pass [red]\N{REPLACEMENT CHARACTER}s, 16.0 s"]
