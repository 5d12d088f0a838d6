"""The published checks of a model, and each model against its definition or another library."""

import numpy as np
import pytest
import scipy.sparse as sp
from bench_irspack.ials import IALS, IALSConfig
from bench_irspack.rp3beta import RP3beta, RP3betaConfig
from bench_irspack.similarity import without_self
from bench_irspack.slim import SLIM, SLIMConfig
from bench_irspack.userknn import UserKNN, UserKNNConfig
from sklearn.linear_model import ElasticNet

from bench.data.visible import union
from bench.messages.spec import Stopping
from bench.testing import LocalContext, ModelChecks, block_interactions, interactions_from


class TestIALS(ModelChecks):
    name = "ials"


class TestRP3beta(ModelChecks):
    name = "rp3beta"


class TestSLIM(ModelChecks):
    name = "slim"


class TestUserKNN(ModelChecks):
    name = "userknn"


def dense(interactions):
    matrix = np.zeros(interactions.shape)
    matrix[interactions.users, interactions.items] = 1
    return matrix


def fitted(model, data, tmp_path, **choices):
    context = LocalContext(model, data, tmp_path, **choices)
    model.fit(data.train, data.valid, context)
    return model


@pytest.fixture(params=[0, 1])
def data(request):
    return block_interactions(n_users=80, n_items=36 + 7 * request.param, noise=0.5, seed=request.param)


# iALS -----------------------------------------------------------------------------------------------------------------


def solve(x, others, config):
    """(len(x), d): the minimum of the paper's loss for each row, the other side being ``others`` (n, d)."""
    n, d = others.shape
    found = np.zeros((len(x), d))
    for row, has in enumerate(x):
        penalty = config.l2 * (has.sum() + config.unobserved_weight * n) ** config.frequency_scaling
        weights = config.unobserved_weight + has  # a pair with an interaction is in both sums of the loss
        left = (others * weights[:, None]).T @ others + penalty * np.eye(d)
        found[row] = np.linalg.solve(left, others.T @ has)
    return found


def first_items(config, x, seed):
    """The vectors that the iteration starts from: they are random, and no part of what is compared."""
    from irspack import IALSRecommender

    start = IALSRecommender(
        sp.csr_matrix(x), n_components=config.embedding_size, init_std=config.init_std, random_seed=seed
    )
    start.start_learning()
    return start.get_item_embedding()


