"""The graph of users and items against dense matrices."""

import numpy as np
import pytest
import torch
from bench_torchkit import graph
from bench_torchkit.testing import dense_adjacency

from bench.testing import interactions_from

TINY = interactions_from([[0, 1, 2], [2, 3], [], [1, 3, 4, 0, 2], [4]], 6)  # user 2 and item 5 have no interactions


def test_adjacency_is_normalized_by_both_degrees():
    np.testing.assert_allclose(graph.normalized_adjacency(TINY).toarray(), dense_adjacency(TINY), atol=1e-7)


def test_singular_vectors_of_a_matrix_of_low_rank_are_the_same_each_time():
    rng = np.random.default_rng(3)
    rows = [sorted(set(rng.integers(0, 30, 8).tolist())) for _ in range(60)]
    matrix = graph.normalized_adjacency(interactions_from(rows, 40))[:60, 60:]  # ten items of nobody: rank 30 at most
    first, again = (graph.singular_vectors(matrix, 64, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("size", [4, 12])
def test_singular_vectors_are_those_of_a_dense_matrix(size):
    """As a whole, and by the iterative method."""
    rng = np.random.default_rng(4)
    matrix = graph.normalized_adjacency(interactions_from([rng.permutation(40)[:9].tolist() for _ in range(60)], 40))
    found = graph.singular_vectors(matrix[:60, 60:], size, np.random.default_rng(1))
    left, values, right = np.linalg.svd(matrix[:60, 60:].toarray().astype(np.float64))
    expected = np.concatenate([left[:, :size], right[:size].T]) * np.sqrt(values[:size])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-6)


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_propagation_is_the_mean_of_powers(layers):
    ego = np.random.default_rng(0).normal(size=(11, 4))
    matrix = graph.as_tensor(graph.normalized_adjacency(TINY).astype(np.float64), "cpu")
    found = graph.propagate(torch.from_numpy(ego), matrix, layers).numpy()
    powers = [np.linalg.matrix_power(dense_adjacency(TINY), layer) @ ego for layer in range(layers + 1)]
    np.testing.assert_allclose(found, np.mean(powers, axis=0), atol=1e-6)
