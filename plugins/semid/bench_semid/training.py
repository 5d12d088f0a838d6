"""What the trainings of all models on semantic IDs share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

import numpy as np
import torch
from bench_torchkit.trainer import Place, Settings, Stage, Task
from torch import nn

from bench_semid.config import SemanticConfig

Batch = TypeVar("Batch")
BatchOut = TypeVar("BatchOut", covariant=True)


class Batches(Protocol[BatchOut]):
    """Where batches come from."""

    def __len__(self) -> int:
        """Batches of an epoch."""

    def batches(self, rng: np.random.Generator) -> Iterator[BatchOut]:
        """Those of an epoch, in random order."""


class SemanticTask(Task[Batch]):
    """One stage of AdamW over all sequences in a random order of the epoch; a subclass has the losses."""

    def __init__(self, config: SemanticConfig, module: nn.Module, sequences: Batches[Batch], seed: int) -> None:
        self.config, self.module, self.sequences = config, module, sequences
        self.stages = [Stage("", config.epochs, len(sequences))]
        self._seed = seed

    def optimizer(self, stage: int) -> torch.optim.AdamW:
        """For everything."""
        config = self.config
        return torch.optim.AdamW(
            self.module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )

    def seed(self, place: Place) -> int:
        """The first draw of the epoch's generator."""
        return int(self._rng(place).integers(2**31))

    def batches(self, place: Place) -> Iterator[Batch]:
        """All sequences."""
        return self.sequences.batches(self._rng(place))

    def _rng(self, place: Place) -> np.random.Generator:
        return np.random.default_rng([self._seed, 1, place.epoch])


def settings(config: SemanticConfig) -> Settings:
    """For the trainer."""
    return Settings(config.max_grad_norm, schedule=config.schedule, warm_up=config.warm_up, averaging=config.averaging)
