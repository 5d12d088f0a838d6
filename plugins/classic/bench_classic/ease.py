"""EASE: a linear auto-encoder with a closed form (Steck, WWW 2019, arXiv:1905.03375)."""

from typing import Annotated

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from pydantic import Field

from bench import Context, Interactions, ModelConfig, Recommender, Search
from bench_classic.matrix import matrix


class EASEConfig(ModelConfig):
    """EASE has one hyper-parameter."""

    l2: Annotated[float, Field(gt=0), Search(1.0, 1e4, log=True)] = 250.0
    """λ, the L2 penalty; the paper tunes it between 1 and 10,000, RecBole's default is 250."""


class EASE(Recommender):
    """Linear auto-encoder over items with a zero diagonal, solved exactly."""

    Config = EASEConfig
    deterministic = True
    state = ("weights", "popularity")

    weights: NDArray[np.float32]
    """(n_items, n_items): B of the paper; 4 · n_items² bytes, and up to twice as much again while fitting."""

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """P = (XᵀX + λI)⁻¹; B = I − P · diag(1 / diag P), eq. 8 of the paper, by an in-place Cholesky inverse."""
        self.popularity = train.popularity
        x = matrix(train)
        gram = (x.T @ x).toarray(order="F")
        gram[np.diag_indices_from(gram)] += np.float32(self.config.l2)
        context.log(f"inverting a {len(gram):,} × {len(gram):,} matrix")
        factor, info = scipy.linalg.lapack.spotrf(gram, lower=1, overwrite_a=1)
        if info == 0:
            factor, info = scipy.linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
        if info != 0:
            raise ValueError(f"XᵀX + λI cannot be inverted in single precision (LAPACK info {info}): raise l2")
        precision = _mirrored(factor)
        precision /= -np.diag(precision).copy()
        np.fill_diagonal(precision, 0)
        self.weights = precision

    def score(self, users: NDArray[np.int64], history: Interactions) -> NDArray[np.float32]:
        """Sums of the weights from the items of the history."""
        scores: NDArray[np.float32] = matrix(history) @ self.weights
        return scores


def _mirrored(lower: NDArray[np.float32], block: int = 1024) -> NDArray[np.float32]:
    """Fill the upper triangle of a square matrix from its lower one, in place and block by block."""
    for start in range(0, len(lower), block):
        rows = slice(start, start + block)
        square = np.tril(lower[rows, rows])
        lower[rows, rows] = square + np.tril(square, -1).T
        lower[rows, start + block :] = lower[start + block :, rows].T
    return lower
