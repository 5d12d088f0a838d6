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
from bench.files import content_hash
from bench.runs.cell import Stopping
from bench.runs.record import Epoch, Record

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
        exclude: str = "train",
        record: Path | None = None,
    ) -> None:
        self.seed = seed
        self.device = device
        self.folder = folder
        self.time_budget = time_budget
        self.validation_rule = content_hash({"stopping": stopping.model_dump(mode="json"), "exclude": exclude})
        self.stopped_by_budget = False
        self.resumed_seconds = 0.0
        """Time of earlier attempts that this one goes on from."""
        self.facts: dict[str, Any] = {}
        self._model = model
        self._split = split
        self._emit = emit
        self._stopping = stopping
        self._start = time.monotonic()
        self._record = Record(record)
        self._begin_stage("", 0)
        self._sample = self._sample_users()
        self._known = split.parts("train").select(self._sample)
        self._excluded = split.excluded(exclude, self._sample)

    def _begin_stage(self, name: str, done: int) -> None:
        self._stage = name
        self._epoch = done
        self._best = -np.inf
        self._stale = 0
        self._earlier = 0.0
        self._stage_start = time.monotonic()
        for epoch in self._record.until(name, done):
            self._earlier = epoch.seconds
            if epoch.score is not None:
                self._judge(epoch.epoch, epoch.score)
        self.resumed_seconds += self._earlier

    def _sample_users(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        users = np.flatnonzero(self._split.valid.lengths)
        if len(users) > self._stopping.users:
            users = np.random.default_rng(_SAMPLE_SEED).choice(users, self._stopping.users, replace=False)
        return np.sort(users).astype(np.int64)

    def epochs(self, most: int, unit: str = "epoch", stage: str = "", done: int = 0) -> Iterator[int]:
        self._begin_stage(stage, done)  # now, not at the first step: a stage that is done has none
        return self._count(most, f"{stage} {unit}".strip(), done)

    def _count(self, most: int, unit: str, done: int) -> Iterator[int]:
        for epoch in range(done + 1, most + 1):
            self._epoch = epoch
            self._validated = False
            yield epoch
            self.progress(epoch, most, unit)
            seconds = self._stage_seconds()
            if (
                not self._validated
            ):  # or it is on record already, since a model may be killed right behind its checkpoint
                self._record.add(Epoch(self._stage, epoch, seconds, None))
            if self.time_budget is None or epoch == most:
                continue
            before = time.monotonic() - self._start + self.resumed_seconds - seconds
            if before + seconds * (epoch + 1) / epoch > self.time_budget:
                self.stopped_by_budget = True
                self.log(f"time budget of {self.time_budget:g} s used up after {epoch} of {most} {unit}s")
                return

    def _stage_seconds(self) -> float:
        return self._earlier + time.monotonic() - self._stage_start

    def validate(self) -> Validation:
        stopping = self._stopping
        if self._epoch % stopping.every or not len(self._sample):
            return Validation(None, False, False)
        found = self._model.recommend(self._sample, self._known, self._excluded, stopping.k)
        relevant = self._split.valid.select(self._sample)
        score = float(per_user(found.items, relevant, [stopping.k], [stopping.metric])[stopping.name].mean())
        self._validated = True
        self._record.add(Epoch(self._stage, self._epoch, self._stage_seconds(), score))
        return self._judge(self._epoch, score)

    def _judge(self, epoch: int, score: float) -> Validation:
        improved = score > self._best
        self._best = max(score, self._best)
        self._stale = 0 if improved else self._stale + 1
        metric = self._stopping.name
        self._emit("validation", stage=self._stage, epoch=epoch, metric=metric, score=score, improved=improved)
        return Validation(score, improved, self._stale >= self._stopping.patience)

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
