"""Models that know what they must not, each by another way."""

import numpy as np

from bench.contract import Interactions, ModelConfig, hookimpl
from bench.data.dataset import load_interactions
from bench.evaluation.topk import rank


class Config(ModelConfig):
    pass


class Cheat:
    """Recommends what lies in some matrix that it should not use."""

    Config = Config
    deterministic = True

    def __init__(self, config):
        self.config = config

    def recommend(self, users, history, exclude, k):
        def score(rows):
            scores = np.zeros((len(rows), exclude.n_items), np.float32)
            own = self.known.select(users[rows])
            scores[own.users, own.items] = 1
            return scores

        return rank(score, exclude, k)

    def save(self, folder):
        pass

    def load(self, folder, device):
        pass


class FindsTest(Cheat):
    """Looks for the test arrays beside the folder of its split."""

    def fit(self, train, valid, context):
        seen = context._split.path
        self.known = load_interactions(seen.parent.parent / "tests" / seen.name, "test", train.n_items)


class LearnsValid(Cheat):
    """Trains on the validation items."""

    def fit(self, train, valid, context):
        self.known = Interactions(valid.indptr, valid.items, valid.times, valid.n_items)


class ReadsIds(Cheat):
    """Believes that an item's neighbours by id are like it."""

    def fit(self, train, valid, context):
        pass

    def recommend(self, users, history, exclude, k):
        n = history.n_items

        def score(rows):
            scores = np.zeros((len(rows), n), np.float32)
            for row, user in enumerate(rows):
                own = history.items[history.indptr[user] : history.indptr[user + 1]]
                for distance in (1, 2, 3):
                    for item in (own - distance, own + distance):
                        np.add.at(scores[row], item % n, 1 / distance)
            return scores

        return rank(score, exclude, k)


CHEATS = {"cheat-finds-test": FindsTest, "cheat-learns-valid": LearnsValid, "cheat-reads-ids": ReadsIds}


@hookimpl
def bench_model(name):
    return CHEATS[name]
