"""The published checks of a model, and each model against its definition."""

import numpy as np
import pytest
from bench_classic.ease import EASE, EASEConfig
from bench_classic.itemknn import ItemKNN, ItemKNNConfig
from bench_classic.popularity import Popularity, Random
from pydantic import ValidationError

from bench.testing import LocalContext, MemorySplit, ModelChecks, block_interactions, interactions_from


class TestRandom(ModelChecks):
    name = "random"


class TestPopularity(ModelChecks):
    name = "pop"


class TestItemKNN(ModelChecks):
    name = "itemknn"


class TestEASE(ModelChecks):
    name = "ease"


def dense(interactions):
    matrix = np.zeros(interactions.shape)
    matrix[interactions.users, interactions.items] = 1
    return matrix


def fitted(model, data, tmp_path):
    model.fit(data.train, data.valid, LocalContext(model, data, tmp_path))
    return model


@pytest.fixture(params=[0, 1, 2])
def data(request):
    return block_interactions(n_users=80, n_items=36 + 7 * request.param, noise=0.5, seed=request.param)


@pytest.mark.parametrize("l2", [1.0, 250.0])
def test_ease_is_its_closed_form(data, l2, tmp_path):
    x = dense(data.train)
    p = np.linalg.inv(x.T @ x + l2 * np.eye(x.shape[1]))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0)
    model = fitted(EASE(EASEConfig(l2=l2)), data, tmp_path)
    np.testing.assert_allclose(model.weights, b, atol=2e-5)


def test_ease_says_when_items_alike_leave_nothing_to_invert(tmp_path):
    train = interactions_from([[0, 1]] * 4 + [[2]], 3)  # 4, whose root is exact
    lost = EASE(EASEConfig(l2=1e-30))  # beside the counts, in single precision
    with pytest.raises(ValueError, match=r"cannot be inverted in single precision .* raise l2"):
        fitted(lost, MemorySplit(train, train), tmp_path)


def test_ease_inverts_matrices_larger_than_its_blocks(tmp_path):
    """The triangle is mirrored in blocks of 1,024 items."""
    rng = np.random.default_rng(0)
    rows = [rng.choice(1100, 5, replace=False).tolist() for _ in range(300)]
    data = MemorySplit(interactions_from(rows, 1100), interactions_from([[]] * 300, 1100))
    x = dense(data.train)
    p = np.linalg.inv(x.T @ x + 10 * np.eye(1100))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0)
    np.testing.assert_allclose(fitted(EASE(EASEConfig(l2=10)), data, tmp_path).weights, b, atol=2e-5)


def cosine(x, shrink):
    """Similarity of every pair of items, by its definition."""
    n_items = x.shape[1]
    found = np.zeros((n_items, n_items))
    for i in range(n_items):
        for j in range(n_items):
            norms = np.sqrt(x[:, i].sum() * x[:, j].sum())
            if i != j and norms > 0:
                found[i, j] = x[:, i] @ x[:, j] / (norms + shrink)
    return found


@pytest.mark.parametrize("shrink", [0.0, 5.0])
@pytest.mark.parametrize("neighbours", [3, 1000])
def test_itemknn_is_brute_force_cosine(data, neighbours, shrink, tmp_path):
    x = dense(data.train)
    similar = cosine(x, shrink)
    users = np.flatnonzero(data.train.lengths)
    model = fitted(ItemKNN(ItemKNNConfig(neighbours=neighbours, shrink=shrink)), data, tmp_path)
    kept = model.similarity.toarray()  # column j: the neighbours of item j
    for item in range(data.train.n_items):
        best = np.sort(similar[:, item])[::-1][:neighbours]
        np.testing.assert_allclose(np.sort(kept[:, item])[::-1][: len(best)], best, atol=1e-6)
        assert np.count_nonzero(kept[:, item]) <= neighbours
    np.testing.assert_allclose(kept[kept > 0], similar[kept > 0], atol=1e-6)
    known = data.train.select(users)
    found = model.recommend(users, known, known, 5)
    scores = np.where(x > 0, -np.inf, x @ kept)[users]
    np.testing.assert_allclose(found.scores, -np.sort(-scores, axis=1)[:, :5], atol=1e-5)


@pytest.mark.parametrize(
    ("config", "bad"), [(EASEConfig, {"l2": 0.0}), (ItemKNNConfig, {"neighbours": 0}), (ItemKNNConfig, {"shrink": -1})]
)
def test_values_that_mean_nothing_are_refused(config, bad):
    with pytest.raises(ValidationError, match=next(iter(bad))):
        config(**bad)


def test_popularity_counts_train_interactions(data, tmp_path):
    model = fitted(Popularity(Popularity.Config()), data, tmp_path)
    counts = dense(data.train).sum(axis=0)
    np.testing.assert_array_equal(model.counts, counts)
    empty = interactions_from([[]], data.train.n_items)
    order = sorted(range(data.train.n_items), key=lambda item: (-counts[item], item))
    assert model.recommend(np.array([0]), empty, empty, 10).items[0].tolist() == order[:10]


def test_random_lists_differ_between_users(tmp_path):
    data = block_interactions(n_users=40, n_items=200)
    model = fitted(Random(Random.Config()), data, tmp_path)
    nothing = interactions_from([[]] * 40, 200)
    items = model.recommend(np.arange(40), nothing, nothing, 5).items
    assert len(np.unique(items, axis=0)) == 40
