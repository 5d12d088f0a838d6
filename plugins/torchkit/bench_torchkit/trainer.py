"""Training in epochs: stages, early stop by the harness, checkpoints, batches in parts and on several processes.

A model gives a :class:`Task`: its module, its optimizer, its batches, and the losses of a batch. What a batch draws at
random is a function of its :class:`Place` alone, so that an interrupted training goes on as it would have gone.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from bench import Context
from bench.files import new_file
from bench_torchkit.schedules import schedule
from bench_torchkit.team import STAGE, Team, team

Batch = TypeVar("Batch")
State = TypeVar("State")

CHECKPOINT = "training.pt"


class Stage(NamedTuple):
    """A part of the training, with an optimizer and a stopping rule of its own."""

    name: str
    """For the harness; empty if there is one stage and no need to name it."""
    epochs: int
    """Most epochs."""
    steps: int
    """Batches of an epoch."""


class Place(NamedTuple):
    """Where in the training something happens."""

    stage: int
    """From 0."""
    epoch: int
    """Of the stage, from 1."""
    step: int = 0
    """Of the epoch, from 0."""
    part: int = 0
    """Of the batch, from 0."""


class Task(ABC, Generic[Batch]):
    """What is trained."""

    module: nn.Module
    stages: Sequence[Stage]

    @abstractmethod
    def optimizer(self, stage: int) -> Optimizer:
        """For the parameters that the stage trains."""

    @abstractmethod
    def batches(self, place: Place) -> Iterable[Batch]:
        """The batches of an epoch."""

    @abstractmethod
    def losses(self, batch: Batch, place: Place) -> dict[str, Tensor]:
        """``total``, which is made smaller, and what else is to be logged; scalars."""

    @abstractmethod
    def seed(self, place: Place) -> int:
        """Of torch's generators in an epoch."""

    def split(self, batch: Batch, parts: int) -> list[tuple[Batch, float]]:
        """The batch in at most ``parts`` parts, each with its share in the loss; whole if it cannot be split.

        Of several processes each computes some of the parts. A model whose batches are split, and whose tasks pickle
        can copy, says so with :attr:`bench.Recommender.distributed`.
        """
        return [(batch, 1.0)]

    def weights(self) -> dict[str, Tensor]:
        """What training changes of the module's state, by its names there: all but frozen parameters."""
        frozen = {name for name, p in self.module.named_parameters(remove_duplicate=False) if not p.requires_grad}
        return {name: value for name, value in self.module.state_dict().items() if name not in frozen}

    def enter(self, stage: int) -> None:
        """Called before the first epoch of a stage that this attempt trains, the weights being those to begin with."""

    def validating(self) -> AbstractContextManager[None]:
        """Entered for a validation; the weights inside are those that are kept if it is the best one."""
        return nullcontext()


@dataclass(frozen=True)
class Settings:
    """How a task is trained."""

    max_grad_norm: float
    """Largest norm of the gradient of all parameters together."""
    schedule: str = "constant"
    """Of the learning rate, over the steps of all stages; see :func:`bench_torchkit.schedules.schedule`."""
    warm_up: float = 0.0
    """Share of the steps in which the rate rises."""
    parts: int = 1
    """Parts that a batch is computed in, to save memory."""
    bfloat16: bool = False
    """Whether losses are computed under autocast."""
    averaging: float = 0.0
    """Share of what was, in a step, of the weights that validate and recommend: a moving average of those that are
    trained, which begins with short memory. 0: they are those that are trained."""


