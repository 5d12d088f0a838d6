"""The item tower: what is read of an item, layers over it, and what the item has of its own."""

from __future__ import annotations

import numpy as np
import torch
from bench_torchkit.item_texts import minilm_vectors, texts_of
from bench_torchkit.ragged import gather, pointers
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import embedding, normalize

from bench import Context
from bench_neural.towers.config import TwoTowerConfig
from bench_neural.towers.words import Bags, bags

_INSTEAD = "use two-tower@id"


class WordLayer(nn.Module):
    """A linear layer over bags of words, computed from the words that are there."""

    def __init__(self, read: Bags, n_buckets: int, size: int) -> None:
        super().__init__()
        self._indptr = read.indptr
        self._buckets, self._weights = torch.from_numpy(read.buckets), torch.from_numpy(read.weights)
        self.table = nn.Parameter(torch.empty(n_buckets, size))
        # A bag has length 1, so its sum has the length of one row.
        nn.init.normal_(self.table, std=size**-0.5)
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, items: NDArray[np.int64]) -> Tensor:
        """(n, size): of ``items`` (n,)."""
        at = torch.from_numpy(gather(self._indptr, items))
        begin = torch.from_numpy(pointers(np.diff(self._indptr)[items])[:-1])
        device = self.table.device
        found = nn.functional.embedding_bag(
            self._buckets[at].to(device),
            self.table,
            begin.to(device),
            mode="sum",
            per_sample_weights=self._weights[at].to(device),
        )
        return found + self.bias


class VectorLayer(nn.Module):
    """A linear layer over fixed vectors."""

    def __init__(self, vectors: NDArray[np.float32], size: int) -> None:
        super().__init__()
        self.vectors: Tensor
        # No weight, and the same in every attempt: a checkpoint need not hold it.
        self.register_buffer("vectors", torch.from_numpy(vectors), persistent=False)
        self.linear = nn.Linear(vectors.shape[1], size)
        # Sentence vectors have length 1 and so entries far below those that the usual initial weights are made for.
        nn.init.normal_(self.linear.weight, std=1.0)

    def forward(self, items: NDArray[np.int64]) -> Tensor:
        """(n, size): of ``items`` (n,)."""
        found: Tensor = self.linear(embedding(torch.from_numpy(items).to(self.vectors.device), self.vectors))
        return found


class ItemTower(nn.Module):
    """Layers over texts, and vectors by id."""

    def __init__(self, config: TwoTowerConfig, first: WordLayer | VectorLayer | None, own: Tensor | None) -> None:
        super().__init__()
        self.of_texts: nn.ModuleList | None = None
        if first is not None:
            last = nn.Linear(config.hidden_size, config.embedding_size)
            self.of_texts = nn.ModuleList([first, nn.PReLU(), nn.Dropout(config.dropout), last])
        self.own = None if own is None else nn.Parameter(own)
        self.normalize = config.normalize

    def forward(self, items: NDArray[np.int64]) -> tuple[Tensor, Tensor | None]:
        """(n, d) vectors of ``items`` (n,), and what of them is their own."""
        found, own = torch.zeros(()), None
        if self.own is not None:
            found = own = embedding(torch.from_numpy(items).to(self.own.device), self.own)
        if self.of_texts is not None:
            text, *layers = self.of_texts
            read = text(items)
            for layer in layers:
                read = layer(read)
            found = read if own is None else read + own
        return (normalize(found, dim=1) if self.normalize else found), own


def read_texts(config: TwoTowerConfig, context: Context) -> Bags | NDArray[np.float32] | None:
    """What the item tower reads: bags of words, vectors (n_items, 384), or nothing."""
    if config.text == "none":
        return None
    if config.text == "words":
        return bags(texts_of(context.item_texts(), "two-tower", _INSTEAD), config.hash_buckets)
    return minilm_vectors(context, "two-tower", "text=minilm", _INSTEAD)


def first_layer(config: TwoTowerConfig, read: Bags | NDArray[np.float32] | None) -> WordLayer | VectorLayer | None:
    """The layer that reads it."""
    if read is None:
        return None
    if isinstance(read, Bags):
        return WordLayer(read, config.hash_buckets, config.hidden_size)
    return VectorLayer(read, config.hidden_size)