@pytest.mark.parametrize("scaling", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("epochs", [1, 4])
def test_ials_is_alternating_least_squares_by_the_closed_form(data, scaling, epochs, tmp_path):
    config = IALSConfig(
        embedding_size=6, epochs=epochs, unobserved_weight=0.2, l2=0.05, frequency_scaling=scaling, solver="cholesky"
    )
    x = dense(data.train)
    items = first_items(config, x, seed=3)
    for _ in range(epochs):
        items = solve(x.T, solve(x, items, config), config)
    model = fitted(IALS(config), data, tmp_path, seed=3, stopping=Stopping(every=100))
    np.testing.assert_allclose(model.items, items, atol=2e-4)
    history = union([data.train, data.valid])  # so the vectors of training would be the wrong ones
    scores = model.score(np.arange(len(x)), history)
    np.testing.assert_allclose(scores, solve(dense(history), items, config) @ items.T, atol=1e-3)


def loss(x, items, config):
    """The paper's loss with the best users for these items."""
    users = solve(x, items, config)
    n_users, n_items = x.shape
    fit = (x * (users @ items.T - 1) ** 2).sum() + config.unobserved_weight * ((users @ items.T) ** 2).sum()
    sides = ((users, x.sum(1), n_items), (items, x.sum(0), n_users))
    return fit + sum(
        config.l2 * (((counts + config.unobserved_weight * n) ** config.frequency_scaling) * (v**2).sum(1)).sum()
        for v, counts, n in sides
    )


def test_conjugate_gradients_reach_nearly_the_loss_of_exact_steps(data, tmp_path):
    found = {}
    for solver in ("cholesky", "cg"):
        config = IALSConfig(embedding_size=8, solver=solver, l2=0.01)
        model = fitted(IALS(config), data, tmp_path / solver, stopping=Stopping(every=100))
        found[solver] = loss(dense(data.train), np.asarray(model.items, np.float64), config)
    assert found["cg"] == pytest.approx(found["cholesky"], rel=0.02)


def test_ials_keeps_the_items_of_the_best_validation(tmp_path):
    data = block_interactions(n_users=80, n_items=40, noise=0.5)
    model = IALS(IALSConfig(embedding_size=16, epochs=30, l2=1e-4))
    context = LocalContext(model, data, tmp_path, stopping=Stopping(patience=3))
    model.fit(data.train, data.valid, context)
    best = int(np.argmax(context.scores)) + 1
    assert best < len(context.scores) < 30, "the example does not show it"
    again = fitted(
        IALS(model.config.model_copy(update={"epochs": best})), data, tmp_path / "again", stopping=Stopping(every=100)
    )
    np.testing.assert_array_equal(model.items, again.items)


@pytest.mark.parametrize(
    ("model_class", "options", "near"), [(IALS, {"embedding_size": 8}, 1e-4), (SLIM, {"tolerance": 1e-5}, 1e-3)]
)
def test_all_threads_solve_nearly_the_same(data, model_class, options, near, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    users = np.arange(data.train.n_users)
    one, all_ = (
        fitted(model_class(model_class.Config(reproducible=choice, **options)), data, tmp_path / str(choice))
        for choice in (True, False)
    )
    np.testing.assert_allclose(one.score(users, data.train), all_.score(users, data.train), atol=near)


# RP3β -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (1.0, 0.7), (0.5, 0.3), (1.6, 1.2)])
def test_rp3beta_is_three_steps_of_a_walk_over_popularity(data, alpha, beta, tmp_path):
    x = dense(data.train)
    from_user = (x / np.maximum(x.sum(1, keepdims=True), 1)) ** alpha
    from_item = (x.T / np.maximum(x.sum(0)[:, None], 1)) ** alpha
    back = from_item @ from_user / np.maximum(x.sum(0), 1) ** beta
    np.fill_diagonal(back, 0)  # a walk that comes back recommends nothing
    walks = from_user @ back
    first_step = np.maximum(x.sum(1, keepdims=True), 1) ** -alpha
    model = fitted(RP3beta(RP3betaConfig(alpha=alpha, beta=beta, neighbours=1000)), data, tmp_path)
    scores = model.score(np.arange(len(x)), data.train)
    np.testing.assert_allclose(scores * first_step, walks, rtol=2e-4, atol=1e-7)


def test_rp3beta_keeps_the_largest_weights_of_each_item(data, tmp_path):
    whole = fitted(RP3beta(RP3betaConfig(neighbours=1000)), data, tmp_path / "whole").weights.toarray()
    few = fitted(RP3beta(RP3betaConfig(neighbours=4)), data, tmp_path / "few").weights.toarray()
    np.testing.assert_allclose(-np.sort(-few, axis=0)[:4], -np.sort(-whole, axis=0)[:4])
    assert (np.count_nonzero(few, axis=0) <= 4).all()
    np.testing.assert_array_equal(few[few > 0], whole[few > 0])
    assert not whole.diagonal().any()


# SLIM -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize(("l1", "l2"), [(1e-3, 1e-2), (1e-2, 1e-3)])
def test_slim_is_scikit_learns_elastic_net_for_each_item(data, l1, l2, positive, tmp_path):
    x = dense(data.train)
    expected = np.zeros((x.shape[1], x.shape[1]))
    for item in range(x.shape[1]):
        others = x.copy()
        others[:, item] = 0
        net = ElasticNet(l1 + l2, l1_ratio=l1 / (l1 + l2), fit_intercept=False, positive=positive, tol=1e-8)
        expected[:, item] = net.fit(others, x[:, item]).coef_
    model = SLIM(SLIMConfig(l1=l1, l2=l2, positive=positive, epochs=1000, tolerance=1e-6))
    np.testing.assert_allclose(fitted(model, data, tmp_path).weights.toarray(), expected, atol=2e-4)


# User-kNN -------------------------------------------------------------------------------------------------------------


def cosines(history, x, weighting, shrink):
    """(n, n_users): similarity of each row of ``history`` to each train row, by its definition; 0 to the same user."""
    weights = np.log(len(x) / np.maximum(x.sum(0), 1)) if weighting == "idf" else np.ones(x.shape[1])
    found = np.zeros((len(history), len(x)))
    for u, own in enumerate(history):
        for v, other in enumerate(x):
            norms = np.linalg.norm(own * weights) * np.linalg.norm(other * weights)
            if u != v and norms > 0:
                found[u, v] = (own * weights) @ (other * weights) / (norms + shrink)
    return found


@pytest.mark.parametrize("shrink", [0.0, 3.0])
@pytest.mark.parametrize("weighting", ["none", "idf"])
def test_userknn_sums_cosines_of_train_users(data, weighting, shrink, tmp_path):
    config = UserKNNConfig(neighbours=1000, shrink=shrink, weighting=weighting)
    model = fitted(UserKNN(config), data, tmp_path)
    x, history = dense(data.train), union([data.train, data.valid])
    expected = cosines(dense(history), x, weighting, shrink) @ x
    np.testing.assert_allclose(model.score(np.arange(len(x)), history), expected, rtol=1e-4, atol=1e-5)


def test_userknn_counts_its_nearest_users_alone(data, tmp_path):
    x = dense(data.train)
    similar = cosines(x, x, "none", 0.0)
    ordered = -np.sort(-similar, axis=1)
    for k in (1, 4):
        row = int(np.argmax(ordered[:, k - 1] - ordered[:, k]))  # of a user without a tie at the end
        model = fitted(UserKNN(UserKNNConfig(neighbours=k, weighting="none")), data, tmp_path / str(k))
        scores = model.score(np.array([row]), data.train.select(np.array([row])))
        assert scores.sum() == pytest.approx(
            (similar[row] * (similar[row] >= ordered[row, k - 1]) * x.sum(1)).sum(), rel=1e-4
        )


def test_no_row_is_a_neighbour_of_its_own():
    found = sp.csr_matrix(np.array([[9, 5, 0, 7], [3, 8, 4, 6], [1, 2, 0, 0]], float))
    kept = without_self(found, np.array([0, 2, 3]), 2).toarray()
    np.testing.assert_array_equal(kept, [[0, 5, 0, 7], [0, 8, 0, 6], [1, 2, 0, 0]])


def test_neighbours_come_from_the_history_not_from_the_users_number(data, tmp_path):
    model = fitted(UserKNN(UserKNNConfig()), data, tmp_path)
    history = interactions_from([[0, 4, 8]], data.train.n_items)
    known, unknown = (model.score(np.array([user]), history) for user in (5, data.train.n_users - 1))
    assert np.abs(known - unknown).max() <= 1.0001  # one neighbour more or less, user 5 themselves
