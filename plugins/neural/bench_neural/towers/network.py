"""Both towers, and what a batch needs of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from bench import Interactions
from bench_neural.collaborative.histories import Histories, summed, without_target
from bench_neural.collaborative.losses import Scored
from bench_neural.collaborative.sampling import Batch
from bench_neural.towers.config import TwoTowerConfig
from bench_neural.towers.items import ItemTower

_ITEMS_AT_ONCE = 4096
"""Items whose texts are read at a time for recommending."""


class UserTower(nn.Module):
    """A history's sum of item vectors, and layers over it that add to it."""

    def __init__(self, config: TwoTowerConfig) -> None:
        super().__init__()
        size, hidden = config.embedding_size, config.hidden_size
        self.layers = nn.Sequential(
            nn.Linear(size, hidden), nn.PReLU(), nn.Dropout(config.dropout), nn.Linear(hidden, size)
        )
        self.config = config

    def forward(self, items: Tensor, known: Histories) -> Tensor:
        """(n, d): of n histories, of vectors (n_items, d) of items."""
        read = summed(items, known, self.config.length_power)
        found: Tensor = read + self.layers(read)
        return (normalize(found, dim=1) if self.config.normalize else found) / self.config.temperature


class Vectors(NamedTuple):
    """Of a batch."""

    scored: Scored
    """Of users, positives and negatives."""
    own: Tensor | None
    """(v, d): what the distinct items of the batch have by id, before anything is added."""


class TwoTowers(nn.Module):
    """Users and items of a batch as vectors; each item is read once, however often the batch has it."""

    def __init__(self, config: TwoTowerConfig, items: ItemTower, bias: Tensor | None) -> None:
        super().__init__()
        self.users, self.items = UserTower(config), items
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, batch: Batch, train: Interactions, weights: NDArray[np.float32]) -> Vectors:
        """Of a batch of ``train``, whose interactions weigh ``weights`` in histories."""
        known = without_target(train, weights, batch.places)
        assert known.left_out is not None
        positives, negatives = known.left_out, batch.negatives.cpu()
        distinct = np.unique(torch.cat([known.items, positives, negatives]).numpy())
        place = torch.zeros(train.n_items, dtype=torch.int64)
        place[torch.from_numpy(distinct)] = torch.arange(len(distinct))
        vectors, own = self.items(distinct)
        known = known._replace(items=place[known.items], left_out=place[positives]).to(vectors.device)
        parts = (place[part].to(vectors.device) for part in (positives, negatives))
        rows = (nn.functional.embedding(part, vectors) for part in parts)
        return Vectors(Scored(self.users(vectors, known), *rows), own)

    def all_items(self, n_items: int) -> Tensor:
        """(n_items, d)."""
        parts = (np.arange(n_items)[begin : begin + _ITEMS_AT_ONCE] for begin in range(0, n_items, _ITEMS_AT_ONCE))
        return torch.cat([self.items(part)[0] for part in parts])
