"""The graph of users and items: its normalized adjacency, propagation over it, and its singular vectors.

A node is a user or an item: n = n_users + n_items, users first. Equations are those of He et al., LightGCN, SIGIR 2020,
arXiv:2002.02126.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag

from bench import Interactions

_FEW = 4
"""Matrices with at most so many times the wanted vectors, on their small side, are decomposed as a whole."""
_NOTHING = 1e-7
"""Singular values below this share of the largest are 0: they are roots of what rounding leaves of a square."""


def normalized_adjacency(train: Interactions) -> Any:
    """D^-½ A D^-½ of eq. 8, sparse float32 (n, n) with n = n_users + n_items, users first."""
    ones = np.ones(len(train), np.float32)
    matrix = sp.csr_array((ones, train.items, train.indptr), shape=train.shape)
    both: Any = sp.block_array([[None, matrix], [matrix.T, None]], format="csr")
    root = np.sqrt(np.maximum(both.sum(axis=1), 1))
    scale: Any = sp.diags_array(1 / root)
    return sp.csr_array(scale @ both @ scale, dtype=np.float32)


def as_tensor(matrix: Any, device: str) -> Tensor:
    """The same matrix in torch's CSR form, int32 indices."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int32)),
            torch.from_numpy(matrix.indices.astype(np.int32)),
            torch.from_numpy(matrix.data),
            size=matrix.shape,
            check_invariants=False,  # scipy holds them; torch 2.5 wrongly finds an empty one to break them
        ).to(device)


class _Propagation(torch.autograd.Function):
    """The mean of E, ÂE, Â²E, … (eq. 8). Â is symmetric, so the gradient is propagated by the same rule."""

    @staticmethod
    def forward(ctx: Any, ego: Tensor, matrix: Tensor, layers: int) -> Tensor:
        ctx.matrix, ctx.layers = matrix, layers
        return _mean_of_layers(ego, matrix, layers)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _mean_of_layers(gradient, ctx.matrix, ctx.layers), None, None


def _mean_of_layers(values: Tensor, matrix: Tensor, layers: int) -> Tensor:
    total = values.clone()
    for _ in range(layers):
        values = _product(matrix, values)
        total += values
    return total.div_(layers + 1)


def _product(matrix: Tensor, values: Tensor) -> Tensor:
    """``matrix @ values``; on a CPU as weighted sums of rows, in less than half the time of the sparse product."""
    if values.device.type != "cpu":
        return matrix @ values
    return embedding_bag(
        matrix.col_indices(),
        values,
        matrix.crow_indices(),
        per_sample_weights=matrix.values(),
        mode="sum",
        include_last_offset=True,
    )


def propagate(ego: Tensor, matrix: Tensor, layers: int) -> Tensor:
    """Final embeddings (n, d) of ``ego`` (n, d): the mean over 0 … ``layers`` propagations by ``matrix`` = Â."""
    return _Propagation.apply(ego, matrix, layers)  # type: ignore[no-any-return, no-untyped-call]


def singular_vectors(matrix: Any, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Rows of U·Σ^½ over those of V·Σ^½, (n_users + n_items, ≤ size), scaled to length 1, or 0 where there is nothing.

    There are at most min(matrix.shape) - 1 columns, the most that the iterative method can find. Where there is little
    beyond what is asked for, all are computed: where the iteration has found everything, it goes on from a vector that
    no seed decides.
    """
    most = min(size, min(matrix.shape) - 1) if matrix.nnz else 0
    if most < 1:
        return np.zeros((sum(matrix.shape), 0))
    begin = rng.normal(size=min(matrix.shape))
    if min(matrix.shape) <= _FEW * size:
        left, values, right = _of_products(matrix.astype(np.float64), most)
    else:
        left, values, right = scipy.sparse.linalg.svds(matrix.astype(np.float64), k=most, v0=begin)
    rows = np.concatenate([left, right.T]) * np.sqrt(np.maximum(values, 0))
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    # What is far from all leading vectors has rounding errors for a direction.
    return np.asarray(np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 1e-6 * lengths.max()))


def _of_products(matrix: Any, most: int) -> Any:
    """U, Σ and Vᵀ of the ``most`` largest singular values, ascending, by the products of rows on the small side.

    Memory is that of (small side)² and of what is returned.
    """
    if matrix.shape[0] < matrix.shape[1]:
        left, values, right = _of_products(matrix.T, most)
        return right.T, values, left.T
    squares, vectors = np.linalg.eigh((matrix.T @ matrix).toarray())
    values, vectors = np.sqrt(np.maximum(squares[-most:], 0)), vectors[:, -most:]
    values[values < _NOTHING * values.max()] = 0
    return (matrix @ vectors) / np.where(values > 0, values, np.inf), values, vectors.T
