"""Rows of different lengths, without loops over rows: ``values[indptr[r]:indptr[r + 1]]`` is row ``r``."""

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


def within(lengths: Ints) -> NDArray[np.int64]:
    """(sum of lengths,): 0, 1, 2, … within each row."""
    begin = pointers(lengths)
    return np.arange(begin[-1]) - np.repeat(begin[:-1], lengths)


def gather(indptr: Ints, rows: Ints) -> NDArray[np.int64]:
    """Positions of all values of ``rows``, row after row."""
    lengths = np.diff(indptr)[rows]
    return within(lengths) + np.repeat(indptr[:-1][rows], lengths)


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
