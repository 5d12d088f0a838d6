"""What a cell will take, by what cells of its model took: memory, processor seconds, epochs.

Of cells with the same config on the same data, the median. Otherwise by growth: a sum of a constant and of what may
grow, each with a factor that is not negative, fitted by least squares of relative errors over all cells of the model.
Cells with another config count little where there are some with this one, and what the harness itself asks for, a block
of scores for the users of one call of ``recommend``, is expected from the start.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from bench.messages.cell import Cell, Phase, Result, Size
from bench.messages.job import USERS_AT_ONCE

_OTHER_CONFIG = 0.1
"""Weight of a cell with another config."""
_SHRINKAGE = 0.05
"""How strongly a factor is drawn to what is expected of it, against the relative error of one cell."""
_CONSTANT = 0.1
"""The same of the constant, as a share: what data of one size do not tell apart is taken for one, else a few MiB of a
small set are gigabytes of a large one."""
_FAR = 3.0
"""Times the largest data that a model was seen on, beyond which a forecast is a guess."""
_GUESS = 10.0
"""The factor by which memory may well be off so far beyond one or two data sets: little says how it grows."""
WITHIN = 2.0
"""The factor by which most forecasts of time are off at most (docs/scaling.md)."""
_SMALLEST_SECONDS = 0.05
"""Differences below are noise."""


class Forecast(NamedTuple):
    """Of one cell."""

    memory: float
    """MiB at the peak."""
    seconds_an_epoch: float
    """Of processors; of all of ``fit`` for a model that counts no epochs."""
    epochs: int
    """1 for a model that counts none."""
    seconds: float
    """Of processors, from import to lists."""
    spread: float
    """The factor by which memory may well be off."""
    basis: str
    """What it is taken from, in words."""


@dataclass(frozen=True)
class Recorded:
    """What a finished cell took."""

    cell: Cell
    size: Size
    phases: Mapping[str, Phase]
    epochs: int

    def seconds(self, phase: str) -> float:
        """Of processors; of a clock where only that was recorded."""
        return self.phases[phase].processor_seconds

    def peak(self, *phases: str) -> float:
        """MiB."""
        return max(self.phases[phase].peak_mib for phase in phases)


def recorded(results: Iterable[Result], sizes: Mapping[str, Size]) -> list[Recorded]:
    """What can be learnt from: finished cells that were trained, whose size is known, perhaps by its fingerprint."""
    found = []
    for result in results:
        size = result.size or sizes.get(result.cell.fingerprint)
        if result.status == "finished" and size and {"import", "fit", "recommend"} <= result.phases.keys():
            found.append(Recorded(result.cell, size, result.phases, result.epochs or 1))
    return found


def forecast(cell: Cell, size: Size, records: Iterable[Recorded]) -> Forecast | None:
    """What ``cell`` will take on data of this size; None if no cell of its model is recorded."""
    own = [one for one in records if one.cell.model == cell.model and one.cell.device == cell.device]
    if not own:
        return None
    same = [one for one in own if one.cell.config == cell.config]
    here = [one for one in same if one.cell.fingerprint == cell.fingerprint]
    epochs = round(statistics.median(one.epochs for one in here or same or own))
    base = statistics.median(one.peak("import") for one in own)
    if here:
        memory, spread, basis = (
            statistics.median(one.peak("fit", "recommend") for one in here),
            1.2,
            "same config and data",
        )
        fit = statistics.median(one.seconds("fit") / one.epochs for one in here)
        lists = statistics.median(one.seconds("recommend") for one in here)
    else:
        grown = _Growth(cell, size, own)
        memory = max(
            base,
            grown.value(lambda one: one.peak("fit"), _memory, base, {}),
            grown.value(lambda one: one.peak("recommend"), _memory, base, {"scores": 1.0}),
        )
        fit = grown.value(lambda one: one.seconds("fit") / one.epochs, _work, 0.0, {})
        lists = grown.value(lambda one: one.seconds("recommend"), _listing, 0.0, {})
        spread, basis = _spread(size, own), "growth"
    importing = statistics.median(one.seconds("import") for one in own)
    seconds = importing + fit * epochs + lists
    n = len(here or own)
    return Forecast(memory, fit, epochs, seconds, spread, f"{basis}, {n} run{'s' * (n > 1)}")


def _spread(size: Size, records: list[Recorded]) -> float:
    """By whether the model was seen on several data sets, the largest of which is not much smaller."""
    several = len({one.cell.fingerprint for one in records}) > 2
    items, interactions = (max(getattr(one.size, name) for one in records) for name in ("items", "interactions"))
    near = size.items <= _FAR * items and size.interactions <= _FAR * interactions
    return (1.3 if near else 2.0) if several else (2.0 if near else _GUESS)


def _width(cell: Cell) -> float:
    """Of what a model learns of each user and item, over its layers, as far as its config says so."""
    numbers = (cell.config.get(name) for name in ("embedding_size", "layers"))
    return math.prod(float(n) for n in numbers if isinstance(n, int | float) and not isinstance(n, bool) and n > 0)


def _memory(cell: Cell, size: Size) -> dict[str, float]:
    """MiB that may be needed."""
    width = _width(cell)
    return {
        "scores": min(size.tested, USERS_AT_ONCE) * size.items * 4 / 2**20,
        "interactions": size.interactions * 8 / 2**20,
        "items²": size.items**2 * 8 / 2**20,
        "parameters": (size.users + size.items) * width * 4 / 2**20,
    }


def _work(cell: Cell, size: Size) -> dict[str, float]:
    """Seconds of an epoch."""
    return {
        "interactions": size.interactions / 1e5,
        "width": size.interactions * _width(cell) / 1e7,
        "items²": size.items**2 / 1e8,
    }


def _listing(cell: Cell, size: Size) -> dict[str, float]:
    """Seconds of lists."""
    return {"users": size.tested / 1e4, "scores": size.tested * size.items / 1e8}


class _Growth:
    """Of one model."""

    def __init__(self, cell: Cell, size: Size, records: list[Recorded]) -> None:
        self.cell, self.size, self.records = cell, size, records
        alike = [one.cell.config == cell.config for one in records]
        self.weights = np.where(alike, 1.0, _OTHER_CONFIG if any(alike) else 1.0)

    def value(
        self,
        of: Callable[[Recorded], float],
        parts: Callable[[Cell, Size], dict[str, float]],
        base: float,
        expected: dict[str, float],
    ) -> float:
        """What is forecast of a quantity, which is ``base`` at least."""
        known = np.array([max(of(one), _SMALLEST_SECONDS) for one in self.records])
        rows = [parts(one.cell, one.size) for one in self.records]
        wanted = parts(self.cell, self.size)
        names = list(wanted)
        table = np.array([[1.0, *(row[name] for name in names)] for row in rows])
        prior = np.array([0.0, *(expected.get(name, 0.0) for name in names)])
        start = np.array([base, *np.zeros(len(names))])
        # Each part is drawn to its expected share of the largest cell, so that units do not matter.
        largest = np.maximum(table.max(axis=0), 1e-12)
        drawn = _SHRINKAGE * np.array([_CONSTANT, *np.ones(len(names))]) * largest / known.max()
        scale = self.weights / known
        left = (table * scale[:, None], np.diag(drawn))
        right = ((known - table @ start) * scale, drawn * prior)
        factors, _ = nnls(np.vstack(left), np.concatenate(right))
        now: NDArray[np.float64] = np.array([1.0, *(wanted[name] for name in names)])
        return float(now @ (factors + start))
