"""Two models without personalisation: the floor under every table."""

import numpy as np
from numpy.typing import NDArray

from bench import Context, Interactions, Recommender


class Popularity(Recommender):
    """Every user gets the items with the most train interactions."""

    deterministic = True
    personalized = False
    state = ("counts",)

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Count: (n_items,) float32."""
        self.counts = train.popularity.astype(np.float32)

    def score(self, users: NDArray[np.int64], history: Interactions) -> NDArray[np.float32]:
        """The counts, for everybody."""
        return np.tile(self.counts, (len(users), 1))


class Random(Recommender):
    """Every user gets a random list, always the same for the same user and seed."""

    personalized = False
    state = ("seed",)

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Learn nothing."""
        self.seed = context.seed

    def score(self, users: NDArray[np.int64], history: Interactions) -> NDArray[np.float32]:
        """A generator per user, so that a list does not depend on who else is asked for."""
        found = np.empty(history.shape, np.float32)
        for row, user in enumerate(users):
            found[row] = np.random.default_rng((int(self.seed), int(user))).random(history.n_items, dtype=np.float32)
        return found
