"""Two models without personalisation: the floor under every table."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.contract import Context, Interactions, ModelConfig, Recommendations, hookimpl
from bench.evaluation.topk import rank


class PopularityConfig(ModelConfig):
    """Popularity has nothing to configure."""


class Popularity:
    """Every user gets the items with the most train interactions."""

    Config = PopularityConfig
    deterministic: ClassVar[bool] = True

    counts: NDArray[np.float32]
    """(n_items,): train interactions of each item."""

    def __init__(self, config: PopularityConfig) -> None:
        self.config = config

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Count."""
        self.counts = np.bincount(train.items, minlength=train.n_items).astype(np.float32)

    def recommend(
        self, users: NDArray[np.int64], history: Interactions, exclude: Interactions, k: int
    ) -> Recommendations:
        """The most popular items that are not excluded."""
        return rank(lambda rows: np.tile(self.counts, (len(rows), 1)), exclude, k)

    def save(self, folder: Path) -> None:
        """One array."""
        np.save(folder / "counts.npy", self.counts)

    def load(self, folder: Path, device: str) -> None:
        """See :meth:`save`."""
        self.counts = np.load(folder / "counts.npy")


class RandomConfig(ModelConfig):
    """Random has nothing to configure; its seed is that of the cell."""


class Random:
    """Every user gets a random list, always the same for the same user and seed."""

    Config = RandomConfig
    deterministic: ClassVar[bool] = False

    def __init__(self, config: RandomConfig) -> None:
        self.config = config
        self.seed = 0

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Learn nothing."""
        self.seed = context.seed

    def recommend(
        self, users: NDArray[np.int64], history: Interactions, exclude: Interactions, k: int
    ) -> Recommendations:
        """A generator per user, so that a list does not depend on who else is asked for."""

        def score(rows: NDArray[np.int64]) -> NDArray[np.float32]:
            generators = (np.random.default_rng((self.seed, int(user))) for user in users[rows])
            return np.stack([generator.random(exclude.n_items, dtype=np.float32) for generator in generators])

        return rank(score, exclude, k)

    def save(self, folder: Path) -> None:
        """One number."""
        np.save(folder / "seed.npy", self.seed)

    def load(self, folder: Path, device: str) -> None:
        """See :meth:`save`."""
        self.seed = int(np.load(folder / "seed.npy"))


@hookimpl
def bench_model(name: str) -> type:
    """Both models of this file."""
    return {"pop": Popularity, "random": Random}[name]
