"""Popularity that fades with time: the floor under tables of data in which taste changes (Ji et al., SIGIR 2020)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bench import Context, Interactions, ModelConfig, Recommender, Search

_DAY = 86_400
"""Seconds."""


class RecentConfig(ModelConfig):
    """How fast popularity fades."""

    half_life: Annotated[float, Field(gt=0), Search(1.0, 3650.0, log=True)] = 365.0
    """Days after which an interaction counts half. Shorter ones suit a test that is cut in time for all users alike."""


class Recent(Recommender):
    """Every user gets the items with the most train interactions, where older ones count less."""

    Config = RecentConfig
    deterministic = True
    personalized = False
    state = ("counts",)

    counts: NDArray[np.float32]
    """(n_items,): sums of ``2^(−age / half_life)``, the age counted back from the latest train interaction."""

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Count. Items whose interactions are all older than some 150 half-lives count 0, like those without any."""
        train.require_times()
        days = (train.times.max() - train.times) / _DAY
        weights = np.exp2(-days / self.config.half_life)
        self.counts = np.bincount(train.items, weights, train.n_items).astype(np.float32)

    def score(self, users: NDArray[np.int64], history: Interactions) -> NDArray[np.float32]:
        """The counts, for everybody."""
        return np.tile(self.counts, (len(users), 1))
