"""What goes into a model and what comes out: :class:`Interactions` and :class:`Recommendations`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError

UNFILLED = -1
"""Padding id for the empty positions at the end of a short list. Their score is minus infinity."""

ARRAYS = ("indptr", "items", "times")


@dataclass(frozen=True, slots=True)
class Interactions:
    """Who interacted with what: a sparse users × items matrix by rows, each row in time order."""

    indptr: NDArray[np.int64]
    """(n_users + 1,): row ``u`` is ``items[indptr[u]:indptr[u + 1]]``."""
    items: NDArray[np.int32]
    """(n_interactions,): item ids, oldest first within a row. No item stands twice in a row."""
    times: NDArray[np.int64]
    """(n_interactions,): seconds since 1970."""
    n_items: int
    """Size of the catalogue, not only of the items that occur here."""

    def __len__(self) -> int:
        """Number of interactions."""
        return len(self.items)

    @property
    def n_users(self) -> int:
        return len(self.indptr) - 1

    @property
    def shape(self) -> tuple[int, int]:
        return self.n_users, self.n_items

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(n_users,): interactions per user."""
        return np.diff(self.indptr)

    @property
    def users(self) -> NDArray[np.int64]:
        """(n_interactions,): the row of each interaction."""
        return np.repeat(np.arange(self.n_users), self.lengths)

    @property
    def popularity(self) -> NDArray[np.int64]:
        """(n_items,): how many interactions each item has."""
        return np.bincount(self.items, minlength=self.n_items)

    def require_times(self) -> None:
        """Refuse what has no times; the harness gives one and the same to all interactions of data without any.

        Raises
        ------
        DataError
            If there are no two different times.
        """
        if not (self.times != self.times[:1]).any():
            raise DataError(
                "this model needs to know when things happened, and these data have no times: name their column "
                "in the card, or choose a model that needs none"
            )

    def select(self, users: NDArray[np.integer[Any]]) -> Interactions:
        """The rows of ``users``, in that order, as a matrix of ``len(users)`` rows."""
        lengths = self.lengths[users]
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        at = np.arange(indptr[-1]) + np.repeat(self.indptr[:-1][users] - indptr[:-1], lengths)
        return Interactions(indptr, self.items[at], self.times[at], self.n_items)

    def where(self, chosen: NDArray[np.bool_]) -> Interactions:
        """Only the interactions that the mask ``chosen`` (n_interactions,) names; the rows stay."""
        indptr = np.concatenate([[0], np.cumsum(chosen)])[self.indptr]
        return Interactions(indptr, self.items[chosen], self.times[chosen], self.n_items)

    def latest(self, most: int) -> Interactions:
        """The last ``most`` interactions of each row."""
        from_end = np.repeat(self.indptr[1:], self.lengths) - np.arange(len(self))
        return self.where(from_end <= most)

    def padded(self, length: int | None = None, fill: int = UNFILLED) -> NDArray[np.int64]:
        """(n_users, ``length``): the last ``length`` items of each row, oldest first, ``fill`` behind the last one.

        Without ``length`` the longest row decides, and there is at least one column.
        """
        length = max(1, int(self.lengths.max(initial=0))) if length is None else length
        at = np.maximum(self.indptr[:-1], self.indptr[1:] - length)[:, None] + np.arange(length)
        inside = at < self.indptr[1:, None]
        found = np.full(at.shape, fill, np.int64)
        found[inside] = self.items[at[inside]]
        return found

    def contains(self, users: NDArray[np.integer[Any]], items: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
        """Whether the pairs (``users[i]``, ``items[i]``) are here; both of one shape, which the result has.

        An item id outside the catalogue, such as :data:`UNFILLED`, is in no row. It sorts the rows of these users, so
        it is quick for many pairs of few users and for all pairs at once.
        """
        users, items = np.asarray(users, np.int64), np.asarray(items, np.int64)
        rows, numbers = np.unique(users, return_inverse=True)
        own = self.select(rows)
        width = self.n_items + 1  # column 0 stands for all ids that are no items
        keys = np.sort(own.users * width + own.items + 1)
        inside = (items >= 0) & (items < self.n_items)
        wanted = numbers.reshape(items.shape) * width + np.where(inside, items + 1, 0)
        if not len(keys):
            return np.zeros(items.shape, bool)
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        found: NDArray[np.bool_] = keys[at] == wanted
        return found


class Recommendations(NamedTuple):
    """Top-K lists, best first."""

    items: NDArray[np.int32]
    """(n_users, k): item ids, :data:`UNFILLED` behind the last one where a list is shorter than k."""
    scores: NDArray[np.float32]
    """(n_users, k): higher is better and never rising within a row; minus infinity where unfilled."""


def save_array(path: Path, array: NDArray[Any]) -> None:
    """``np.save`` that notices a full disk: given a real file, numpy does not see that the last bytes were not written.

    Raises
    ------
    OSError
        If the file could not be written as a whole.
    """
    with path.open("wb") as file:
        np.save(SimpleNamespace(write=file.write), array, allow_pickle=False)


def save_interactions(folder: Path, name: str, interactions: Interactions) -> None:
    """Write ``NAME.indptr.npy``, ``NAME.items.npy`` and ``NAME.times.npy``."""
    for array in ARRAYS:
        save_array(folder / f"{name}.{array}.npy", getattr(interactions, array))


def load_interactions(folder: Path, name: str, n_items: int) -> Interactions:
    """Map what :func:`save_interactions` wrote; nothing is read before it is used."""
    indptr, items, times = (np.load(folder / f"{name}.{array}.npy", mmap_mode="r") for array in ARRAYS)
    return Interactions(indptr, items, times, n_items)
