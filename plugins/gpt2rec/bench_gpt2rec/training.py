"""What is trained, and in which stages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from bench_torchkit.trainer import Place, Stage, Task
from torch import Tensor

from bench_gpt2rec.config import Gpt2RecConfig
from bench_gpt2rec.encoder import Mode
from bench_gpt2rec.network import Network
from bench_gpt2rec.sampling import Batch, Sampler
from bench_gpt2rec.step import losses


def modes(config: Gpt2RecConfig) -> dict[Mode, int]:
    """How the encoder is used in each stage, and the stage's epochs."""
    if config.strategy == "two-stage":
        return {"cached": config.cached_epochs, "dynamic": config.dynamic_epochs}
    return {config.strategy: config.epochs}


class Training(Task[Batch]):
    """Of a network, by the losses of :mod:`bench_gpt2rec.step`."""

    def __init__(self, config: Gpt2RecConfig, network: Network, sampler: Sampler) -> None:
        self.config = config
        self.module: Network = network
        self.sampler = sampler
        if network.encoder is None:
            self.stages = [Stage("", config.epochs, len(sampler))]
        else:
            self.stages = [Stage(mode, epochs, len(sampler)) for mode, epochs in modes(config).items()]

    def optimizer(self, stage: int) -> torch.optim.AdamW:
        """AdamW; the encoder is among its parameters only where it reads within the step."""
        config, network = self.config, self.module
        ids = [network.users.ids.weight, network.items.ids.weight]
        rest = [p for p in network.without_encoder() if all(p is not other for other in ids)]
        groups: list[dict[str, Any]] = [{"params": ids, "weight_decay": 0.0}, {"params": rest}]
        if network.encoder is not None and self.stages[stage].name == "dynamic":
            trained = [p for p in network.encoder.parameters() if p.requires_grad]
            groups.append({"params": trained, "lr": config.encoder_learning_rate})
        return torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)

    def enter(self, stage: int) -> None:
        """Switch the encoder to the mode of the stage."""
        if self.module.encoder is not None:
            self.module.encoder.switch("dynamic" if self.stages[stage].name == "dynamic" else "cached")

    def seed(self, place: Place) -> int:
        """A draw of the epoch's generator, whose other draws make its batches."""
        return int(self.sampler.rng(_number(place)).integers(2**31))

    def batches(self, place: Place) -> Iterable[Batch]:
        """Those of the sampler."""
        return self.sampler.batches(_number(place))

    def losses(self, batch: Batch, place: Place) -> dict[str, Tensor]:
        """See :func:`bench_gpt2rec.step.losses`."""
        return losses(self.config, self.module, batch)


def _number(place: Place) -> int:
    """Of an epoch, so that no two of all stages have one, of at most 10,000 epochs each."""
    return place.stage * 10_000 + place.epoch
