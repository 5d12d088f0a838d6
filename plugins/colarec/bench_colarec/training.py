"""The training loop: early stop by the harness, checkpoints, a batch in parts if it does not fit."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.contract import Context
from bench_colarec.config import ColaRecConfig
from bench_colarec.network import Network
from bench_colarec.sampling import Batch
from bench_colarec.step import Step
from bench_colarec.unseen import Exchange

_LOSS = 2
"""Place in the randomness of the sampler."""

_WARM_UP = 0.05
"""Share of all steps in which the learning rate rises, with a schedule."""


def bfloat16(config: ColaRecConfig, device: str) -> bool:
    """Whether to compute in bfloat16."""
    if config.precision == "auto":
        return device.startswith("cuda") and torch.cuda.is_bf16_supported()
    return config.precision == "bfloat16"


@dataclass
class Trainer:
    """Trains a network in place; everything that a checkpoint has to hold is here."""

    config: ColaRecConfig
    network: Network
    step: Step
    context: Context
    exchange: Exchange | None = None
    """Between the embeddings for training, which are in place, and those for recommending."""
    parts: int = 1
    """In how many parts a batch is computed."""
    best: dict[str, Tensor] | None = None
    """Weights of the best validation so far, on the CPU."""
    over: bool = False
    """Whether the stopping rule has ended the training."""
    done: int = 0
    """Epochs that are over."""
    optimizer: torch.optim.AdamW = field(init=False)
    scheduler: torch.optim.lr_scheduler.LambdaLR = field(init=False)

    def __post_init__(self) -> None:
        config = self.config
        self.parts = config.accumulate
        self.optimizer = torch.optim.AdamW(
            self._groups(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        n_steps = self.step.n_batches() * config.epochs
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, _factor(config, n_steps))

    def _groups(self) -> list[dict[str, Any]]:
        """Parameters by learning rate: embeddings, and the rest."""
        config, network = self.config, self.network
        slow = [p for module in (network.table, network.codebooks) for p in module.parameters()]
        rest = [p for p in network.parameters() if all(p is not other for other in slow)]
        if not config.embedding_rate:
            for parameter in slow:
                parameter.requires_grad_(False)
            return [{"params": rest}]
        return [{"params": rest}, {"params": slow, "lr": config.learning_rate * config.embedding_rate}]

    def train(self, ready: Callable[[], None]) -> None:
        """Train until the harness stops it, from a checkpoint if there is one, and keep the best weights.

        ``ready`` is called before each validation, since the weights have changed.
        """
        context, path = self.context, self.context.folder / "training.pt"
        if path.is_file():
            self.load(path)
            context.log(f"going on from a checkpoint after epoch {self.done}")
        for epoch in context.epochs(self.config.epochs, stage="generator", done=self.done):
            if self.over:
                break
            self._epoch(epoch)
            with self.exchange.recommending() if self.exchange else nullcontext():
                ready()
                found = context.validate()
                if found.improved:
                    state = self.network.state_dict()
                    self.best = {name: value.detach().cpu().clone() for name, value in state.items()}
            self.done, self.over = epoch, found.stop
            self.save(path)
            if found.stop:
                break
        if self.best is not None:
            self.network.load_state_dict(self.best)
        elif self.exchange:
            self.exchange.to_recommending()

    def _epoch(self, epoch: int) -> None:
        self.network.train()
        # Dropout depends on the epoch alone: an interrupted training goes on as it would have gone.
        torch.manual_seed(int(self.step.sampler.rng(epoch, _LOSS).integers(2**31)))
        sums: dict[str, Tensor] = {}
        n_batches = self.step.n_batches()
        for number, batch in enumerate(self.step.batches(epoch)):
            for name, value in self._update(epoch, number, batch).items():
                sums[name] = sums.get(name, torch.zeros(())) + value
            self.context.progress((epoch - 1) * n_batches + number + 1, self.config.epochs * n_batches, "step")
        means = ", ".join(f"{name} {float(value) / n_batches:.4f}" for name, value in sums.items())
        self.context.log(f"epoch {epoch}: {means}")

    def _update(self, epoch: int, number: int, batch: Batch) -> dict[str, Tensor]:
        while True:
            try:
                return self._try_update(epoch, number, batch)
            except torch.OutOfMemoryError:
                if self.parts >= len(batch.users):
                    raise
            self.optimizer.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
            self.parts *= 2
            self.context.log(f"out of memory: batches are computed in {self.parts} parts from now on")
            self.context.note("batch_parts", self.parts)

    def _try_update(self, epoch: int, number: int, batch: Batch) -> dict[str, Tensor]:
        device = self.network.device.type
        sums: dict[str, Tensor] = {}
        for part, piece in enumerate(batch.split(self.parts)):
            rng = self.step.sampler.rng(epoch, _LOSS, number, part)
            share = len(piece.targets) / len(batch.targets)
            with torch.autocast(device, torch.bfloat16, enabled=bfloat16(self.config, device)):
                losses = self.step.loss(piece, rng)
            (self.step.total(losses) * share).backward()
            for name, value in losses.items():
                sums[name] = sums.get(name, 0) + value.detach() * share
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad(set_to_none=True)
        return sums

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "best": self.best,
            "parts": self.parts,
            "over": self.over,
            "done": self.done,
        }
        draft = path.with_suffix(".draft")
        torch.save(state, draft)
        draft.replace(path)

    def load(self, path: Path) -> None:
        """The inverse of :meth:`save`."""
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.best, self.parts, self.over, self.done = (state[name] for name in ("best", "parts", "over", "done"))


def _factor(config: ColaRecConfig, n_steps: int) -> Any:
    """Factor of the learning rate by step."""
    if config.schedule == "constant":
        return lambda step: 1.0
    warm = max(1, math.ceil(_WARM_UP * n_steps))
    return lambda step: min((step + 1) / warm, max(0.0, (n_steps - step) / max(1, n_steps - warm)))
