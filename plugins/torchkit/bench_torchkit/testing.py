"""For the tests of models that use torch: import it in ``conftest.py``, before anything else.

On import, torch is left with one thread (the tensors of tests are tiny, and on a busy machine threads wait for each
other), and tokenizers with none of their own.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench import Interactions
from bench.testing import MemorySplit, interactions_from

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def offline() -> Iterator[None]:
    """Nothing is asked of a model hub, as in a worker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        yield


def copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A copy that further training does not change."""
    return {name: value.detach().clone() for name, value in state.items()}


def assert_equal_weights(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Every weight is the same to the last bit."""
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert torch.equal(value, expected[name]), name


def rows_of(matrix: Interactions) -> list[list[int]]:
    """Lists of items, row by row."""
    return [matrix.items[a:b].tolist() for a, b in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True)]


def dense_adjacency(train: Interactions) -> NDArray[np.float64]:
    """(n, n), users first: eq. 8 of LightGCN entry by entry, 1 / √(|N_u| |N_i|) where u and i interacted."""
    n_users, rows = train.n_users, rows_of(train)
    matrix = np.zeros((n_users + train.n_items,) * 2)
    readers = Counter(item for row in rows for item in row)
    for user, row in enumerate(rows):
        for item in row:
            matrix[user, n_users + item] = matrix[n_users + item, user] = 1 / math.sqrt(len(row) * readers[item])
    return matrix


def successors(n_users: int, n_items: int, length: int = 6, seed: int = 0) -> MemorySplit:
    """Every item has one item that always follows it; validation is the item after the last one of train."""
    rng = np.random.default_rng(seed)
    ring = rng.permutation(n_items)
    rows = [
        [int(ring[(start + step) % n_items]) for step in range(length + 1)]
        for start in rng.integers(0, n_items, n_users)
    ]
    return MemorySplit(
        interactions_from([row[:-1] for row in rows], n_items), interactions_from([row[-1:] for row in rows], n_items)
    )


def shake(module: nn.Module) -> None:
    """Make weights of T5 random also where they are ones or zeros, so that nothing can be forgotten without a trace."""
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if "norm" in name:
                weight.mul_(0.5 + torch.rand_like(weight))
            if "relative_attention_bias" in name:
                weight.normal_(std=2.0)
