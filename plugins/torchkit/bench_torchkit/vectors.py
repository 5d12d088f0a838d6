"""Vectors of users, items or texts, one a row."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Float = TypeVar("Float", bound=np.floating[Any])


def unit_rows(vectors: NDArray[Float]) -> NDArray[Float]:
    """(n, d), of the same precision: rows scaled to length 1, zero rows left as they are."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    found: NDArray[Float] = vectors / lengths
    return found
