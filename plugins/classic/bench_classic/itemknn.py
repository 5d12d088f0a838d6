"""Item-kNN on the cosine of item columns (Sarwar et al., WWW 2001; Deshpande & Karypis, TOIS 2004)."""

from typing import Annotated

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from pydantic import Field

from bench import UNFILLED, Context, Interactions, ModelConfig, Recommender, Search, top_k
from bench.topk import chunk_size
from bench_classic.matrix import matrix


class ItemKNNConfig(ModelConfig):
    """Neighbourhood and shrinkage."""

    neighbours: Annotated[int, Field(ge=1), Search(5, 1000, log=True)] = 100
    """Most similar items kept for each item; RecBole's default."""
    shrink: Annotated[float, Field(ge=0), Search(0.0, 1000.0)] = 40.0
    """Added to the product of norms, so that few common users count less. RecBole's default is 0, which is far behind
    wherever items have few users."""


class ItemKNN(Recommender):
    """An item scores the sum of its similarities to the items of the history."""

    Config = ItemKNNConfig
    deterministic = True
    state = ("similarity", "popularity")

    similarity: sp.csr_matrix
    """(n_items, n_items) float32: column j holds the similarities of j's neighbours to j."""

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Cosines by blocks of items, of which the best ``neighbours`` stay; ties by item index."""
        self.popularity = train.popularity
        x = matrix(train)
        columns = x.T.tocsr()
        norms = np.sqrt(self.popularity).astype(np.float32)
        size = chunk_size(train.n_items)
        rows, others, values = [], [], []
        for start in range(0, train.n_items, size):
            block = np.arange(start, min(start + size, train.n_items))
            scores = (columns[block] @ x).toarray()
            scores /= norms[block, None] * norms + np.float32(self.config.shrink) + np.float32(1e-9)
            scores[np.arange(len(block)), block] = -np.inf
            scores[scores == 0] = -np.inf
            best = top_k(scores, min(self.config.neighbours, train.n_items))
            row, slot = np.nonzero(best.items != UNFILLED)
            rows.append(block[row])
            others.append(best.items[row, slot])
            values.append(best.scores[row, slot])
            context.progress(int(block[-1]) + 1, train.n_items, "item")
        neighbours = (np.concatenate(values), (np.concatenate(others), np.concatenate(rows)))
        self.similarity = sp.csr_matrix(neighbours, shape=(train.n_items, train.n_items))

    def score(self, users: NDArray[np.int64], history: Interactions) -> NDArray[np.float32]:
        """Items without a neighbour in the history score 0 and come last, by item index."""
        scores: NDArray[np.float32] = (matrix(history) @ self.similarity).toarray()
        return scores
