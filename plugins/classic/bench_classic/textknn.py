"""Recommending by content alone: items whose texts are like those of the history (Pazzani & Billsus 2007)."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from pydantic import Field

from bench import Context, Interactions, ModelConfig, Recommender, Search
from bench_classic.graph import latest
from bench_classic.texts import normalized, required_text_vectors, similarities


class TextKNNConfig(ModelConfig):
    """Which items of the history speak for a user."""

    recent: Annotated[int, Field(ge=1), Search(1, 100, log=True)] = 10
    """The latest ones, at most so many."""
    recency_decay: Annotated[float, Field(gt=0, le=1), Search(0.2, 1.0)] = 0.7
    """How much one of them counts against the next later one; 1: all count the same."""


class TextKNN(Recommender):
    """Items whose texts have the words of the latest items' texts; without a history, what is popular."""

    Config = TextKNNConfig
    deterministic = True
    state = ("texts", "popularity")

    texts: sp.csr_matrix
    """(n_items, n_words) float32: tf-idf vectors."""

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Read the texts."""
        self.popularity = train.popularity
        self.texts = required_text_vectors(context, "textknn")

    def score(self, users: NDArray[np.int64], history: Interactions) -> NDArray[np.float32]:
        """Cosine of each item's vector and the mean of those of the history; 0 without words in common."""
        start = latest(history, self.config.recent, self.config.recency_decay)
        return similarities(normalized(sp.csr_matrix(start @ self.texts)), self._words)

    @cached_property
    def _words(self) -> sp.csr_matrix:
        return self.texts.T.tocsr()
