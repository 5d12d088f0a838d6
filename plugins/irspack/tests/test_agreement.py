"""Models of this project and irspack's own recommenders, two implementations of one definition, make the same lists."""

import numpy as np
import pytest
from bench_classic.ease import EASE, EASEConfig
from bench_classic.itemknn import ItemKNN, ItemKNNConfig
from bench_irspack.matrix import matrix
from bench_irspack.rp3beta import RP3beta, RP3betaConfig
from bench_irspack.userknn import UserKNN, UserKNNConfig
from irspack import CosineKNNRecommender, CosineUserKNNRecommender, DenseSLIMRecommender, RP3betaRecommender

from bench.data.catalog import card
from bench.data.prepare import prepare
from bench.data.protocol import protocol
from bench.data.split import split
from bench.testing import LocalContext, assert_same_lists, block_interactions
from bench.topk import top_k

K = 20


@pytest.fixture(scope="module", params=["blocks", pytest.param("ml-100k", marks=pytest.mark.raw)])
def data(request):
    if request.param == "blocks":
        return block_interactions(n_users=200, n_items=90, noise=0.5)
    return split(prepare(card("ml-100k"), request.getfixturevalue("raw_dir")), protocol("random")).visible


def ours(model, data, folder):
    """The model, and its lists of users with a history when train is both history and excluded."""
    model.fit(data.train, data.valid, LocalContext(model, data, folder))
    users = np.flatnonzero(data.train.lengths)
    known = data.train.select(users)
    return model, model.recommend(users, known, known, K)


def theirs(recommender_class, data, **options):
    """The recommender of irspack, and its lists."""
    found = recommender_class(matrix(data.train), **options).learn()
    scores = found.get_score_remove_seen(np.flatnonzero(data.train.lengths))
    return found, top_k(np.ascontiguousarray(scores, np.float32), K)


@pytest.mark.parametrize("l2", [20.0, 250.0])
def test_ease(data, l2, tmp_path):
    _, found = ours(EASE(EASEConfig(l2=l2)), data, tmp_path)
    _, expected = theirs(DenseSLIMRecommender, data, reg=l2)
    assert_same_lists(found, expected)


@pytest.mark.parametrize("shrink", [0.0, 10.0])
def test_itemknn(data, shrink, tmp_path):
    n = data.train.n_items
    _, found = ours(ItemKNN(ItemKNNConfig(neighbours=n, shrink=shrink)), data, tmp_path)
    _, expected = theirs(CosineKNNRecommender, data, top_k=n, shrinkage=shrink, normalize=True)
    assert_same_lists(found, expected)


def test_itemknn_keeps_as_near_neighbours(data, tmp_path):
    """Ours are the columns' and irspack's the rows'. Which of equally near items are kept may differ; irspack first
    counts an item as one of its own neighbours, unless as many others are as near."""
    own, _ = ours(ItemKNN(ItemKNNConfig(neighbours=15, shrink=0.0)), data, tmp_path)
    other, _ = theirs(CosineKNNRecommender, data, top_k=16, shrinkage=0.0, normalize=True)
    columns, rows = np.sort(own.similarity.toarray(), axis=0)[-15:], np.sort(other.W.toarray(), axis=1)[:, -15:]
    np.testing.assert_allclose(columns, rows.T, atol=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.6])
def test_rp3beta(data, beta, tmp_path):
    n = data.train.n_items
    _, found = ours(RP3beta(RP3betaConfig(alpha=1.0, beta=beta, neighbours=n)), data, tmp_path)
    _, expected = theirs(RP3betaRecommender, data, alpha=1.0, beta=beta, top_k=n)
    assert_same_lists(found, expected)


@pytest.mark.parametrize("shrink", [0.0, 10.0])
def test_userknn(data, shrink, tmp_path):
    n = data.train.n_users
    _, found = ours(UserKNN(UserKNNConfig(neighbours=n, shrink=shrink, weighting="none")), data, tmp_path)
    _, expected = theirs(CosineUserKNNRecommender, data, top_k=n, shrinkage=shrink, normalize=True)
    assert_same_lists(found, expected)
