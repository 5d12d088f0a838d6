"""What a history says of a user: the weighted mean of the vectors of its items, without the one to be predicted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from bench_torchkit.ragged import gather, pointers, row_of
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding, embedding_bag

from bench import Interactions


class Histories(NamedTuple):
    """n histories of u distinct users, each perhaps with one item left out."""

    items: Tensor
    """(L,) int64: items of the users, user after user."""
    weights: Tensor
    """(L,): of each."""
    begin: Tensor
    """(u,) int64: where those of a user begin."""
    totals: Tensor
    """(u,): sums of the weights."""
    rows: Tensor
    """(n,) int64: which of the users each history belongs to."""
    left_out: Tensor | None = None
    """(n,) int64: an item that is no part of the history."""
    left_out_weights: Tensor | None = None
    """(n,)."""

    def to(self, device: str | torch.device) -> Histories:
        """All of it on another device."""
        return Histories(*(None if part is None else part.to(device) for part in self))  # type: ignore[arg-type]


def recency(interactions: Interactions, half_life: float | None) -> NDArray[np.float32]:
    """(n_interactions,): weights that halve with every ``half_life`` later items of the same row; 1 without."""
    if half_life is None:
        return np.ones(len(interactions), np.float32)
    later = np.repeat(interactions.indptr[1:] - 1, interactions.lengths) - np.arange(len(interactions))
    return np.exp2(-later / half_life).astype(np.float32)


def histories(interactions: Interactions, weights: NDArray[np.float32], users: NDArray[np.int64]) -> Histories:
    """The rows of ``users`` (n,), with ``weights`` of :func:`recency`."""
    distinct, rows = np.unique(users, return_inverse=True)
    at = gather(interactions.indptr, distinct)
    begin = pointers(interactions.lengths[distinct])
    totals = np.diff(np.concatenate([[0.0], np.cumsum(weights[at], dtype=np.float64)])[begin])
    return Histories(
        torch.from_numpy(interactions.items[at].astype(np.int64)),
        torch.from_numpy(weights[at]),
        torch.from_numpy(begin[:-1]),
        torch.from_numpy(totals.astype(np.float32)),
        torch.from_numpy(rows),
    )


def without_target(train: Interactions, weights: NDArray[np.float32], places: NDArray[np.int64]) -> Histories:
    """The histories that predict the train interactions at ``places`` (n,): all of the user's others."""
    users = row_of(train.indptr, places)
    found = histories(train, weights, users)
    left_out = torch.from_numpy(train.items[places].astype(np.int64))
    return found._replace(left_out=left_out, left_out_weights=torch.from_numpy(weights[places]))


def of_distinct(given: Histories) -> tuple[Tensor, Histories]:
    """The distinct items of the histories, ascending, and the histories with places among these for items."""
    distinct, items = torch.unique(given.items, return_inverse=True)
    left_out = None if given.left_out is None else torch.searchsorted(distinct, given.left_out)
    return distinct, given._replace(items=items, left_out=left_out)


def summed(vectors: Tensor, given: Histories, power: float) -> Tensor:
    """(n, d): weighted sums of ``vectors`` (n_items, d), by the sum of the weights to the ``power``; 0 of no items.

    Sums of a user are computed once, and what is left out is subtracted.
    """
    sums = embedding_bag(given.items, vectors, given.begin, mode="sum", per_sample_weights=given.weights)
    sums, totals = embedding(given.rows, sums), given.totals[given.rows]
    if given.left_out is not None and given.left_out_weights is not None:
        sums = sums - given.left_out_weights[:, None] * embedding(given.left_out, vectors)
        totals = totals - given.left_out_weights
    # Nothing is left of a sum but rounding errors.
    empty = totals < _NOTHING
    scale = torch.where(empty, 0.0, totals.clamp(min=_NOTHING) ** -power)
    return sums * scale[:, None]


_NOTHING = 1e-6
