"""Hold out training targets from the embeddings the network is initialized with.

Collaborative vectors know every interaction that they were trained on. Embeddings made of them have therefore already
drawn each train target towards its user's history, and a network that is trained on such targets learns to rely on a
nearness that no new interaction has. So a share of the train interactions is held out: a second set of vectors is
trained without it, the network learns with these to predict what was held out, and recommends with the first set, which
knows all. Both sets lie in one space, up to a rotation that is found from the items.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench import Interactions
from bench_colarec.items.vectors import Vectors
from bench_colarec.network.network import Network

_HELD_OUT = 5
"""Place in the randomness of the seed."""


def hold_out(train: Interactions, share: float, seed: int) -> NDArray[np.bool_]:
    """(n_interactions,): a random ``share`` of the interactions, none of a user who has only one."""
    chosen = np.random.default_rng([seed, _HELD_OUT]).random(len(train)) < share
    return chosen & (train.lengths > 1)[train.users]


def aligned(vectors: Vectors, like: Vectors) -> Vectors:
    """``vectors`` rotated such that its items lie as near as possible to those of ``like`` (orthogonal Procrustes)."""
    left, _, right = np.linalg.svd(vectors.items.T.astype(np.float64) @ like.items)
    turn = left @ right
    return Vectors((vectors.users @ turn).astype(np.float32), (vectors.items @ turn).astype(np.float32))


class EmbeddingSwap:
    """Switches the embeddings of a network between those for training and those for recommending.

    What training changes is kept: the difference between the two initial values is added and taken away again.
    """

    def __init__(self, network: Network, training: list[Tensor], recommending: list[Tensor]) -> None:
        self._embeddings = embeddings(network)
        self._differences = [known - unseen for unseen, known in zip(training, recommending, strict=True)]

    def to_recommending(self) -> None:
        """Let the embeddings know all train interactions."""
        self._add(1)

    def to_training(self) -> None:
        """The inverse of :meth:`to_recommending`."""
        self._add(-1)

    @contextmanager
    def recommending(self) -> Iterator[None]:
        """:meth:`to_recommending` within a block."""
        self.to_recommending()
        yield
        self.to_training()

    @torch.no_grad()
    def _add(self, sign: int) -> None:
        for embedding, difference in zip(self._embeddings, self._differences, strict=True):
            embedding.add_(difference.to(embedding.device), alpha=sign)


def embeddings(network: Network) -> list[Tensor]:
    """The parameters that are initialized from vectors."""
    return [network.table.weight, *(book.get_parameter("weight") for book in network.codebooks.inputs)]
