"""RP3β: random walks of three steps that are held back from popular items (Paudel et al., ACM TiiS 7(1), 2017)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from pydantic import Field

from bench import Context, Interactions, ModelConfig, Recommender, Search
from bench_irspack.matrix import matrix
from bench_irspack.similarity import Neighbours, without_self


class RP3betaConfig(ModelConfig):
    """Exponents of the walk and size of the neighbourhood."""

    alpha: Annotated[float, Field(ge=0), Search(0.0, 2.0)] = 0.5
    """Exponent of the probability of each step (α): 1 is a random walk, less tells active users and popular items
    apart less."""
    beta: Annotated[float, Field(ge=0), Search(0.0, 2.0)] = 0.1
    """Exponent of an item's interactions, by which its score is divided (β): the higher, the fewer popular items."""
    neighbours: Annotated[int, Field(ge=1), Search(5, 1000, log=True)] = 100
    """Items kept from which each item is reached, itself not among them."""


class RP3beta(Recommender):
    """Walks from the items of the history over their users to other items, popular ones held back."""

    Config = RP3betaConfig
    deterministic = True
    state = ("weights", "popularity")

    weights: sp.csr_matrix
    """(n_items, n_items) float32: row i holds where walks from i end."""

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """``weights[i, j] = Σ_u p(i → u)^α · p(u → j)^α / d_j^β`` for i ≠ j, of which each j keeps the largest.

        As in the evaluation of Ferrari Dacrema et al. (ACM TOIS 39(2), 2021), which brought α from P3α and neighbours
        to the paper's model. irspack's own RP3beta has no α for interactions that are all 1, and counts walks that come
        back to their item.
        """
        config: RP3betaConfig = self.config
        self.popularity = train.popularity
        x = matrix(train)
        of_users, of_items = _degrees(train.lengths), _degrees(self.popularity)
        from_item = sp.diags_array(of_items**-config.alpha) @ x.T
        to_item = sp.diags_array(of_items**-config.beta) @ x.T @ sp.diags_array(of_users**-config.alpha)
        found = Neighbours(sp.csr_matrix(from_item), cosine=False).of(sp.csr_matrix(to_item), config.neighbours + 1)
        near = without_self(found, np.arange(train.n_items), config.neighbours)
        self.weights = sp.csr_matrix(near.T, dtype=np.float32)

    def score(self, users: NDArray[np.int64], history: Interactions) -> NDArray[np.float32]:
        """Sums over the items of the history; the first step, which is the same for all of them, changes no order."""
        scores: NDArray[np.float32] = (matrix(history) @ self.weights).toarray()
        return scores


def _degrees(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Counts to divide by, those of users and items without interactions too."""
    return np.maximum(counts, 1).astype(np.float64)
