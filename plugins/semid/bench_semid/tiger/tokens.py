"""Histories as rows of tokens: the codes of each item, one behind the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from bench_torchkit.ragged import within
from bench_torchkit.rows import Rows, Slices, pack, training_sequences
from bench_torchkit.tree import Tree
from numpy.typing import NDArray
from torch import Tensor

from bench import Interactions


def as_tokens(interactions: Interactions, tree: Tree) -> Interactions:
    """The same rows with ``tree.length`` tokens for each item: code c of level t is token t · K + c."""
    tokens = tree.codes[interactions.items] + np.arange(tree.length, dtype=np.int32) * tree.width
    times = np.repeat(interactions.times, tree.length)
    n_tokens = tree.length * tree.width
    return Interactions(interactions.indptr * tree.length, tokens.reshape(-1).astype(np.int32), times, n_tokens)


def tokens_of(train: Interactions, slices: Slices, tree: Tree) -> Interactions:
    """Rows of the tokens of ``slices`` of ``train``."""
    at, indptr = slices.positions(), np.concatenate([[0], np.cumsum(slices.lengths)])
    return as_tokens(Interactions(indptr, train.items[at], train.times[at], train.n_items), tree)


class TokenBatch(NamedTuple):
    """Sequences with their targets."""

    rows: Rows
    """Of tokens; where a row has nothing, the number of tokens."""
    at: Tensor
    """(t · length,): where the states stand that predict, those of an item one behind the other."""
    targets: Tensor
    """(t, length): codes of the items that are predicted."""

    def to(self, device: torch.device) -> TokenBatch:
        return TokenBatch(self.rows.to(device), self.at.to(device), self.targets.to(device))


class PackedTokens:
    """Batches of the training rows: all items but the first of a sequence are predicted, each of their codes from all
    tokens before it.
    """

    def __init__(self, train: Interactions, tree: Tree, most: int, batch_size: int) -> None:
        self._train, self._tree = train, tree
        self._slices = training_sequences(train, most, "packed")
        self._width = (most + 1) * tree.length - 1
        self._batch_size = batch_size

    def __len__(self) -> int:
        """Batches of an epoch."""
        return -(-len(self._slices.lengths) // self._batch_size)

    def batches(self, rng: np.random.Generator) -> Iterator[TokenBatch]:
        """All sequences once, in random order."""
        order = rng.permutation(len(self._slices.lengths))
        for begin in range(0, len(order), self._batch_size):
            yield self._batch(self._slices.take(order[begin : begin + self._batch_size]))

    def _batch(self, items: Slices) -> TokenBatch:
        length = self._tree.length
        tokens = tokens_of(self._train, Slices(items.begin, items.lengths + 1), self._tree)
        # What goes in ends before the last code of the last target.
        slices = Slices(tokens.indptr[:-1], tokens.lengths - 1)
        rows = pack(tokens, slices, self._width)
        counts = items.lengths * length
        begin = rows.last.numpy() - slices.lengths + length
        at = np.repeat(begin, counts) + within(counts)
        behind = np.repeat(slices.begin + length, counts) + within(counts)
        codes = tokens.items[behind].reshape(-1, length) - np.arange(length) * self._tree.width
        return TokenBatch(rows, torch.from_numpy(at), torch.from_numpy(codes.astype(np.int64)))


class PrefixBatch(NamedTuple):
    """Beginnings of sequences, each with one target."""

    items: Tensor
    """(n, W): tokens from the left; the number of tokens behind the last."""
    targets: Tensor
    """(n, length): codes of the item that follows."""

    def to(self, device: torch.device) -> PrefixBatch:
        return PrefixBatch(*(part.to(device) for part in self))


class PrefixTokens:
    """Batches of all beginnings of the training rows."""

    def __init__(self, train: Interactions, tree: Tree, most: int, batch_size: int) -> None:
        self._train, self._tree = train, tree
        self._slices = training_sequences(train, most, "prefixes")
        self._batch_size = batch_size

    def __len__(self) -> int:
        """Batches of an epoch."""
        return -(-len(self._slices.lengths) // self._batch_size)

    def batches(self, rng: np.random.Generator) -> Iterator[PrefixBatch]:
        """All beginnings once, in random order."""
        order = rng.permutation(len(self._slices.lengths))
        for begin in range(0, len(order), self._batch_size):
            slices = self._slices.take(order[begin : begin + self._batch_size])
            tokens = tokens_of(self._train, slices, self._tree)
            items = torch.from_numpy(tokens.padded(fill=tokens.n_items))
            targets = self._tree.codes[self._train.items[slices.begin + slices.lengths]]
            yield PrefixBatch(items, torch.from_numpy(targets.astype(np.int64)))


def one_a_row(history: Interactions, tree: Tree, most: int) -> Rows:
    """Rows of tokens of the latest ``most`` items of each row of ``history``, from the left; all have some."""
    tokens = as_tokens(history.latest(most), tree)
    lengths = tokens.lengths
    items = torch.from_numpy(tokens.padded(fill=tokens.n_items))
    inside = items < tokens.n_items
    place = torch.arange(items.shape[1]).expand_as(items) * inside
    starts = np.arange(len(lengths)) * items.shape[1]
    nothing = torch.zeros_like(items)
    segments = torch.where(inside, 0, -1)
    return Rows(items, segments, place, nothing, nothing, torch.from_numpy(starts + lengths - 1))


def groups(lengths: NDArray[np.int64], most: int) -> Iterator[NDArray[np.int64]]:
    """Numbers of rows of similar ``lengths``, the longest first, at most ``most`` at a time."""
    order = np.argsort(-lengths, kind="stable")
    for begin in range(0, len(order), most):
        yield order[begin : begin + most]