@dataclass
class Trainer(Generic[Batch]):
    """Trains the module of a task in place; everything that a checkpoint has to hold is here."""

    task: Task[Batch]
    context: Context
    settings: Settings
    best: dict[str, Tensor] | None = None
    """Weights of the best validation of all stages, on the CPU; None if nothing was validated."""
    best_score: float = -math.inf
    parts: int = field(init=False)
    """In how many parts a batch is computed; doubled when memory is short."""
    stage: int = 0
    """Number of the stage that goes on."""
    done: int = 0
    """Epochs of it that are over."""
    over: bool = False
    """Whether the stopping rule has ended it."""
    optimizer: Optimizer = field(init=False)
    scheduler: LambdaLR = field(init=False)
    average: dict[str, Tensor] = field(init=False)
    """Of the parameters that the stage trains; empty without averaging."""
    steps: int = 0
    """That the average has seen."""
    team: Team = field(default_factory=Team)

    def __post_init__(self) -> None:
        self.parts = self.settings.parts

    def train(self) -> None:
        """Train until the harness stops it, from a checkpoint if there is one, and leave the best weights in place.

        Each stage begins with the best weights so far. The module is left in the mode of evaluation. Where the harness
        gives several processes, they train together, and this one validates.
        """
        with team(self.task, self.settings, self.context.device, self.context.processes) as self.team:
            self._train()

    def _train(self) -> None:
        path = self.context.folder / CHECKPOINT
        if path.is_file():
            self.load(path)
            self.context.log(f"going on from a checkpoint after epoch {self.done} of stage {self.stage + 1}")
        else:
            self._begin(0)
        first = self.stage
        for number, stage in enumerate(self.task.stages):
            if number > first:
                self._begin(number)
            if number >= first:
                self._share(Place(number, 0))
                self.task.enter(number)
            # A stage of an earlier attempt is told to the harness once more, so that its time and scores count.
            self._run(number, stage.epochs if number < first else self.done, path)
        if self.best is None:
            self._swap()
        self._restore()
        self.task.module.eval()

    def _share(self, place: Place) -> None:
        """Let followers begin a stage as this process does."""
        if self.team.size > 1:
            self.save(self.team.folder / STAGE)
            self.team.tell(place)

    def _begin(self, number: int) -> None:
        self._restore()
        self.stage, self.done, self.over = number, 0, False
        stages, settings = self.task.stages, self.settings
        steps = [stage.steps * stage.epochs for stage in stages]
        self.optimizer = self.task.optimizer(number)
        # A stage goes on at the rate that the one before ends with: at the full one it would forget what that learned.
        done = sum(steps[:number])
        self.scheduler = schedule(self.optimizer, settings.schedule, sum(steps), settings.warm_up, done)
        trained = self._trained() if settings.averaging else {}
        self.average, self.steps = {name: p.detach().clone() for name, p in trained.items()}, 0

    def _trained(self) -> dict[str, Tensor]:
        return {name: p for name, p in self.task.module.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def _swap(self) -> None:
        """Exchange the weights that are trained and their average."""
        trained = self._trained() if self.average else {}
        for name, value in trained.items():
            held = value.clone()
            value.copy_(self.average[name])
            self.average[name].copy_(held)

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the weights of now; at first by much, so that it forgets the initial ones."""
        trained = self._trained() if self.average else {}
        self.steps += 1
        share = max(1 - self.settings.averaging, 10 / (10 + self.steps))
        for name, value in trained.items():
            self.average[name].lerp_(value, share)

    def _restore(self) -> None:
        if self.best is not None:
            self.task.module.load_state_dict(self.best, strict=False)

    def _run(self, number: int, done: int, path: Path) -> None:
        stage = self.task.stages[number]
        for epoch in self.context.epochs(stage.epochs, stage=stage.name, done=done):
            if self.over:
                break
            place = Place(number, epoch)
            self.team.tell(place)
            if not math.isfinite(loss := self.train_epoch(place)):
                raise ValueError(f"the loss of epoch {epoch} is {loss}: the model diverged")
            self._swap()
            with self.task.validating():
                found = self.context.validate()
                if found.score is not None and found.score > self.best_score:
                    self.best = {name: value.detach().cpu().clone() for name, value in self.task.weights().items()}
                    self.best_score = found.score
            self._swap()
            self.done, self.over = epoch, found.stop
            self.save(path)
            if found.stop:
                break

    def train_epoch(self, place: Place) -> float:
        """One epoch, together with the rest of the team; returns the sum of its losses."""
        stage = self.task.stages[place.stage]
        self.task.module.train()
        torch.manual_seed(self.task.seed(place) + self.team.rank)
        sums: dict[str, Tensor] = {}
        for step, batch in enumerate(self.task.batches(place)):
            for name, value in self._update(batch, place._replace(step=step)).items():
                sums[name] = sums[name] + value if name in sums else value
            done = (place.epoch - 1) * stage.steps + step + 1
            self.context.progress(done, stage.epochs * stage.steps, "step")
        totals = self.team.sums(sums)
        means = ", ".join(f"{name} {value / stage.steps:.4f}" for name, value in totals.items())
        self.context.log(f"{stage.name} epoch {place.epoch}: {means}".strip())
        return totals.get("total", 0.0)

    def _update(self, batch: Batch, place: Place) -> dict[str, Tensor]:
        """A step of all processes; if one is short of memory, all of them try again with smaller parts."""
        while True:
            pieces = self.task.split(batch, self.parts * self.team.size)
            try:
                sums, short = self._gradients(pieces, place), False
            except torch.OutOfMemoryError:
                if len(self.task.split(batch, 2 * self.parts * self.team.size)) == len(pieces):
                    raise
                sums, short = {}, True
            if not self.team.sum_gradients(self.task.module, short):
                break
            self.optimizer.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
            self.parts *= 2
            self.context.log(f"out of memory: batches are computed in {self.parts} parts from now on")
            self.context.note("batch_parts", self.parts)
        torch.nn.utils.clip_grad_norm_(self.task.module.parameters(), self.settings.max_grad_norm)
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._follow()
        return sums

    def _gradients(self, pieces: list[tuple[Batch, float]], place: Place) -> dict[str, Tensor]:
        """Add up the gradients of this process's pieces; returns their losses by their shares."""
        device = next(self.task.module.parameters()).device.type
        sums: dict[str, Tensor] = {}
        for part in range(self.team.rank, len(pieces), self.team.size):
            piece, share = pieces[part]
            with torch.autocast(device, torch.bfloat16, enabled=self.settings.bfloat16):
                losses = self.task.losses(piece, place._replace(part=part))
            (losses["total"] * share).backward()  # type: ignore[no-untyped-call]
            for name, value in losses.items():
                now = value.detach() * share
                sums[name] = sums[name] + now if name in sums else now
        return sums

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        state = {
            "weights": self.task.weights(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "average": self.average,
            "steps": self.steps,
            "best": self.best,
            "best_score": self.best_score,
            "parts": self.parts,
            "stage": self.stage,
            "done": self.done,
            "over": self.over,
        }
        with new_file(path) as draft:
            torch.save(state, draft)

    def load(self, path: Path) -> None:
        """The inverse of :meth:`save`."""
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        self._begin(state["stage"])
        self.task.module.load_state_dict(state["weights"], strict=False)
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.best, self.best_score = state["best"], state["best_score"]
        for name, value in self.average.items():
            value.copy_(state["average"][name])
        self.steps = state["steps"]
        self.parts, self.stage, self.done, self.over = (state[name] for name in ("parts", "stage", "done", "over"))


def train_epochs(
    context: Context,
    max_epochs: int,
    train: Callable[[int], None],
    state: Callable[[], State],
    stage: str = "",
) -> State | None:
    """The loop of a model that keeps no checkpoint: train until the harness stops it.

    Parameters
    ----------
    train
        Trains the epoch of that number, from 1, and makes the model ready for ``recommend``.
    state
        Copies what training changes. It is called after each validation that is the best one so far.

    Returns
    -------
    The state of the best validation, or None if nothing was validated.
    """
    best: State | None = None
    for epoch in context.epochs(max_epochs, stage=stage):
        train(epoch)
        found = context.validate()
        if found.improved:
            best = state()
        if found.stop:
            break
    return best
