"""Vectors of users and items, learned by id and perhaps propagated over the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from bench_torchkit.graph import as_tensor, normalized_adjacency, propagate, singular_vectors
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import embedding

from bench import Interactions
from bench_neural.collaborative.config import MFConfig
from bench_neural.collaborative.losses import Scored
from bench_neural.collaborative.sampling import Batch, popularity_shares

_NOISE = 0.1
"""Standard deviation of random initial values, as in the code of LightGCN's authors."""


class Factors(nn.Module):
    """A row for each node, which is a user or an item, users first; with layers, what is scored is propagated."""

    def __init__(self, config: MFConfig, train: Interactions, seed: int, device: str, layers: int = 0) -> None:
        super().__init__()
        self.n_users = train.n_users
        self.layers = layers
        adjacency = normalized_adjacency(train)
        values = initial_values(config, adjacency, train.n_users, np.random.default_rng([seed, 0]))
        self.nodes = nn.Parameter(torch.from_numpy(values))
        self.bias = nn.Parameter(log_popularity(train)) if config.item_bias else None
        self.to(device)
        # Not a buffer: it is no weight, and a checkpoint need not hold it.
        self.graph = as_tensor(adjacency, device) if layers else None

    def forward(self) -> Tensor:
        """(n_users + n_items, d): what is scored."""
        return self.nodes if self.graph is None else propagate(self.nodes, self.graph, self.layers)

    def scored(self, batch: Batch) -> tuple[Scored, Scored]:
        """Vectors of a batch: those that are scored, and those before propagation."""
        parts = (batch.users, batch.positives + self.n_users, batch.negatives + self.n_users)
        # One look-up, since each would have a gradient as large as the table.
        places, sizes = torch.cat(parts), [len(part) for part in parts]
        own = Scored(*torch.split(embedding(places, self.nodes), sizes))
        return (own if self.graph is None else Scored(*torch.split(embedding(places, self()), sizes))), own


def initial_values(config: MFConfig, adjacency: Any, n_users: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(n_users + n_items, d): singular vectors, and noise where there are not enough of them."""
    size = config.embedding_size
    values = rng.normal(0, _NOISE, (adjacency.shape[0], size))
    if config.init == "svd":
        found = singular_vectors(adjacency[:n_users, n_users:], size, rng)
        values[:, : found.shape[1]] = config.initial_length * found
    return values.astype(np.float32)


def log_popularity(train: Interactions) -> Tensor:
    """(n_items,) float32: with vectors of 0, the scores of which softmax makes the popularity of items."""
    counts = popularity_shares(train) * len(train)
    return torch.from_numpy(np.log1p(counts).astype(np.float32))
