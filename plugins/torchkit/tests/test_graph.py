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


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_propagation_is_the_mean_of_powers(layers):
    ego = np.random.default_rng(0).normal(size=(11, 4))
    matrix = graph.as_tensor(graph.normalized_adjacency(TINY).astype(np.float64), "cpu")
    found = graph.propagate(torch.from_numpy(ego), matrix, layers).numpy()
    powers = [np.linalg.matrix_power(dense_adjacency(TINY), layer) @ ego for layer in range(layers + 1)]
    np.testing.assert_allclose(found, np.mean(powers, axis=0), atol=1e-6)
