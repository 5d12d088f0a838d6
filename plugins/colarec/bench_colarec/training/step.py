"""One training step: inputs of a batch, one pass of the encoder over all its items, four losses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from bench_torchkit.losses import bpr, sampled_softmax
from bench_torchkit.negatives import new_to
from numpy.typing import NDArray
from torch import Tensor

from bench_colarec.config import ColaRecConfig
from bench_colarec.network.inputs import Inputs
from bench_colarec.network.network import Encoded, Network
from bench_colarec.network.parts import Parts
from bench_colarec.training.losses import bpr_loss, generation_loss
from bench_colarec.training.sampling import Batch, Sampler
from bench_colarec.training.soft_targets import SoftTargets

Ints = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Items:
    """The items that a step encodes, each once, and who they are to whom."""

    distinct: NDArray[np.int64]
    """(m,)."""
    positive: NDArray[np.int64]
    """(n_targets,): index into ``distinct``."""
    negative: NDArray[np.int64]
    """(n_targets,): likewise."""
    sibling: NDArray[np.int64]
    """(n_targets,): likewise; only meaningful where :attr:`has_sibling`."""
    has_sibling: NDArray[np.bool_]
    """(n_targets,): whether another item shares the prefix of the positive one; if not, L_c leaves the target out."""


class Step:
    """Computes the loss of batches.

    Parameters
    ----------
    soft
        What samples of the kind ``taught`` draw their targets from.
    """

    def __init__(
        self, config: ColaRecConfig, network: Network, parts: Parts, sampler: Sampler, soft: SoftTargets | None = None
    ) -> None:
        self.config = config
        self.network = network
        self.inputs = parts.inputs
        self.sampler = sampler
        self.soft = soft
        users = 1 if soft is None else max(1, len(soft.users))
        self._passes = config.epoch_passes * -(-config.epoch_samples // users)
        self.lengths = config.input_lengths
        self.nodes = torch.from_numpy(parts.tree.nodes).to(network.device)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch."""
        config, lengths = self.config, self.lengths
        if self.soft is not None:
            return self.sampler.taught(
                epoch, config.batch_size, lengths.history, config.targets, self.soft, self._passes
            )
        if config.samples == "user":
            return self.sampler.users(epoch, config.batch_size, lengths.sampled, config.targets)
        return self.sampler.interactions(epoch, config.batch_size, lengths.sampled)

    def n_batches(self) -> int:
        """Batches in an epoch."""
        sampler = self.sampler
        if self.soft is not None:
            samples = len(self.soft.users) * self._passes
        elif self.config.samples == "user":
            samples = len(np.unique(sampler.train.users[sampler.targets]))
        else:
            samples = int(np.count_nonzero(sampler.targets))
        return -(-samples // self.config.batch_size)

    def loss(self, batch: Batch, rng: np.random.Generator) -> dict[str, Tensor]:
        """The four losses, each unweighted; one whose weight is 0 is left out."""
        config, network = self.config, self.network
        users = network.encode(self.inputs.users(batch.indptr, batch.history, self.lengths.tokens))
        found: dict[str, Tensor] = {}
        if config.rec_weight:
            found["rec"] = generation_loss(self._log_likelihoods(users, batch))
        if not (config.index_weight or config.bpr_weight or config.contrastive_weight):
            return found
        items = self._items(batch, rng)
        encoded = network.encode(self._item_inputs(items, batch, rng))
        if config.index_weight:
            targets = np.unique(np.concatenate([items.positive, items.negative]))
            rows = torch.from_numpy(targets).to(network.device)
            nodes = self.nodes[torch.from_numpy(items.distinct[targets]).to(network.device)][:, None]
            found["index"] = generation_loss(network.log_likelihood(encoded.rows(rows), nodes))
        if config.bpr_weight:
            found["bpr"] = self._ranking_loss(users.pooled, encoded.pooled, items, batch)
        if config.contrastive_weight and items.has_sibling.any():
            chosen = items.has_sibling
            anchor, near, far = (
                encoded.pooled[torch.from_numpy(index[chosen]).to(network.device)]
                for index in (items.positive, items.sibling, items.negative)
            )
            found["contrastive"] = bpr_loss(anchor, near, far)
        if not found:  # L_c is all there is, and no target has a sibling
            found["contrastive"] = 0.0 * encoded.pooled.sum()
        return found

    def total(self, found: dict[str, Tensor]) -> Tensor:
        """The weighted sum."""
        return sum((getattr(self.config, f"{name}_weight") * value for name, value in found.items()), torch.zeros(()))

    def _log_likelihoods(self, users: Encoded, batch: Batch) -> Tensor:
        """(n_targets, codes): the targets of a sample share its encoding."""
        most = int(batch.places.max(initial=0)) + 1
        items = np.zeros((len(batch.users), most), np.int64)
        items[batch.rows, batch.places] = batch.targets
        device = self.network.device
        found = self.network.log_likelihood(users, self.nodes[torch.from_numpy(items).to(device)])
        return found[torch.from_numpy(batch.rows).to(device), torch.from_numpy(batch.places).to(device)]

    def _items(self, batch: Batch, rng: np.random.Generator) -> Items:
        owners = batch.users[batch.rows]
        pool = np.unique(batch.targets) if self.config.negative_sampling == "batch" else None
        negative = self.sampler.negatives(rng, owners, unlike=batch.targets, among=pool)
        sibling = self.sampler.siblings(rng, batch.targets)
        has_sibling = sibling >= 0
        if not self.config.contrastive_weight:
            has_sibling[:] = False
        sibling = np.where(has_sibling, sibling, negative)
        distinct, index = np.unique(np.concatenate([batch.targets, negative, sibling]), return_inverse=True)
        positive, negative, sibling = np.split(index, 3)
        return Items(distinct, positive, negative, sibling, has_sibling)

    def _item_inputs(self, items: Items, batch: Batch, rng: np.random.Generator) -> Inputs:
        """An item is never shown with the users of the batch, one of whom it may be the target of."""
        indptr, users = self.sampler.users_of(rng, items.distinct, self.lengths.users, batch.users)
        if self.config.index_inputs == "release":
            is_sibling = np.zeros(len(items.distinct), bool)
            is_sibling[items.sibling[items.has_sibling]] = True
            kept = np.repeat(is_sibling, np.diff(indptr))
            users = users[kept]
            indptr = np.concatenate([[0], np.cumsum(np.diff(indptr) * is_sibling)])
        return self.inputs.items(items.distinct, indptr, users, self.lengths.tokens)

    def _ranking_loss(self, users: Tensor, encoded: Tensor, items: Items, batch: Batch) -> Tensor:
        """L_bpr, from h of the samples (n, d) and of the distinct items (m, d)."""
        device = self.network.device
        rows = torch.from_numpy(batch.rows).to(device)
        positive = torch.from_numpy(items.positive).to(device)
        if self.config.negative_sampling == "uniform":
            return bpr_loss(users[rows], encoded[positive], encoded[torch.from_numpy(items.negative).to(device)])
        targets, places = np.unique(items.positive, return_inverse=True)
        candidates, columns = items.distinct[targets], torch.from_numpy(places).to(device)
        new = torch.from_numpy(new_to(self.sampler.train, batch.users, candidates)).to(device)
        new[rows, columns] = False  # what a user's samples have for targets are no negatives of theirs, taught ones too
        scores = (users @ encoded[torch.from_numpy(targets).to(device)].T).float()[rows]
        of_targets = scores.gather(1, columns[:, None])[:, 0]
        if self.config.loss == "bpr":
            return bpr(of_targets, scores, new[rows])
        # An item is in a batch about as often as it was interacted with.
        log_q = torch.from_numpy(np.maximum(self.sampler.counts[candidates], 1)).to(device).log()
        return sampled_softmax(of_targets, scores, new[rows], (log_q[columns], log_q))
