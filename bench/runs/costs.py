"""What the rows of a run will take, cell by cell."""

from __future__ import annotations

from typing import NamedTuple

from bench.messages.cell import Cell
from bench.runs.plan import Plan
from bench.runs.room import Room
from bench.runs.store import Store
from bench.runs.twins import finished_ones


class RowCost(NamedTuple):
    """Of the cells of one row that have no result yet and no twin whose lists they take.

    Numbers are None where no run of the model is recorded.
    """

    row: str
    runs: int
    gib: float | None = None
    """Of the largest cell."""
    hours: float | None = None
    """Of processors, of all cells."""
    seconds_an_epoch: float | None = None
    """Of processors, of the slowest cell."""
    epochs: int | None = None
    """The most of a cell."""
    basis: str = ""
    """What it is taken from, in words."""
    refusal: str | None = None
    """Why 'bench run' would not start one of them on this machine."""


def row_costs(plan: Plan, store: Store, room: Room) -> list[RowCost]:
    """In the order of the plan."""
    missing = [cell for cell in plan.cells if (r := store.result(cell.id)) is None or r.status != "finished"]
    twins = finished_ones(missing, store)
    trained: dict[str, Cell] = {}
    for cell in missing:
        if cell.without_preset not in twins:
            trained.setdefault(cell.without_preset, cell)
    found = []
    for name in dict.fromkeys(cell.name for cell in plan.cells):
        left = [cell for cell in trained.values() if cell.name == name]
        forecasts = [one for cell in left if (one := room.forecast(cell)) is not None]
        if not forecasts:
            found.append(RowCost(name, len(left)))
            continue
        largest = max(forecasts, key=lambda one: one.memory)
        found.append(
            RowCost(
                row=name,
                runs=len(left),
                gib=largest.memory / 1024,
                hours=sum(one.seconds for one in forecasts) / 3600,
                seconds_an_epoch=max(one.seconds_an_epoch for one in forecasts),
                epochs=max(one.epochs for one in forecasts),
                basis=largest.basis,
                refusal=next(filter(None, map(room.refusal, left)), None),
            )
        )
    return found
