"""Rows of different lengths, without loops over rows: ``values[indptr[r]:indptr[r + 1]]`` is row ``r``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer[Any]]


def padded(indptr: Ints, rows: Ints, most: int | None = None) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Positions (n, longest) of the values of ``rows``, 0 behind the last of a row, and a mask of what is a value.

    With ``most``, only of the first so many values of each row.
    """
    lengths = np.diff(indptr)[rows]
    if most is not None:
        lengths = np.minimum(lengths, most)
    places = np.arange(int(lengths.max(initial=0)))
    mask = places < lengths[:, None]
    return np.where(mask, indptr[:-1][rows][:, None] + places, 0), mask


def latest(indptr: Ints, values: Ints, most: int) -> NDArray[np.int64]:
    """(n, most): the last ``most`` values of each row, latest first, −1 where a row has fewer."""
    places = np.arange(most)
    mask = places < np.diff(indptr)[:, None]
    at = np.where(mask, indptr[1:][:, None] - 1 - places, 0)
    return np.where(mask, values[at] if len(values) else 0, -1).astype(np.int64)
