"""EASE: a linear auto-encoder with a closed form (Steck, WWW 2019, arXiv:1905.03375)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.contract import Context, Interactions, ModelConfig, Recommendations, hookimpl
from bench.evaluation.topk import rank


class EASEConfig(ModelConfig):
    """EASE has one hyper-parameter."""

    l2: float = 250.0
    """λ, the L2 penalty; the paper tunes it between 1 and 10,000, RecBole's default is 250."""


def matrix(interactions: Interactions) -> sp.csr_matrix:
    """(n_users, n_items) float32, 1 where there is an interaction."""
    ones = np.ones(len(interactions), np.float32)
    return sp.csr_matrix((ones, interactions.items, interactions.indptr), shape=interactions.shape)


class EASE:
    """Linear auto-encoder over items with a zero diagonal, solved exactly."""

    Config = EASEConfig
    deterministic: ClassVar[bool] = True

    weights: NDArray[np.float32]
    """(n_items, n_items): B of the paper; 4 · n_items² bytes, and as much again while fitting."""

    def __init__(self, config: EASEConfig) -> None:
        self.config = config

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """P = (XᵀX + λI)⁻¹; B = I − P · diag(1 / diag P), eq. 8 of the paper, by an in-place Cholesky inverse."""
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

    def recommend(
        self, users: NDArray[np.int64], history: Interactions, exclude: Interactions, k: int
    ) -> Recommendations:
        """Scores are the sums of the weights from the items of the history."""
        x = matrix(history)
        return rank(lambda rows: x[rows] @ self.weights, exclude, k)

    def save(self, folder: Path) -> None:
        """One array."""
        np.save(folder / "weights.npy", self.weights)

    def load(self, folder: Path, device: str) -> None:
        """See :meth:`save`."""
        self.weights = np.load(folder / "weights.npy", mmap_mode="r")


def _mirrored(lower: NDArray[np.float32], block: int = 1024) -> NDArray[np.float32]:
    """Fill the upper triangle of a square matrix from its lower one, in place and block by block."""
    for start in range(0, len(lower), block):
        rows = slice(start, start + block)
        square = np.tril(lower[rows, rows])
        lower[rows, rows] = square + np.tril(square, -1).T
        lower[rows, start + block :] = lower[start + block :, rows].T
    return lower


@hookimpl
def bench_model(name: str) -> type:
    """The model of this file."""
    return EASE
