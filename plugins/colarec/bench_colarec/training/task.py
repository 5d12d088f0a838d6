"""The generator as a task of the toolkit's training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from bench_torchkit.schedules import bfloat16
from bench_torchkit.trainer import Place, Settings, Stage, Task, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from bench import Context
from bench_colarec.config import ColaRecConfig
from bench_colarec.network.network import Network
from bench_colarec.training.holdout import EmbeddingSwap
from bench_colarec.training.sampling import Batch
from bench_colarec.training.step import Step

_LOSS = 2
"""Place in the randomness of the sampler."""

_WARM_UP = 0.05
"""Share of all steps in which the learning rate rises, with a schedule."""


class Generator(Task[Batch]):
    """One stage, in which the whole network learns from all losses at once.

    Parameters
    ----------
    swap
        Between the embeddings for training, which are in place, and those for recommending.
    ready
        Called before each validation, since the weights have changed.
    """

    module: Network

    def __init__(
        self,
        config: ColaRecConfig,
        network: Network,
        step: Step,
        ready: Callable[[], None],
        swap: EmbeddingSwap | None = None,
    ) -> None:
        self.config = config
        self.module = network
        self.step = step
        self.swap = swap
        self.stages = [Stage("generator", config.epochs, step.n_batches())]
        self._ready = ready

    def __getstate__(self) -> dict[str, Any]:
        """For processes that train and do not validate."""
        return {**self.__dict__, "_ready": None}

    def optimizer(self, stage: int) -> Optimizer:
        """AdamW; embeddings that began from vectors have a learning rate of their own, and are frozen if it is 0."""
        config, network = self.config, self.module
        made: list[nn.Module] = [network.table] if config.init == "vectors" else []
        if made and config.codebook == "prefix" and config.backbone == "scratch":
            made.append(network.codebooks.inputs)
        slow = [p for module in made for p in module.parameters()]
        rest = [p for p in network.parameters() if all(p is not other for other in slow)]
        groups: list[dict[str, Any]] = [{"params": rest}]
        if slow and config.embedding_rate:
            groups.append({"params": slow, "lr": config.learning_rate * config.embedding_rate})
        else:
            for parameter in slow:
                parameter.requires_grad_(False)
        return torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)

    def batches(self, place: Place) -> Iterator[Batch]:
        return self.step.batches(place.epoch)

    def losses(self, batch: Batch, place: Place) -> dict[str, Tensor]:
        found = self.step.loss(batch, self.step.sampler.rng(place.epoch, _LOSS, place.step, place.part))
        return {"total": self.step.total(found), **found}

    def seed(self, place: Place) -> int:
        return int(self.step.sampler.rng(place.epoch, _LOSS).integers(2**31))

    def split(self, batch: Batch, parts: int) -> list[tuple[Batch, float]]:
        """Parts weigh as much as they have targets."""
        return [(piece, len(piece.targets) / len(batch.targets)) for piece in batch.split(parts)]

    def weights(self) -> dict[str, Tensor]:
        """All: a swap changes embeddings that are not trained too."""
        return self.module.state_dict()

    @contextmanager
    def validating(self) -> Iterator[None]:
        """With the embeddings that know all of train."""
        with self.swap.recommending() if self.swap else nullcontext():
            self._ready()
            yield


def train_generator(task: Generator, context: Context) -> None:
    """Train until the harness stops it, and leave the best weights in place, with the embeddings for recommending."""
    trainer = trainer_of(task, context)
    trainer.train()
    if trainer.best is None and task.swap is not None:
        task.swap.to_recommending()


def trainer_of(task: Generator, context: Context) -> Trainer[Batch]:
    """The loop as the config of ``task`` wants it."""
    config = task.config
    return Trainer(
        task,
        context,
        Settings(
            max_grad_norm=config.max_grad_norm,
            schedule=config.schedule,
            warm_up=_WARM_UP if config.schedule != "constant" else 0.0,
            parts=config.gradient_accumulation_steps,
            bfloat16=bfloat16(config.precision, context.device),
        ),
    )
