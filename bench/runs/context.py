"""What a worker hands to ``fit``: :class:`bench.contract.Context` over a split on disk and a stream of events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contract import Model, Validation
from bench.data.dataset import VisibleSplit
from bench.evaluation.metrics import per_user
from bench.runs.cell import Stopping

if TYPE_CHECKING:
    import pandas as pd

Emit = Callable[..., None]

_SAMPLE_SEED = 20240917
"""Of the sample of validation users: the same users for every model and every model seed."""


class WorkerContext:
    """See :class:`bench.contract.Context`."""

    def __init__(
        self,
        model: Model,
        split: VisibleSplit,
        emit: Emit,
        *,
        seed: int,
        device: str,
        folder: Path,
        stopping: Stopping,
        time_budget: float | None = None,
    ) -> None:
        self.seed = seed
        self.device = device
        self.folder = folder
        self.time_budget = time_budget
        self.stopped_by_budget = False
        self.facts: dict[str, Any] = {}
        self._model = model
        self._split = split
        self._emit = emit
        self._stopping = stopping
        self._start = time.monotonic()
        self._epoch = 0
        self._best = -np.inf
        self._stale = 0
        self._sample = self._sample_users()
        self._known = split.parts("train").select(self._sample)
        self._excluded = split.excluded("train", self._sample)

    def _sample_users(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        users = np.flatnonzero(self._split.valid.lengths)
        if len(users) > self._stopping.users:
            users = np.random.default_rng(_SAMPLE_SEED).choice(users, self._stopping.users, replace=False)
        return np.sort(users).astype(np.int64)

    def epochs(self, most: int, unit: str = "epoch") -> Iterator[int]:
        for epoch in range(1, most + 1):
            self._epoch = epoch
            yield epoch
            self.progress(epoch, most, unit)
            spent = time.monotonic() - self._start
            if self.time_budget is not None and epoch < most and spent * (epoch + 1) / epoch > self.time_budget:
                self.stopped_by_budget = True  # one more epoch would not end in time
                self.log(f"time budget of {self.time_budget:g} s used up after {epoch} of {most} {unit}s")
                return

    def validate(self) -> Validation:
        stopping = self._stopping
        if self._epoch % stopping.every or not len(self._sample):
            return Validation(None, False, False)
        found = self._model.recommend(self._sample, self._known, self._excluded, stopping.k)
        relevant = self._split.valid.select(self._sample)
        score = float(per_user(found.items, relevant, [stopping.k], [stopping.metric])[stopping.name].mean())
        improved = score > self._best
        self._best = max(score, self._best)
        self._stale = 0 if improved else self._stale + 1
        self._emit("validation", epoch=self._epoch, metric=stopping.name, score=score, improved=improved)
        return Validation(score, improved, self._stale >= stopping.patience)

    def progress(self, done: int, total: int | None, unit: str) -> None:
        self._emit("progress", done=done, total=total, unit=unit)

    def log(self, message: str) -> None:
        print(message, flush=True)  # noqa: T201 (standard output of a worker is its log)

    def note(self, name: str, value: Any) -> None:
        self.facts[name] = value

    def item_texts(self) -> pd.DataFrame:
        return self._split.item_texts()

    def user_texts(self) -> pd.DataFrame:
        return self._split.user_texts()
