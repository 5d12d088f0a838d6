"""The hooks of all trackers: one is told of a cell when it starts, at each validation, and when it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from bench import ConfigError, hookimpl
from bench.messages.cell import Cell, Result, ValidationRecord
from bench.messages.events import Event, Kept, Started, Validated


class Tracker(Protocol):
    """One place that is told of cells. Several cells may be running at once; each is known by its id."""

    def knows(self, result: Result) -> bool:
        """Whether this result was told before."""

    def begin(self, cell: Cell) -> None:
        """A new attempt of a cell; it takes the place of any earlier one."""

    def validated(self, cell: Cell, records: Sequence[ValidationRecord]) -> None:
        """A cell that was begun has been validated, once or several times, by ``cell.stopping.name``."""

    def end(self, cell: Cell, result: Result) -> None:
        """A cell that was begun has its result, a failed one too."""

    def close(self, interrupted: Sequence[Cell]) -> None:
        """The run is over; these cells were begun and have no result."""


class Hooks:
    """From the hooks of :class:`bench.plugins.Hooks` to a tracker, made anew for each run.

    Parameters
    ----------
    make
        Makes the tracker, of a folder that it may write to; it need not be there.
    """

    def __init__(self, make: Callable[[Path], Tracker]) -> None:
        self._make = make

    @hookimpl
    def bench_run_started(self, cells: Sequence[Cell], results: Path) -> None:
        self._tracker = self._make(results.absolute() / "tracking")
        self._running: dict[str, tuple[Cell, int]] = {}
        """By id: cells that were begun, and how many validations were told."""

    @hookimpl
    def bench_event(self, cell: Cell, event: Event) -> None:
        if isinstance(event, Started):
            self._begin(cell)
        elif isinstance(event, Validated) and cell.id in self._running:
            told = event.model_dump(include=set(ValidationRecord.model_fields))
            self._validated(cell, [ValidationRecord.model_validate(told)])
        elif isinstance(event, Kept) and not self._tracker.knows(event.result):
            self._begin(cell)
            self._end(cell, event.result)

    @hookimpl
    def bench_cell_finished(self, cell: Cell, result: Result) -> None:
        if cell.id not in self._running:  # an earlier attempt had left all but the result
            self._begin(cell)
        self._end(cell, result)

    @hookimpl
    def bench_run_finished(self, results: Sequence[Result]) -> None:
        self._tracker.close([cell for cell, _ in self._running.values()])

    def _begin(self, cell: Cell) -> None:
        self._tracker.begin(cell)
        self._running[cell.id] = cell, 0

    def _validated(self, cell: Cell, records: Sequence[ValidationRecord]) -> None:
        self._tracker.validated(cell, records)
        self._running[cell.id] = cell, self._running[cell.id][1] + len(records)

    def _end(self, cell: Cell, result: Result) -> None:
        if untold := result.validations[self._running[cell.id][1] :]:
            self._validated(cell, untold)
        self._tracker.end(cell, result)
        del self._running[cell.id]


def lacking(extra: str) -> ConfigError:
    """The error of a tracker whose package is not installed."""
    return ConfigError(f"its package is not installed: pip install 'recsys-bench-trackers[{extra}]'")
