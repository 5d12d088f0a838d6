"""What is trained, and by which loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from bench_torchkit import losses
from bench_torchkit.negatives import NegativeSampler, shared
from bench_torchkit.next_item import NextItemTask
from bench_torchkit.rows import Batch, Sequences
from bench_torchkit.trainer import Place
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from bench import UNFILLED
from bench_neural.sequences.config import SequenceConfig
from bench_neural.sequences.network import Network

_ATTEMPTS = 100
"""To find an item that is new to a user."""
_FLOATS = 2**24
"""Of vectors of negatives that are held at a time."""


class Training(NextItemTask):
    """Of the next item."""

    config: SequenceConfig
    module: Network
    betas = (0.9, 0.98)
    stream = 3

    def __init__(self, config: SequenceConfig, network: Network, sequences: Sequences, seed: int) -> None:
        super().__init__(config, network, sequences, seed)
        own = config.negatives_of == "target" and config.loss != "softmax"
        self._sampler = NegativeSampler(sequences.train) if own else None

    def split(self, batch: Batch, parts: int) -> list[tuple[Batch, float]]:
        """Parts weigh as much as they have targets."""
        return [(piece, len(piece.targets) / len(batch.targets)) for piece in batch.split(parts)]

    def losses(self, batch: Batch, place: Place) -> dict[str, Tensor]:
        """The loss of the config over all targets of the batch."""
        network, config = self.module, self.config
        device = network.items.weight.device
        states = network.states(batch.rows.to(device), batch.at.to(device))
        targets = batch.targets.to(device)
        if config.loss == "softmax":
            return {"total": losses.softmax(states, network.item_vectors(), targets)}
        positive = (states * network.item_vectors(targets)).sum(1)
        negatives = self._negatives(batch, place).to(device)
        if negatives.dim() == 1:
            negative = states @ network.item_vectors(negatives).T
        else:
            negative = _of_each(states, negatives, network.item_vectors)
        negative[_same(targets, negatives)] = losses.never(negative)
        if config.loss == "sampled_softmax":
            return {"total": losses.sampled_softmax(positive, negative)}
        if config.loss == "bce":
            return {"total": losses.bce(positive, negative)}
        rate = negative.shape[1] / max(1, network.n_items - 1)
        return {"total": losses.gbce(positive, negative, min(1.0, rate), config.calibration)}

    def _negatives(self, batch: Batch, place: Place) -> Tensor:
        """(m,) for all targets, or (t, m)."""
        rng = np.random.default_rng([self._seed, 4, place.epoch, place.step, place.part])
        if self._sampler is None:
            return torch.from_numpy(shared(rng, self.module.n_items, self.config.negatives))
        users, targets = (np.repeat(part, self.config.negatives) for part in (batch.users, batch.targets.numpy()))
        found = self._sampler.draw(rng, users, attempts=_ATTEMPTS)
        # Who has nearly everything may have no negative: the target in its place does not count.
        return torch.from_numpy(np.where(found == UNFILLED, targets, found).reshape(len(batch.users), -1))


def _of_each(states: Tensor, negatives: Tensor, vectors: Callable[[Tensor], Tensor]) -> Tensor:
    """(t, m) products of t states and the vectors of their own m items, which are held for some states at a time."""

    def products(states: Tensor, negatives: Tensor) -> Tensor:
        return torch.einsum("td,tmd->tm", states, vectors(negatives))

    size = max(1, _FLOATS // (negatives.shape[1] * states.shape[1]))
    if len(states) <= size:
        return products(states, negatives)
    pieces = zip(torch.split(states, size), torch.split(negatives, size), strict=True)
    return torch.cat([checkpoint(products, *piece, use_reentrant=False) for piece in pieces])


def _same(targets: Tensor, negatives: Tensor) -> tuple[Tensor, ...]:
    """Where a target is among its negatives: rows and columns. There are few, which a mask of all pairs would hide."""
    if negatives.dim() == 2:
        return (negatives == targets[:, None]).nonzero(as_tuple=True)
    column = torch.searchsorted(negatives, targets).clamp(max=len(negatives) - 1)
    rows = (negatives[column] == targets).nonzero().squeeze(1)
    return rows, column[rows]
