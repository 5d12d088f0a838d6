"""What ``fit`` is handed: :class:`bench.contract.Context` over what is visible of a split and a stream of events."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.contract import Arrays, Recommender, TextInputs, Validation
from bench.data.protocol import PROTOCOLS, Protocol
from bench.data.visible import Visible
from bench.errors import one_line, plain
from bench.evaluation import violations
from bench.evaluation.metrics import per_user
from bench.messages.cell import Floor, ValidationRecord, pruned_at
from bench.messages.events import Progress, Validated, WorkerEvent
from bench.messages.spec import Stopping
from bench.worker.epoch_log import Epoch, EpochLog
from bench.worker.kept import KeptArrays, entry_name
from bench.worker.seconds import Seconds, so_far

if TYPE_CHECKING:
    import pandas as pd

Emit = Callable[[WorkerEvent], None]

_SAMPLE_SEED = 20240917
"""Of the sample of validation users: the same users for every model and every model seed."""

_PROGRESS_EVERY = 0.05
"""Seconds between two progress events of one unit, which a model may report for each of a million steps."""


MOST_BYTES, MOST_LEVELS = 2**20, 32
"""Of all facts together as JSON, and of lists and mappings within each other."""


class WorkerContext:
    """See :class:`bench.contract.Context`.

    Parameters
    ----------
    model
        The model that is fitted, which :meth:`validate` asks for lists.
    visible
        The data.
    emit
        Takes the events.
    folder
        For checkpoints.
    protocol
        Of the test; a model is validated by :meth:`bench.data.protocol.Protocol.at_validation` of it.
    epoch_log
        File in which the epochs of an earlier attempt are found.
    split_arrays, text_arrays
        Kept intermediate results of this code: of this split, and of these texts. None: nothing is kept.
    """

    def __init__(
        self,
        model: Recommender,
        visible: Visible,
        emit: Emit,
        *,
        seed: int,
        folder: Path,
        device: str = "cpu",
        protocol: Protocol = PROTOCOLS["random"],
        stopping: Stopping = Stopping(),  # noqa: B008 (frozen)
        floors: Sequence[Floor] = (),
        time_budget: float | None = None,
        processes: int = 1,
        epoch_log: Path | None = None,
        split_arrays: KeptArrays | None = None,
        text_arrays: KeptArrays | None = None,
    ) -> None:
        self.seed = seed
        self.device = device
        self.folder = folder
        self.time_budget = time_budget
        self.processes = processes
        self.stopped_by_budget = False
        self.resumed = Seconds()
        """Of earlier attempts that this one goes on from."""
        self.reused = Seconds()
        """That kept arrays took when they were made."""
        self.facts: dict[str, Any] = {}
        self._sizes: dict[str, int] = {}
        """Bytes of each fact."""
        self.validations: list[ValidationRecord] = []
        self._model = model
        self._visible = visible
        self._emit = emit
        self._stopping = stopping
        self._floors = floors
        self._protocol = protocol.at_validation()
        self._split_arrays, self._text_arrays = split_arrays, text_arrays
        self._start = so_far()
        self._log = EpochLog(epoch_log)
        self._last_progress: tuple[str, float] = ("", 0.0)
        self._stages: set[str] = set()
        self._begin_stage("", 0)
        self._stages.clear()
        self._sample = self._sample_users()
        self._inputs = visible.inputs(self._protocol, self._sample)

    def _begin_stage(self, name: str, done: int) -> None:
        if name in self._stages:
            raise ValueError(f"there was a stage '{name}' before: give each call of context.epochs a name of its own")
        self._stages.add(name)
        self._stage = name
        self._epoch = done
        self._best = -np.inf
        self._stale = 0
        self._earlier = Seconds()
        self._stage_start = so_far()
        for epoch in self._log.until(name, done):
            self._earlier = epoch.spent
            if epoch.score is not None:
                self._judge(epoch.epoch, epoch.score)
        self.resumed += self._earlier

    def _sample_users(self) -> NDArray[np.int64]:
        users = np.flatnonzero(self._visible.judged.lengths)
        if len(users) > self._stopping.users:
            users = np.random.default_rng(_SAMPLE_SEED).choice(users, self._stopping.users, replace=False)
        return np.sort(users).astype(np.int64)

    def epochs(self, max_epochs: int, unit: str = "epoch", stage: str = "", done: int = 0) -> Iterator[int]:
        self._begin_stage(stage, done)  # now, not at the first step: a stage that is done has none
        return self._count(max_epochs, f"{stage} {unit}".strip(), done)

    def _count(self, max_epochs: int, unit: str, done: int) -> Iterator[int]:
        for epoch in range(done + 1, max_epochs + 1):
            self._epoch = epoch
            self._validated = False
            yield epoch
            self._emit(Progress(done=epoch, total=max_epochs, unit=unit))
            stage = self._of_stage()
            if not self._validated:  # or it is in the log already, since a model may be killed right behind its save
                self._log.add(Epoch.of(self._stage, epoch, stage, None))
            if self.time_budget is None or epoch == max_epochs:
                continue
            before = (self._spent() - stage).processor
            if before + stage.processor * (epoch + 1) / epoch > self.time_budget:
                self.stopped_by_budget = True
                told = f"time budget of {self.time_budget:g} processor seconds"
                self.log(f"{told} used up after {epoch} of {max_epochs} {unit}s")
                return

    def _spent(self) -> Seconds:
        """By this ``fit``, with earlier attempts and what kept arrays took."""
        return so_far() - self._start + self.resumed + self.reused

    def _of_stage(self) -> Seconds:
        return self._earlier + so_far() - self._stage_start

    def validate(self) -> Validation:
        if self._epoch % self._stopping.every or not self.has_validation:
            return Validation(None, False, False)
        score = self.score()
        self._validated = True
        self._log.add(Epoch.of(self._stage, self._epoch, self._of_stage(), score))
        return self._judge(self._epoch, score)

    @property
    def has_validation(self) -> bool:
        """Whether there is anyone to score a model on."""
        return len(self._sample) > 0

    def score(self) -> float:
        """The stopping metric of the model as it is, a mean over the sample of validation users.

        As at test, what breaks the contract counts as a miss.
        """
        stopping, exclude = self._stopping, self._inputs.exclude
        found = self._model.recommend(self._sample, self._inputs.history, exclude, stopping.k)
        lists, _ = violations.check(found, exclude, stopping.k)
        relevant = self._visible.judged.select(self._sample)
        return float(per_user(lists.items, relevant, [stopping.k], [stopping.metric])[stopping.name].mean())

    def _judge(self, epoch: int, score: float) -> Validation:
        improved = score > self._best
        self._best = max(score, self._best)
        self._stale = 0 if improved else self._stale + 1
        self.validations.append(ValidationRecord(stage=self._stage, epoch=epoch, score=score, improved=improved))
        told = {"stage": self._stage, "epoch": epoch, "metric": self._stopping.name}
        self._emit(Validated(**told, score=score, improved=improved))
        pruned = pruned_at(self._floors, self.validations) is not None
        return Validation(score, improved, pruned or self._stale >= self._stopping.patience)

    def cached(self, name: str, inputs: Mapping[str, Any], compute: Callable[[], Arrays]) -> dict[str, NDArray[Any]]:
        core = {"stopping": self._stopping.model_dump(mode="json"), "exclude": self._protocol.exclude}
        entry = entry_name(name, inputs, {**core, "device": self.device, "model": _name(type(self._model))})
        return self._cached(self._split_arrays, entry, compute)

    def cached_from_texts(
        self, name: str, inputs: Mapping[str, Any], compute: Callable[[TextInputs], Arrays]
    ) -> dict[str, NDArray[Any]]:
        if getattr(compute, "__closure__", None) is not None or getattr(compute, "__self__", None) is not None:
            raise TypeError(f"{name}: give a function of a module, which sees nothing but its argument")
        entry = entry_name(name, inputs, {"device": self.device, "function": _name(compute)})
        given = dict(inputs)
        return self._cached(
            self._text_arrays,
            entry,
            lambda: compute(TextInputs(self.item_texts(), self.user_texts(), given, self.progress)),
        )

    def _cached(self, kept: KeptArrays | None, entry: str, compute: Callable[[], Arrays]) -> dict[str, NDArray[Any]]:
        if kept is not None:
            try:
                found = kept.find(entry)
            except (OSError, ValueError, KeyError, TypeError) as error:
                self.log(f"{entry} is computed again, what was kept cannot be read: {one_line(error)}")
                found = None
            if found is not None:
                self.reused += found.spent
                self.log(f"{entry} was computed before, in {found.spent.clock:.1f} s")
                return found.arrays
        before = self._spent()
        arrays = {name: np.ascontiguousarray(array) for name, array in compute().items()}
        whole = not self.stopped_by_budget and pruned_at(self._floors, self.validations) is None
        if kept is not None and whole:
            kept.add(entry, arrays, self._spent() - before)
        return arrays

    def progress(self, done: int, total: int | None, unit: str) -> None:
        now = time.monotonic()
        if (done != total) and self._last_progress[0] == unit and now - self._last_progress[1] < _PROGRESS_EVERY:
            return
        self._last_progress = (unit, now)
        self._emit(Progress(done=done, total=total, unit=unit))

    def log(self, message: str) -> None:
        print(message, flush=True)  # noqa: T201 (standard output of a worker is its log)

    def note(self, name: str, value: Any) -> None:
        try:
            told = json.dumps(value, allow_nan=False, ensure_ascii=False, default=_plain)
            size = len(f"{name}{told}".encode())
        except (TypeError, ValueError, RecursionError) as error:
            raise TypeError(f"the fact '{plain(str(name), 60)}' is not JSON-ready: {one_line(error)}") from error
        found = json.loads(told)
        if not isinstance(name, str) or _deeper(found, MOST_LEVELS):
            raise TypeError(
                f"the fact '{plain(str(name), 60)}' has more than {MOST_LEVELS} levels, or a name that is no text"
            )
        if size + sum(other for fact, other in self._sizes.items() if fact != name) > MOST_BYTES:
            raise TypeError(
                f"with '{plain(name, 60)}' the facts have more than {MOST_BYTES:,} bytes: write files instead"
            )
        self._sizes[name] = size
        self.facts[name] = found

    def item_texts(self) -> pd.DataFrame:
        return self._visible.item_texts()

    def user_texts(self) -> pd.DataFrame:
        return self._visible.user_texts()


def _deeper(value: Any, levels: int) -> bool:
    """Whether a JSON value has more levels."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return inner is not None and (levels == 0 or any(_deeper(part, levels - 1) for part in inner))


def _name(defined: Any) -> str:
    """Where a class or function is defined: two of one module may give the same name to other arrays."""
    return f"{defined.__module__}:{defined.__qualname__}"


def _plain(value: Any) -> Any:
    """A number or an array of numpy as plain Python; what is neither is no JSON."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is neither a number, a text, a list nor a mapping")
