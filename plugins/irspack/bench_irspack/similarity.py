"""The largest values of each row of a product of sparse matrices, by irspack's compiled computer.

It is what irspack's own recommenders call. It is called directly because they offer no way to ask for the neighbours of
a user who is not in train, and none to give weights to the steps of a walk. No product is held as a whole.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench_irspack.matrix import threads


class Neighbours:
    """Finds those of ``rows`` (m, d) that are nearest to other rows, by inner product or by cosine.

    ``shrink`` is added to the product of the norms of a cosine.
    """

    def __init__(self, rows: sp.csr_matrix, *, cosine: bool, shrink: float = 0.0) -> None:
        from irspack.recommenders._knn import CosineSimilarityComputer

        self._computer = CosineSimilarityComputer(rows, shrink, cosine, threads())

    def of(self, others: sp.csr_matrix, k: int) -> sp.csr_matrix:
        """(n, m): the ``k`` largest values of each of ``others`` (n, d), no more than are above 0."""
        return self._computer.compute_similarity(others, k)


def without_self(found: sp.csr_matrix, own: NDArray[np.int64], k: int) -> sp.csr_matrix:
    """At most ``k`` entries of each row, the largest ones but that of its ``own`` column; ties by index.

    ``found`` (len(own), m) has at most ``k + 1`` in a row.
    """
    rows = np.repeat(np.arange(len(own)), np.diff(found.indptr))
    itself = found.indices == own[rows]
    order = np.lexsort((found.indices, -found.data, itself, rows))
    place = np.empty(len(rows), np.int64)
    place[order] = np.arange(len(rows)) - found.indptr[:-1][rows]
    kept = ~itself & (place < k)
    return sp.csr_matrix((found.data[kept], (rows[kept], found.indices[kept])), shape=found.shape)
