"""Items that share users with those of the history: a place to begin from."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import scipy.sparse as sp
from bench import Context, Interactions, ModelConfig, Recommender, Search
from numpy.typing import NDArray
from pydantic import Field


class MyModelConfig(ModelConfig):
    """What can be set; a field with a ``Search`` is also tuned."""

    damping: Annotated[float, Field(ge=0, le=1), Search(0.0, 1.0)] = 0.5
    """How much popular items are held back: 0 counts the users that two items share, 0.5 is their cosine."""


class MyModel(Recommender):
    """Items that share users with those of the history."""

    Config = MyModelConfig
    deterministic = True  # the lists do not depend on context.seed
    state = ("links", "popularity")  # what recommending needs: it is saved, and loaded in another process

    links: sp.csr_matrix
    """(n_items, n_items) float32."""

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Learn from ``train``; ``valid`` is for choices such as when to stop."""
        self.popularity = train.popularity  # for users without a history, of whom score() would say nothing
        x = as_matrix(train)
        scale = sp.diags(np.maximum(1.0, self.popularity) ** -self.config.damping, dtype=np.float32)
        self.links = sp.csr_matrix(scale @ (x.T @ x) @ scale)
        self.links.setdiag(0)

    def score(self, users: NDArray[np.int64], history: Interactions) -> NDArray[np.float32]:
        """(len(users), n_items): higher is better. Row ``i`` of ``history`` is what may be known of ``users[i]``."""
        scores: NDArray[np.float32] = (as_matrix(history) @ self.links).toarray()
        return scores


def as_matrix(interactions: Interactions) -> sp.csr_matrix:
    """(n_users, n_items) float32, 1 where there is an interaction."""
    ones = np.ones(len(interactions), np.float32)
    return sp.csr_matrix((ones, interactions.items, interactions.indptr), shape=interactions.shape)
