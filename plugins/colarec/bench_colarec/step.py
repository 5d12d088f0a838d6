"""One training step: inputs of a batch, one pass of the encoder over all its items, four losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench_colarec import losses
from bench_colarec.config import ColaRecConfig
from bench_colarec.inputs import Slots
from bench_colarec.network import Encoded, Network
from bench_colarec.sampling import Batch, Sampler
from bench_colarec.tree import Tree

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
    relative: NDArray[np.int64]
    """(n_targets,): likewise; only meaningful where :attr:`has_relative`."""
    has_relative: NDArray[np.bool_]
    """(n_targets,): whether another item shares the prefix of the positive one; if not, L_c leaves the target out."""


class Step:
    """Computes the loss of batches."""

    def __init__(self, config: ColaRecConfig, network: Network, slots: Slots, tree: Tree, sampler: Sampler) -> None:
        self.config = config
        self.network = network
        self.slots = slots
        self.sampler = sampler
        self.lengths = config.input_lengths
        self.nodes = torch.from_numpy(tree.nodes).to(network.device)

    def batches(self, epoch: int) -> Any:
        """The batches of an epoch."""
        config, lengths = self.config, self.lengths
        if config.samples == "user":
            return self.sampler.users(epoch, config.batch, lengths.sampled, config.targets)
        return self.sampler.interactions(epoch, config.batch, lengths.sampled)

    def n_batches(self) -> int:
        """Batches in an epoch."""
        sampler = self.sampler
        users = len(np.unique(sampler.train.users[sampler.targets]))
        samples = users if self.config.samples == "user" else np.count_nonzero(sampler.targets)
        return -(-int(samples) // self.config.batch)

    def loss(self, batch: Batch, rng: np.random.Generator) -> dict[str, Tensor]:
        """The four losses, each unweighted; one whose weight is 0 is left out."""
        config, network = self.config, self.network
        users = network.encode(self.slots.users(batch.indptr, batch.history, self.lengths.tokens))
        found: dict[str, Tensor] = {}
        if config.rec_weight:
            found["rec"] = losses.writing(self._write_targets(users, batch))
        if not (config.index_weight or config.bpr_weight or config.contrastive_weight):
            return found
        items = self._items(batch, rng)
        encoded = network.encode(self._item_inputs(items, batch, rng))
        if config.index_weight:
            written = np.unique(np.concatenate([items.positive, items.negative]))
            rows = torch.from_numpy(written).to(network.device)
            nodes = self.nodes[torch.from_numpy(items.distinct[written]).to(network.device)][:, None]
            found["index"] = losses.writing(network.write(encoded.rows(rows), nodes))
        if config.bpr_weight:
            found["bpr"] = self._ranking(users.summary, encoded.summary, items, batch)
        if config.contrastive_weight and items.has_relative.any():
            chosen = items.has_relative
            anchor, near, far = (
                encoded.summary[torch.from_numpy(index[chosen]).to(network.device)]
                for index in (items.positive, items.relative, items.negative)
            )
            found["contrastive"] = losses.ranking(anchor, near, far)
        return found

    def total(self, found: dict[str, Tensor]) -> Tensor:
        """The weighted sum."""
        return sum((getattr(self.config, f"{name}_weight") * value for name, value in found.items()), torch.zeros(()))

    def _write_targets(self, users: Encoded, batch: Batch) -> Tensor:
        """(n_targets, length): the targets of a sample share its encoding."""
        width = int(batch.slots.max(initial=0)) + 1
        items = np.zeros((len(batch.users), width), np.int64)
        items[batch.rows, batch.slots] = batch.targets
        device = self.network.device
        log_probs = self.network.write(users, self.nodes[torch.from_numpy(items).to(device)])
        return log_probs[torch.from_numpy(batch.rows).to(device), torch.from_numpy(batch.slots).to(device)]

    def _items(self, batch: Batch, rng: np.random.Generator) -> Items:
        owners = batch.users[batch.rows]
        pool = np.unique(batch.targets) if self.config.negatives == "batch" else None
        negative = self.sampler.negatives(rng, owners, unlike=batch.targets, among=pool)
        relative = self.sampler.relatives(rng, batch.targets)
        has_relative = relative >= 0
        if not self.config.contrastive_weight:
            has_relative[:] = False
        relative = np.where(has_relative, relative, negative)
        distinct, index = np.unique(np.concatenate([batch.targets, negative, relative]), return_inverse=True)
        positive, negative, relative = np.split(index, 3)
        return Items(distinct, positive, negative, relative, has_relative)

    def _item_inputs(self, items: Items, batch: Batch, rng: np.random.Generator) -> Any:
        """An item is never shown with the users of the batch, one of whom it may be the target of."""
        indptr, users = self.sampler.users_of(rng, items.distinct, self.lengths.users, batch.users)
        if self.config.index_inputs == "release":
            is_relative = np.zeros(len(items.distinct), bool)
            is_relative[items.relative[items.has_relative]] = True
            kept = np.repeat(is_relative, np.diff(indptr))
            users = users[kept]
            indptr = np.concatenate([[0], np.cumsum(np.diff(indptr) * is_relative)])
        return self.slots.items(items.distinct, indptr, users, self.lengths.tokens)

    def _ranking(self, users: Tensor, encoded: Tensor, items: Items, batch: Batch) -> Tensor:
        device = self.network.device
        rows = torch.from_numpy(batch.rows).to(device)
        positive = torch.from_numpy(items.positive).to(device)
        if self.config.negatives == "uniform":
            return losses.ranking(users[rows], encoded[positive], encoded[torch.from_numpy(items.negative).to(device)])
        targets, columns = np.unique(items.positive, return_inverse=True)
        pairs = np.repeat(batch.users, len(targets)), np.tile(items.distinct[targets], len(batch.users))
        known = self.sampler.is_known(*pairs).reshape(len(batch.users), len(targets))
        compared = (
            users,
            encoded[torch.from_numpy(targets).to(device)],
            rows,
            torch.from_numpy(columns).to(device),
            torch.from_numpy(known).to(device),
        )
        if self.config.match_loss == "bpr":
            return losses.ranking_in_batch(*compared)
        counts = torch.from_numpy(self.sampler.counts[items.distinct[targets]]).to(device)
        return losses.softmax_in_batch(*compared, counts)
