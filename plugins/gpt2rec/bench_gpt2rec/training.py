"""The training loop: stages, early stop by the harness, checkpoints."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bench.contract import Context
from bench_gpt2rec.config import Gpt2RecConfig
from bench_gpt2rec.network import Network
from bench_gpt2rec.reader import Mode
from bench_gpt2rec.sampling import Sampler
from bench_gpt2rec.step import losses


class Stage(NamedTuple):
    """A part of the training."""

    mode: Mode | None
    """Of the reader; None without texts."""
    epochs: int


def stages(config: Gpt2RecConfig) -> list[Stage]:
    """One stage, or two."""
    if not config.text:
        return [Stage(None, config.epochs)]
    if config.strategy == "two-stage":
        return [Stage("cached", config.cached_epochs), Stage("dynamic", config.dynamic_epochs)]
    return [Stage(config.strategy, config.epochs)]


def bfloat16(config: Gpt2RecConfig, device: str) -> bool:
    """Whether the encoder computes in bfloat16 while it is trained."""
    if config.precision == "auto":
        return device.startswith("cuda") and torch.cuda.is_bf16_supported()
    return config.precision == "bfloat16"


@dataclass
class Trainer:
    """Trains a network in place; everything that a checkpoint has to hold is here."""

    config: Gpt2RecConfig
    network: Network
    sampler: Sampler
    context: Context
    best: dict[str, Tensor] | None = None
    """Weights of the best validation of all stages, on the CPU."""
    best_score: float = -math.inf
    stage: int = 0
    """Number of the stage that goes on."""
    done: int = 0
    """Epochs of it that are over."""
    over: bool = False
    """Whether the stopping rule has ended it."""
    optimizer: torch.optim.AdamW = field(init=False)
    scheduler: torch.optim.lr_scheduler.LambdaLR = field(init=False)

    def train(self) -> None:
        """Train until the harness stops it, from a checkpoint if there is one, and keep the best weights."""
        path = self.context.folder / "training.pt"
        if path.is_file():
            self.load(path)
            self.context.log(f"going on from a checkpoint after epoch {self.done} of stage {self.stage + 1}")
        else:
            self._begin(0)
        first = self.stage
        for number, stage in enumerate(stages(self.config)):
            if number > first:
                self._begin(number)
            # A stage of an earlier attempt is told to the harness once more, so that its time and scores count.
            self._stage(stage, number, stage.epochs if number < first else self.done, path)
        self._restore()
        self.network.eval()

    def _begin(self, number: int) -> None:
        """Start a stage with the best weights so far."""
        self._restore()
        self.stage, self.done, self.over = number, 0, False
        config, network = self.config, self.network
        ids = [network.users.ids.weight, network.items.ids.weight]
        rest = [p for p in network.without_reader() if all(p is not other for other in ids)]
        groups: list[dict[str, Any]] = [{"params": ids, "weight_decay": 0.0}, {"params": rest}]
        if stages(config)[number].mode == "dynamic" and network.reader is not None:
            trained = [p for p in network.reader.parameters() if p.requires_grad]
            groups.append({"params": trained, "lr": config.encoder_rate})
        self.optimizer = torch.optim.AdamW(
            groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        n_steps = len(self.sampler) * stages(config)[number].epochs
        falls = config.schedule == "linear"
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: max(0.0, 1 - step / n_steps) if falls else 1.0
        )

    def _restore(self) -> None:
        if self.best is not None:
            self.network.load_state_dict(self.best, strict=False)

    def _stage(self, stage: Stage, number: int, done: int, path: Path) -> None:
        if self.network.reader is not None and stage.mode is not None and number == self.stage:
            self.network.reader.switch(stage.mode)
        for epoch in self.context.epochs(stage.epochs, stage=stage.mode or "", done=done):
            if self.over:
                break
            self._epoch(stage, number, epoch)
            found = self.context.validate()
            if found.score is not None and found.score > self.best_score:
                self.best, self.best_score = trained_state(self.network), found.score
            self.done, self.over = epoch, found.stop
            self.save(path)
            if found.stop:
                break

    def _epoch(self, stage: Stage, number: int, epoch: int) -> None:
        self.network.train()
        # Randomness depends on stage and epoch alone: an interrupted training goes on as it would have gone.
        place = number * 10_000 + epoch
        torch.manual_seed(int(self.sampler.rng(place).integers(2**31)))
        sums: dict[str, Tensor] = {}
        n_batches = len(self.sampler)
        for step, batch in enumerate(self.sampler.batches(place), 1):
            device = self.network.device.type
            found = losses(self.config, self.network, batch)
            found["total"].backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
            self.optimizer.step()
            self.scheduler.step()
            self.optimizer.zero_grad(set_to_none=True)
            for name, value in found.items():
                sums[name] = sums.get(name, torch.zeros((), device=device)) + value.detach()
            self.context.progress((epoch - 1) * n_batches + step, stage.epochs * n_batches, "step")
        means = ", ".join(f"{name} {float(value) / n_batches:.4f}" for name, value in sums.items())
        self.context.log(f"{stage.mode or 'ids'} epoch {epoch}: {means}")

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        state = {
            "network": trained_state(self.network),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "best": self.best,
            "best_score": self.best_score,
            "stage": self.stage,
            "done": self.done,
            "over": self.over,
        }
        draft = path.with_suffix(".draft")
        torch.save(state, draft)
        draft.replace(path)

    def load(self, path: Path) -> None:
        """The inverse of :meth:`save`."""
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        self._begin(state["stage"])
        self.network.load_state_dict(state["network"], strict=False)
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.best, self.best_score = state["best"], state["best_score"]
        self.stage, self.done, self.over = state["stage"], state["done"], state["over"]


def trained_state(network: Network) -> dict[str, Tensor]:
    """Copies on the CPU of all weights that can change: a pretrained model that is not trained is left out."""
    return {
        name: parameter.detach().cpu().clone()
        for name, parameter in network.named_parameters()
        if parameter.requires_grad
    }
