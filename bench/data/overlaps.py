"""Interactions that stand in two parts of a ready split."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.data.splits import TEST, TRAIN, VALID, Parts

_NAMES = {TRAIN: "train", VALID: "valid", TEST: "test"}


def overlaps(users: NDArray[np.integer[Any]], items: NDArray[np.integer[Any]], parts: Parts) -> dict[str, int]:
    """How many pairs of user and item stand in two parts, by words that say so; arrays (n,), a row each."""
    keys = users.astype(np.int64) * (int(items.max(initial=0)) + 1) + items
    pairs = {part: np.unique(keys[parts == part]) for part in _NAMES}
    found = {
        f"interactions of {_NAMES[one]} are in {_NAMES[other]} too, and count in one of them": len(
            np.intersect1d(pairs[one], pairs[other], assume_unique=True)
        )
        for other, one in combinations(_NAMES, 2)
    }
    return {words: number for words, number in found.items() if number}


def overlaps_of(table: pd.DataFrame) -> dict[str, int]:
    """:func:`overlaps` of a table with the columns ``user``, ``item`` and ``part``."""
    users, items = (pd.factorize(table[name])[0] for name in ("user", "item"))
    return overlaps(users, items, table["part"].to_numpy(np.int8))
