"""Sorting interactions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def within_users(users: NDArray[np.integer[Any]], values: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """The order (n,) by user, then value, ties as they stand.

    ``users`` are below 2³¹ and ``values`` from 0 to below 2³², so that both fit into one integer: sorting that takes
    half the time of sorting by two keys.
    """
    return np.argsort((users.astype(np.int64) << 32) | values, kind="stable")
