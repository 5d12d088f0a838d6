"""User-kNN for implicit feedback: what similar users had (Herlocker et al., SIGIR 1999; Sarwar et al., EC 2000)."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from pydantic import Field

from bench import Context, Interactions, ModelConfig, Recommender, Search
from bench_irspack.matrix import matrix
from bench_irspack.similarity import Neighbours, without_self

Weighting = Literal["none", "idf"]


class UserKNNConfig(ModelConfig):
    """Neighbourhood and similarity."""

    neighbours: Annotated[int, Field(ge=1), Search(5, 1000, log=True)] = 100
    """Most similar train users that a user is compared with."""
    shrink: Annotated[float, Field(ge=0), Search(0.0, 1000.0)] = 0.0
    """Added to the product of norms, so that few common items count less."""
    weighting: Annotated[Weighting, Search(choices=("none", "idf"))] = "idf"
    """Whether all common items count the same, or each by the square of the logarithm of users per user of the item,
    which weighs both rows of a cosine."""


class UserKNN(Recommender):
    """An item scores the sum of the cosines of those similar users who had it.

    The neighbours are found for the history when it is given, among all train users but the user: irspack's computer
    takes any rows. So users who are not in train are served like others, and train itself is the model.
    """

    Config = UserKNNConfig
    deterministic = True
    state = ("train", "popularity")

    train: sp.csr_matrix
    """(n_users, n_items) float32, 1 where there is an interaction."""
    _neighbours: Neighbours | None = None
    _weights: sp.dia_array

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Keep train."""
        self.popularity = train.popularity
        self.train = matrix(train)

    def score(self, users: NDArray[np.int64], history: Interactions) -> NDArray[np.float32]:
        """Where no neighbour had an item it scores 0; ties go to the lower item."""
        config: UserKNNConfig = self.config
        if self._neighbours is None:
            self._weights = sp.diags_array(_weights(self.train, config.weighting))
            rows = sp.csr_matrix(self.train @ self._weights)
            self._neighbours = Neighbours(rows, cosine=True, shrink=config.shrink)
        found = self._neighbours.of(sp.csr_matrix(matrix(history) @ self._weights), config.neighbours + 1)
        near = without_self(found, users, config.neighbours).astype(np.float32)
        scores: NDArray[np.float32] = (near @ self.train).toarray()
        return scores


def _weights(train: sp.csr_matrix, weighting: Weighting) -> NDArray[np.float32]:
    """(n_items,): of the items in a similarity; an item of all users has weight 0 by idf."""
    n_users, n_items = train.shape
    if weighting == "none":
        return np.ones(n_items, np.float32)
    of_items = np.bincount(train.indices, minlength=n_items)
    return np.log(n_users / np.maximum(of_items, 1)).astype(np.float32)
