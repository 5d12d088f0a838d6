"""Which cells fit into this machine's memory, one by one and together, by what is forecast of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from bench.messages.cell import Cell, Result, Size
from bench.runs import environment
from bench.runs.estimate import Forecast, Recorded, forecast, recorded
from bench.runs.evaluate import test_users
from bench.runs.job import Job
from bench.runs.plan import Plan
from bench.runs.store import Store
from bench.runs.task import Fold


def size_of(fold: Fold) -> Size:
    """How large the data of a fold are."""
    train = fold.split.visible.train
    tested = len(test_users(fold.split))
    return Size(users=train.n_users, items=train.n_items, interactions=len(train), tested=tested)


class Room:
    """Of a machine for the cells of a plan; it learns from each that has finished."""

    def __init__(self, plan: Plan, store: Store, total: float | None = None, free: float | None = None) -> None:
        """``total`` and ``free`` are MiB; those of this machine, now, by default."""
        self.plan, self._store = plan, store
        self.jobs = plan.spec.jobs
        """Cells at a time."""
        self.total = environment.memory_mib() if total is None else total
        self.free = min(self.total, environment.free_mib() if free is None else free)
        self._forecasts: dict[str, Forecast | None] = {}
        self._lent: Counter[str] = Counter()
        self._lock = threading.Lock()

    @cached_property
    def sizes(self) -> dict[int | None, Size]:
        """By fold."""
        return {name: size_of(fold) for name, fold in self.plan.folds.items()}

    @cached_property
    def _records(self) -> list[Recorded]:
        own = {fold.split.fingerprint: self.sizes[name] for name, fold in self.plan.folds.items()}
        return recorded(self._store.results(models={cell.model for cell in self.plan.cells}), own)

    def forecast(self, cell: Cell) -> Forecast | None:
        """What a cell will take; None if no cell of its model is recorded."""
        if cell.id not in self._forecasts:
            self._forecasts[cell.id] = forecast(cell, self.sizes[cell.fold], self._records)
        return self._forecasts[cell.id]

    def learn(self, result: Result) -> None:
        """Count a cell that has ended among those that forecasts are made of."""
        if found := recorded([result], {}):
            self._records.extend(found)
            same = {cell.id for cell in self.plan.cells if cell.model == result.cell.model}
            self._forecasts = {name: one for name, one in self._forecasts.items() if name not in same}

    def refusal(self, cell: Cell) -> str | None:
        """Why a cell cannot fit into this machine whatever else runs; None if it may."""
        found = self.forecast(cell)
        if found is None or found.memory / found.spread <= self.total:
            return None
        needs, has = found.memory / 1024, self.total / 1024
        return f"needs about {needs:.3g} GiB ({found.basis}), this machine has {has:.3g}: not started"

    def fits(self, cell: Cell, running: Iterable[Cell]) -> bool:
        """Whether a cell may start beside others. Where nothing is known of one, it is given an equal share."""
        others = list(running)
        return not others or sum(map(self._needs, (cell, *others))) <= self.free

    def job(self, cell: Cell, folder: Path) -> Job:
        """The job of a cell, in the cell's folder."""
        return self.plan.job(cell, folder / "job", folder / "work")

    @contextmanager
    def lend_gpus(self, job: Job) -> Iterator[None]:
        """Where there are several, lend a job that wants one those that the fewest jobs have, one a process."""
        has = environment.gpus()
        if job.cell.device != "cuda" or len(has) < 2:
            yield
            return
        with self._lock:
            chosen = sorted(has, key=lambda gpu: self._lent[gpu])[: job.limits.processes]
            self._lent.update(chosen)
        job.child.gpus = chosen
        try:
            yield
        finally:
            with self._lock:
                self._lent.subtract(chosen)

    def _needs(self, cell: Cell) -> float:
        found = self.forecast(cell)
        return self.free / self.jobs if found is None else found.memory
