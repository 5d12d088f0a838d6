"""``foul:NAME`` is popularity that calls the function NAME of one of the modules in ``fit``."""

import numpy as np

from bench import Recommender
from foul import ends, events, outputs, values


def family(name):
    wanted = name.partition(":")[2].replace("-", "_")
    actions = [vars(module)[wanted] for module in (ends, events, outputs, values) if wanted in vars(module)]

    class Foul(Recommender):
        """Popularity with a sting."""

        deterministic = True
        personalized = False
        state = ("counts",)

        def fit(self, train, valid, context):
            self.counts = np.bincount(train.items, minlength=train.n_items).astype(np.float32)
            actions[0](context)

        def score(self, users, history):
            return np.tile(self.counts, (len(users), 1))

    return Foul
