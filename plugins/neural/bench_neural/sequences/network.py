"""From rows of items to states, and from states to scores of items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from bench_torchkit import next_item
from bench_torchkit.dropout import Dropout
from bench_torchkit.rows import Rows
from torch import Tensor, nn
from torch.nn.functional import normalize

Positions = Literal["start", "end", "none"]


class Network(next_item.Network):
    """Vectors of items, blocks over them, and the score of an item: the product of its vector and a state.

    Parameters
    ----------
    make_block
        Makes one block; see :mod:`bench_neural.sequences.layers`.
    item_dropout
        In training, of the vectors of items that states are compared with.
    positions
        From where places are counted for their vectors: from the oldest item, or from the latest one.
    initial_range
        Standard deviation of the initial weights.
    temperature
        None: scores are plain products. Otherwise products of vectors of length 1, divided by it.
    norm
        Where there is one beside those of the blocks: before the first block, or, for blocks that begin with theirs,
        behind the last one; then items are multiplied by √size, so that they are as large as places.
    """

    def __init__(
        self,
        n_items: int,
        size: int,
        length: int,
        layers: int,
        dropout: float,
        make_block: Callable[[], nn.Module],
        *,
        item_dropout: float = 0.0,
        positions: Positions = "start",
        initial_range: float = 0.02,
        temperature: float | None = None,
        norm: Literal["before", "behind"] = "before",
    ) -> None:
        super().__init__(n_items, length)
        self.positions, self.temperature = positions, temperature
        self.items = nn.Embedding(n_items + 1, size)
        self.places = nn.Embedding(length, size)
        self.before, self.behind = (nn.LayerNorm(size) if norm == where else None for where in ("before", "behind"))
        self.dropout, self.item_dropout = Dropout(dropout), Dropout(item_dropout)
        self.blocks = nn.ModuleList([make_block() for _ in range(layers)])
        self.apply(lambda module: _initialize(module, initial_range))
        if self.before is None:
            nn.init.normal_(self.places.weight, 0.0, size**-0.5)

    def states(self, rows: Rows, at: Tensor) -> Tensor:
        """(t, d): of the places ``at`` (t,) of the flattened rows."""
        x = self.items(rows.items)
        if self.before is None:
            x = x * x.shape[2] ** 0.5
        if self.positions != "none":
            x = x + self.places(rows.places if self.positions == "start" else rows.ages)
        x = self.dropout(x if self.before is None else self.before(x))
        everywhere = torch.arange(rows.items.numel(), device=rows.items.device)
        for block in self.blocks[:-1]:
            x = block(x, rows, everywhere).view(x.shape)
        out: Tensor = self.blocks[-1](x, rows, at)
        if self.temperature is not None:
            return normalize(out, dim=1) / self.temperature
        return out if self.behind is None else self.behind(out)

    def scores(self, states: Tensor) -> Tensor:
        """(t, n_items): products with the vectors of items."""
        return states @ self.item_vectors().T

    def item_vectors(self, items: Tensor | None = None) -> Tensor:
        """(n, d): of ``items`` (n,), or of all."""
        vectors = self.item_dropout(self.items.weight[: self.n_items] if items is None else self.items(items))
        return vectors if self.temperature is None else normalize(vectors, dim=-1)


def _initialize(module: nn.Module, initial_range: float) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, 0.0, initial_range)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
