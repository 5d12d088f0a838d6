"""SLIM: sparse linear weights between items (Ning & Karypis, ICDM 2011), solved by irspack's coordinate descent."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from pydantic import Field

from bench import Context, Interactions, ModelConfig, Recommender, Search
from bench_irspack.matrix import matrix, threads


class SLIMConfig(ModelConfig):
    """Penalties and form of the weights."""

    l1: Annotated[float, Field(gt=0), Search(1e-5, 1.0, log=True)] = 1e-5
    """L1 penalty per user: multiplied by the number of users it is λ of the paper. It makes weights 0."""
    l2: Annotated[float, Field(gt=0), Search(1e-5, 1.0, log=True)] = 0.02
    """L2 penalty per user: multiplied by the number of users it is β of the paper."""
    positive: bool = True
    """Whether weights are at least 0, as in the paper."""
    epochs: Annotated[int, Field(ge=1)] = 100
    """Most passes over the weights of an item."""
    tolerance: Annotated[float, Field(gt=0)] = 1e-4
    """The passes end when no weight has changed by more."""
    reproducible: bool = True
    """Whether irspack solves on one thread, so that runs of one seed give the same lists; else on all that the cell
    has, where the order of a pass depends on which thread was first, and weights differ within the tolerance."""


class SLIM(Recommender):
    """Sparse linear model over items: each item is predicted from others by an elastic net."""

    Config = SLIMConfig
    deterministic = True
    state = ("weights", "popularity")

    weights: sp.csr_matrix
    """(n_items, n_items) float32, zero diagonal: column j holds the weights with which other items predict j."""

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """½‖X − XW‖² + β/2 ‖W‖² + λ ‖W‖₁; a convex problem, whose solution needs no validation on the way."""
        from irspack import SLIMRecommender

        config: SLIMConfig = self.config
        self.popularity = train.popularity
        penalty = config.l1 + config.l2
        found = SLIMRecommender(
            matrix(train),
            alpha=penalty,
            l1_ratio=config.l1 / penalty,
            positive_only=config.positive,
            n_iter=config.epochs,
            tol=config.tolerance,
            n_threads=1 if config.reproducible else threads(),
        )
        context.log(f"solving for the weights of {train.n_items:,} items")
        found.learn()
        self.weights = sp.csr_matrix(found.W, dtype=np.float32)
        context.note("weights_per_item", self.weights.nnz / train.n_items)

    def score(self, users: NDArray[np.int64], history: Interactions) -> NDArray[np.float32]:
        """Sums of the weights from the items of the history."""
        scores: NDArray[np.float32] = (matrix(history) @ self.weights).toarray()
        return scores
