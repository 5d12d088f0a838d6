"""Rows of different lengths, without loops over rows: ``values[indptr[r]:indptr[r + 1]]`` is row ``r``.

What :class:`bench.Interactions` does itself (``select``, ``latest``, ``padded``, ``contains``) is not here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer[Any]]


def pointers(lengths: Ints) -> NDArray[np.int64]:
    """(n + 1,): where rows of these ``lengths`` (n,) begin and end."""
    found = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=found[1:])
    return found


def row_of(indptr: Ints, places: Ints) -> NDArray[np.int64]:
    """(n,): the row in which each of ``places`` (n,) stands."""
    return (np.searchsorted(indptr, places, side="right") - 1).astype(np.int64)


def within(lengths: Ints) -> NDArray[np.int64]:
    """(sum of lengths,): 0, 1, 2, … within each row."""
    begin = pointers(lengths)
    return np.arange(begin[-1]) - np.repeat(begin[:-1], lengths)


def gather(indptr: Ints, rows: Ints) -> NDArray[np.int64]:
    """Positions of all values of ``rows``, row after row."""
    lengths = np.diff(indptr)[rows]
    return within(lengths) + np.repeat(indptr[:-1][rows], lengths)


def padded(indptr: Ints, rows: Ints, most: int | None = None) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Positions (n, longest) of the values of ``rows`` (n,), 0 behind the last of a row, and a mask of what is a value.

    With ``most``, only of the first so many values of each row.
    """
    lengths = np.diff(indptr)[rows]
    if most is not None:
        lengths = np.minimum(lengths, most)
    places = np.arange(int(lengths.max(initial=0)))
    mask = places < lengths[:, None]
    return np.where(mask, indptr[:-1][rows][:, None] + places, 0), mask


def latest_first(indptr: Ints, values: Ints, most: int) -> NDArray[np.int64]:
    """(n, most): the last ``most`` values of each row, latest first, -1 where a row has fewer."""
    places = np.arange(most)
    mask = places < np.diff(indptr)[:, None]
    at = np.where(mask, indptr[1:][:, None] - 1 - places, 0)
    return np.where(mask, values[at] if len(values) else 0, -1).astype(np.int64)


def sample(rng: np.random.Generator, lengths: Ints, most: Ints, never: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Choose at random, without replacement, at most ``most[r]`` values of row ``r``, none of ``never``.

    Parameters
    ----------
    rng
        Source of randomness.
    lengths, most
        (n,) length of each row, and how many values to choose from it.
    never
        (sum of lengths,) values that must not be chosen.

    Returns
    -------
    Mask (sum of lengths,): every set of the right size is equally likely.
    """
    rows = np.repeat(np.arange(len(lengths)), lengths)
    keys = rng.random(len(rows)) + never  # what must not be chosen comes last
    order = np.lexsort((keys, rows))
    chosen = np.zeros(len(rows), bool)
    chosen[order] = within(lengths) < np.repeat(most, lengths)
    return chosen & ~never
