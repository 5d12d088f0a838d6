"""The teacher of the preset ``distilled``, and a model of its own: collaborative vectors, with EASE mixed in.

A generator that is taught by it can be no news beyond it; as a row of its own it shows what the generator kept.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from bench_classic.ease import EASE, EASEConfig
from bench_classic.matrix import matrix
from numpy.typing import NDArray

from bench import Context, Interactions, Recommender
from bench_colarec.config import PRESETS, TeacherConfig
from bench_colarec.items.vectors import Vectors
from bench_colarec.prepare import collaborative


class Teacher(Recommender):
    """LightGCN from singular vectors, with EASE mixed in: what ColaRec's preset distilled is taught by."""

    Config = TeacherConfig
    presets: ClassVar = {"default": {"cold_texts": PRESETS["distilled"]["cold_texts"]}}
    fold_in = False
    state = ("users", "items", "weights", "popularity")

    users: NDArray[np.float32]
    """(n_users, d): vectors."""
    items: NDArray[np.float32]
    """(n_items, d): vectors."""
    weights: NDArray[np.float32]
    """(n_items, n_items): EASE's; empty while it has none."""

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Vectors, stopped by validation, then EASE in closed form."""
        self.weights = np.zeros((0, 0), np.float32)
        self.popularity = train.popularity
        self.teach_by(collaborative(self.config, train, context, self._publish), train, valid, context)

    def teach_by(self, vectors: Vectors, train: Interactions, valid: Interactions, context: Context) -> None:
        """The part of :meth:`fit` behind the vectors."""
        self._publish(vectors)
        if self.config.ease_weight:
            ease = EASE(EASEConfig(l2=self.config.ease_l2))
            ease.fit(train, valid, context)
            self.weights = ease.weights
            if vectors.twins is not None:
                cold = np.flatnonzero(vectors.twins != np.arange(train.n_items))
                self.weights[:, cold] = self.weights[:, vectors.twins[cold]]

    def score(self, users: NDArray[np.int64], history: Interactions) -> NDArray[np.float32]:
        """Products of the vectors and EASE's scores, each standardized over the items of a user, and weighted."""
        found = standardized(self.users[users] @ self.items.T)
        if len(self.weights):
            found += np.float32(self.config.ease_weight) * standardized(matrix(history) @ self.weights)
        return found

    def _publish(self, vectors: Vectors) -> None:
        self.users, self.items = vectors.users, vectors.items


def standardized(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows shifted and scaled to mean 0 and standard deviation 1, in place; constant rows become 0."""
    scores -= scores.mean(axis=1, keepdims=True)
    deviation = np.sqrt(np.einsum("ij,ij->i", scores, scores) / scores.shape[1])
    scores /= np.where(deviation > 0, deviation, 1)[:, None].astype(np.float32)
    return scores
