"""Sequences side by side in rows of a fixed width, so that short ones cost no padding.

A layer sees a row as one sequence, and :attr:`Rows.segments` says what belongs together. Where the text says *packed*,
every item of a sequence has the next one as its target; with *prefixes*, each beginning of a sequence is a sequence of
its own with one target behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench import Interactions
from bench_torchkit.ragged import row_of, within

Targets = Literal["packed", "prefixes"]

TIME_BUCKETS = 64
"""Of the logarithm of the seconds between two interactions; the last one begins after 96 years."""


@dataclass(frozen=True)
class Rows:
    """n sequences in R rows of width W; all int64."""

    items: Tensor
    """(R, W): item ids; ``n_items`` where a row has nothing."""
    segments: Tensor
    """(R, W): which sequence of the row it is, from 0; −1 where a row has nothing."""
    places: Tensor
    """(R, W): place in the sequence, 0 for the oldest item; 0 where a row has nothing."""
    ages: Tensor
    """(R, W): how many items of the sequence are later; 0 for the latest, and where a row has nothing."""
    times: Tensor
    """(R, W): seconds since 1970; 0 where a row has nothing."""
    last: Tensor
    """(n,): where in the flattened rows the latest item of each sequence stands."""

    def to(self, device: str | torch.device) -> Rows:
        return Rows(*(getattr(self, field.name).to(device) for field in fields(self)))

    @cached_property
    def together(self) -> Tensor:
        """(R, W, W): whether two places belong to the same sequence."""
        return self.segments[:, :, None] == self.segments[:, None, :]

    @cached_property
    def before(self) -> Tensor:
        """(R, W, W): whether the second place is the first one or an earlier one of the same sequence."""
        width = self.items.shape[1]
        return self.together & torch.ones(width, width, dtype=torch.bool, device=self.items.device).tril()

    @cached_property
    def time_buckets(self) -> Tensor:
        """(R, W, W): of the seconds between two places, 2 buckets for each doubling, below :data:`TIME_BUCKETS`."""
        return self._time_buckets(self.times)

    @cached_property
    def time_buckets_of_next(self) -> Tensor:
        """(R, W, W): as :attr:`time_buckets`, but from the time of the item behind the first place.

        Behind the latest place of a sequence nothing is known: its own time counts.
        """
        return self._time_buckets(torch.where(self.ages > 0, self.times.roll(-1, 1), self.times))

    def _time_buckets(self, seen_at: Tensor) -> Tensor:
        apart = (seen_at[:, :, None] - self.times[:, None, :]).abs().double()
        return (2 * torch.log2(1 + apart)).long().clamp(max=TIME_BUCKETS - 1)


class Slices(NamedTuple):
    """n sequences as slices of an array of items."""

    begin: NDArray[np.int64]
    """(n,)."""
    lengths: NDArray[np.int64]
    """(n,), at least 1."""

    def take(self, chosen: NDArray[np.int64]) -> Slices:
        return Slices(self.begin[chosen], self.lengths[chosen])

    def positions(self) -> NDArray[np.int64]:
        """(sum of lengths,): of all items, sequence after sequence."""
        return np.repeat(self.begin, self.lengths) + within(self.lengths)


def histories(history: Interactions, most: int) -> Slices:
    """The latest ``most`` items of each row of ``history``, whose rows all have some."""
    lengths = np.minimum(history.lengths, most)
    return Slices(history.indptr[1:] - lengths, lengths)


def training_sequences(train: Interactions, most: int, targets: Targets) -> Slices:
    """Sequences of at most ``most`` items, each of which is followed by a target in the same row of ``train``.

    Packed, a long row becomes several sequences that do not overlap, the last of them ending before the last item.
    """
    known = np.maximum(train.lengths - 1, 0)  # items that have a next one
    if targets == "prefixes":
        length = within(known) + 1
        begin = np.repeat(train.indptr[:-1], known)
        return Slices(begin + np.maximum(length - most, 0), np.minimum(length, most))
    pieces = -(-known // most)
    number = within(pieces)
    end = np.repeat(train.indptr[:-1] + known, pieces) - number * most
    begin = np.maximum(end - most, np.repeat(train.indptr[:-1], pieces))
    return Slices(begin, end - begin)


def pack(train: Interactions, slices: Slices, width: int) -> Rows:
    """Lay sequences into rows, the longest first, each into the current row or a new one."""
    order = np.argsort(-slices.lengths, kind="stable")
    row, column = np.zeros(len(order), np.int64), np.zeros(len(order), np.int64)
    at, free, segment = -1, 0, np.zeros(len(order), np.int64)
    for sequence, length in zip(order.tolist(), slices.lengths[order].tolist(), strict=True):
        if length > free:
            at, free, number = at + 1, width, 0
        row[sequence], column[sequence], segment[sequence] = at, width - free, number
        free -= length
        number += 1
    starts = row * width + column
    place = within(slices.lengths)
    cells = np.repeat(starts, slices.lengths) + place
    positions = slices.positions()
    shape = (at + 1, width)
    return Rows(
        items=_spread(cells, train.items[positions], shape, train.n_items),
        segments=_spread(cells, np.repeat(segment, slices.lengths), shape, -1),
        places=_spread(cells, place, shape, 0),
        ages=_spread(cells, np.repeat(slices.lengths, slices.lengths) - 1 - place, shape, 0),
        times=_spread(cells, train.times[positions], shape, 0),
        last=torch.from_numpy(starts + slices.lengths - 1),
    )


def _spread(cells: NDArray[np.int64], values: NDArray[np.generic], shape: tuple[int, int], empty: int) -> Tensor:
    found = np.full(shape, empty, np.int64)
    found.reshape(-1)[cells] = values
    return torch.from_numpy(found)


class Batch(NamedTuple):
    """Sequences with their targets."""

    rows: Rows
    at: Tensor
    """(t,): where in the flattened rows the items stand that have a target."""
    targets: Tensor
    """(t,): the item that follows each."""
    users: NDArray[np.int64]
    """(t,): the user of each target."""

    def split(self, parts: int) -> list[Batch]:
        """The batch in at most ``parts`` parts of whole rows, which together are the batch."""
        if parts == 1:
            return [self]
        found = []
        for rows in torch.arange(len(self.rows.items)).tensor_split(parts):
            width = self.rows.items.shape[1]
            begin, end = (int(at) * width for at in (rows[0], rows[-1] + 1)) if len(rows) else (0, 0)
            own, last = ((at >= begin) & (at < end) for at in (self.at, self.rows.last))
            if own.any():
                of_rows = {field.name: getattr(self.rows, field.name)[rows] for field in fields(Rows)[:-1]}
                some = Rows(**of_rows, last=self.rows.last[last] - begin)
                found.append(Batch(some, self.at[own] - begin, self.targets[own], self.users[own.numpy()]))
        return found


class Sequences:
    """Batches of the training rows of ``train``."""

    def __init__(self, train: Interactions, most: int, targets: Targets, batch_size: int) -> None:
        self.train = train
        self._slices = training_sequences(train, most, targets)
        self._users = row_of(train.indptr, self._slices.begin)
        self._targets = targets
        self._width = most
        self._batch_size = batch_size

    def __len__(self) -> int:
        """Batches of an epoch."""
        return -(-len(self._slices.lengths) // self._batch_size)

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        """All sequences once, in random order."""
        order = rng.permutation(len(self._slices.lengths))
        for begin in range(0, len(order), self._batch_size):
            yield self._batch(order[begin : begin + self._batch_size])

    def _batch(self, chosen: NDArray[np.int64]) -> Batch:
        slices, users = self._slices.take(chosen), self._users[chosen]
        rows = pack(self.train, slices, self._width)
        ends = slices.begin + slices.lengths
        if self._targets == "prefixes":
            return Batch(rows, rows.last, torch.from_numpy(self.train.items[ends].astype(np.int64)), users)
        positions = slices.positions()
        at = np.repeat(rows.last.numpy() - slices.lengths + 1, slices.lengths) + within(slices.lengths)
        targets = torch.from_numpy(self.train.items[positions + 1].astype(np.int64))
        return Batch(rows, torch.from_numpy(at), targets, np.repeat(users, slices.lengths))
