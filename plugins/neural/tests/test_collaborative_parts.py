"""Losses, graphs, codes and histories against their formulas, written out with loops or dense matrices."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from bench_neural.collaborative.codes import bin_means, item_components, quantile_codes
from bench_neural.collaborative.config import GCNConfig, JPQConfig, MFConfig
from bench_neural.collaborative.factors import Factors, log_popularity
from bench_neural.collaborative.histories import histories, recency, summed, without_target
from bench_neural.collaborative.jpq import CodeNetwork, concatenated
from bench_neural.collaborative.losses import Scored, penalty, ranking_loss
from bench_neural.collaborative.sampling import InBatch, Proposal, Sampler
from bench_torchkit.testing import dense_adjacency, rows_of

from bench.testing import interactions_from

ROWS = [[0, 1, 2], [2, 3], [], [1, 3, 4, 0, 2], [4]]
TINY = interactions_from(ROWS, 6)  # user 2 and item 5 have no interactions


def one_batch(train, negatives, batch_size=100, seed=1):
    return next(iter(Sampler(train, negatives, batch_size, seed, "cpu").batches(1)))


# Graph


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_scored_vectors_are_the_mean_of_powers(layers):
    network = Factors(GCNConfig(embedding_size=4, layers=layers), TINY, 1, "cpu", layers)
    nodes = network.nodes.detach().numpy()
    powers = [np.linalg.matrix_power(dense_adjacency(TINY), layer) @ nodes for layer in range(layers + 1)]
    expected = np.mean(powers, axis=0)
    np.testing.assert_allclose(network().detach().numpy(), expected, atol=1e-6)
    batch = one_batch(TINY, Proposal(TINY, 3, 0.5))
    scored, own = network.scored(batch)
    for found, table in ((scored, expected), (own, nodes)):
        np.testing.assert_allclose(found.users.detach(), table[batch.users], atol=1e-6)
        np.testing.assert_allclose(found.positives.detach(), table[batch.positives + 5], atol=1e-6)
        np.testing.assert_allclose(found.negatives.detach(), table[batch.negatives + 5], atol=1e-6)


def test_vectors_begin_as_singular_vectors_of_the_asked_length():
    network = Factors(MFConfig(embedding_size=3, initial_length=2.0), TINY, 1, "cpu")
    left, values, right = np.linalg.svd(dense_adjacency(TINY)[:5, 5:], full_matrices=False)
    expected = np.concatenate([left[:, :3], right[:3].T]) * np.sqrt(values[:3])
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    expected = 2 * np.divide(expected, lengths, out=np.zeros_like(expected), where=lengths > 1e-9)
    found = network.nodes.detach().numpy()
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-5)  # signs do not matter


# Losses


def test_the_bias_begins_as_the_logarithm_of_popularity():
    np.testing.assert_allclose(log_popularity(TINY), np.log([3, 3, 4, 3, 3, 1]), rtol=1e-6)


def written_out(vectors, bias, rows):
    """Mean over interactions of the cross-entropy of the item among itself and what the user has not."""
    users, items = vectors[:5], vectors[5:]
    losses = []
    for user, row in enumerate(rows):
        for item in row:
            others = [other for other in range(6) if other not in row]
            scores = torch.stack([users[user] @ items[other] + bias[other] for other in [item, *others]])
            losses.append(torch.logsumexp(scores, 0) - scores[0])
    return torch.stack(losses).mean()


@pytest.mark.parametrize("layers", [0, 2])
def test_with_all_items_as_negatives_it_is_the_softmax(layers):
    network = Factors(GCNConfig(embedding_size=4, layers=layers), TINY, 1, "cpu", layers)
    batch = one_batch(TINY, Proposal(TINY, 6, 0.5))
    vectors, own = network.scored(batch)
    loss = ranking_loss("sampled_softmax", 0.0, vectors, network.bias, batch)
    loss = loss + 0.3 * penalty(own)
    loss.backward()

    nodes = network.nodes.detach().clone().double().requires_grad_()
    bias = network.bias.detach().clone().double().requires_grad_()
    a = torch.from_numpy(dense_adjacency(TINY))
    mean = torch.stack([torch.linalg.matrix_power(a, layer) @ nodes for layer in range(layers + 1)]).mean(0)
    expected = written_out(mean, bias, ROWS)
    pairs = [(user, item) for user, row in enumerate(ROWS) for item in row]
    squares = sum(nodes[user] @ nodes[user] + nodes[5 + item] @ nodes[5 + item] for user, item in pairs) / len(pairs)
    expected = expected + 0.3 * (squares + sum(nodes[5 + item] @ nodes[5 + item] for item in range(6)) / 6)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    np.testing.assert_allclose(network.nodes.grad, nodes.grad, atol=1e-5)
    np.testing.assert_allclose(network.bias.grad, bias.grad, atol=1e-5)


def popular(n_items=40, n_users=30):
    """Data in which the first items are far more popular than the last ones."""
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, n_items + 1)
    rows = [rng.choice(n_items, 5, replace=False, p=shares / shares.sum()).tolist() for _ in range(n_users)]
    return interactions_from(rows, n_items)


@pytest.mark.parametrize("kind", [0.0, 0.5, "in batch"])
def test_corrected_negatives_estimate_the_sum_over_all_items(kind):
    """The mean over draws of Σ exp(score − log_q) is Σ exp(score) over the catalogue, whatever they are drawn by."""
    train = popular()
    rng = np.random.default_rng(3)
    scores = rng.normal(size=40)
    draws = []
    for _ in range(4000):
        positives = rng.choice(train.items, 16).astype(np.int64)  # as in a batch: items by popularity
        chosen = InBatch(train, 8) if kind == "in batch" else Proposal(train, 24, kind)
        items, log_q = chosen.draw(rng, positives)
        assert len(np.unique(items)) == len(items)
        draws.append(np.exp(scores[items] - log_q).sum())
    expected = np.exp(scores).sum()
    error = np.std(draws) / math.sqrt(len(draws))
    assert np.mean(draws) == pytest.approx(expected, abs=4 * error)
    assert error < 0.02 * expected


@pytest.mark.parametrize("popularity", [0.0, 0.7])
def test_the_mean_gradient_of_many_draws_is_that_of_the_softmax(popularity):
    train = popular(400, 40)
    rng = np.random.default_rng(5)
    users, items = torch.from_numpy(rng.normal(0, 0.5, (40, 4))), torch.from_numpy(rng.normal(0, 0.5, (400, 4)))

    def gradient(negatives, seed):
        table = items.clone().requires_grad_()
        batch = one_batch(train, negatives, 500, seed)
        vectors = Scored(users[batch.users], table[batch.positives], table[batch.negatives])
        ranking_loss("sampled_softmax", 0.0, vectors, None, batch).backward()
        return table.grad

    exact = gradient(Proposal(train, 400, popularity), 0)
    few = torch.stack([gradient(Proposal(train, 399, popularity), seed) for seed in range(200)]).mean(0)
    assert torch.linalg.norm(few - exact) < 0.03 * torch.linalg.norm(exact)


def test_bpr_is_a_mean_over_the_negatives_that_a_user_has_not():
    network = Factors(MFConfig(embedding_size=4), TINY, 1, "cpu")
    batch = one_batch(TINY, Proposal(TINY, 6, 0.5))
    vectors, _ = network.scored(batch)
    found = ranking_loss("bpr", 0.0, vectors, network.bias, batch).item()
    users, items = np.split(network.nodes.detach().numpy(), [5])
    scores = users @ items.T + network.bias.detach().numpy()
    losses = [
        np.mean(
            [math.log1p(math.exp(scores[user, other] - scores[user, item])) for other in range(6) if other not in row]
        )
        for user, row in enumerate(ROWS)
        for item in row
    ]
    assert found == pytest.approx(np.mean(losses), rel=1e-5)


# Batches


def test_each_interaction_is_a_positive_once_and_own_items_are_no_negatives():
    sampler = Sampler(TINY, Proposal(TINY, 4, 0.5), 4, 1, "cpu")
    for epoch in (1, 2):
        batches = list(sampler.batches(epoch))
        assert len(batches) == len(sampler) == 3
        pairs = [pair for batch in batches for pair in zip(batch.users.tolist(), batch.positives.tolist(), strict=True)]
        assert sorted(pairs) == sorted((user, item) for user, row in enumerate(ROWS) for item in row)
        for batch in batches:
            known = sorted(zip(batch.rows.tolist(), batch.columns.tolist(), strict=True))
            assert known == [
                (row, column)
                for row, user in enumerate(batch.users.tolist())
                for column, item in enumerate(batch.negatives.tolist())
                if item in ROWS[user]
            ]


def test_items_of_a_batch_are_its_negatives():
    batch = one_batch(TINY, InBatch(TINY, 0), batch_size=5)
    counts = Counter(batch.positives.tolist())
    readers = Counter(TINY.items.tolist())
    assert batch.negatives.tolist() == sorted(counts)
    for item, log_q in zip(batch.negatives.tolist(), batch.log_q.tolist(), strict=True):
        assert log_q == pytest.approx(math.log(5 * readers[item] / 11 / counts[item]), abs=1e-6)


# Codes


@pytest.mark.parametrize(("n", "values"), [(50, 8), (7, 3), (5, 16), (64, 64)])
def test_codes_are_the_bins_between_quantiles(n, values):
    rng = np.random.default_rng(0)
    components = np.concatenate([rng.normal(size=(n, 2)), rng.integers(0, 3, (n, 1))], axis=1)  # the last one has ties
    found = quantile_codes(components, values)
    for column, codes in zip(components.T, found.T, strict=True):
        edges = np.quantile(column, np.arange(1, values) / values, method="inverted_cdf")
        np.testing.assert_array_equal(codes, np.searchsorted(edges, column, side="left"))
    if n % values == 0:
        np.testing.assert_array_equal(np.bincount(found[:, 0], minlength=values), n // values)


def test_a_code_begins_at_the_mean_of_its_bin():
    components = np.array([[0.1, 5], [0.2, 6], [0.9, 7], [0.7, 8]])
    np.testing.assert_allclose(
        bin_means(components, np.array([[0, 0], [0, 0], [2, 1], [2, 2]]), 3), [[0.15, 0, 0.8], [5.5, 7, 8]]
    )


def test_items_of_equal_codes_are_equal_and_few_components_are_filled_up():
    network = CodeNetwork(JPQConfig(embedding_size=32, codes=8, code_values=4), TINY, 1)
    table = network.scored.detach().numpy()
    found = concatenated(network.codes, network.scored).detach().numpy()
    for item, codes in enumerate(network.codes.tolist()):
        expected = np.concatenate([table[place, code] for place, code in enumerate(codes)])
        np.testing.assert_array_equal(found[item], expected)
    components = item_components(TINY, 8, np.random.default_rng(0))
    assert components.shape == (6, 8)
    assert np.abs(components[:, 4:]).max() < 0.01


# Histories


@pytest.mark.parametrize("half_life", [None, 2.0])
@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_histories_are_weighted_sums_without_the_item_to_be_predicted(half_life, power):
    vectors = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    weights = recency(TINY, half_life)

    def expected(row, left_out=None):
        pairs = [
            (item, 1.0 if half_life is None else 0.5 ** ((len(row) - 1 - at) / half_life))
            for at, item in enumerate(row)
        ]
        pairs = [(item, weight) for item, weight in pairs if item != left_out]
        total = sum(weight for _, weight in pairs)
        vector = sum((weight * vectors[item].numpy() for item, weight in pairs), np.zeros(3))
        return vector / total**power if pairs else vector

    places = np.array([8, 0, 4, 2, 10, 5])
    owners = np.repeat(np.arange(5), [3, 2, 0, 5, 1])
    found = summed(vectors, without_target(TINY, weights, places), power)
    for row, place in enumerate(places):
        np.testing.assert_allclose(found[row], expected(ROWS[owners[place]], TINY.items[place]), atol=1e-5)
    users = np.array([3, 2, 0, 3])
    found = summed(vectors, histories(TINY, weights, users), power)
    for row, user in enumerate(users):
        np.testing.assert_allclose(found[row], expected(rows_of(TINY)[user]), atol=1e-5)


def test_the_item_to_be_predicted_has_no_part_in_what_predicts_it():
    vectors = torch.randn(6, 3, requires_grad=True)
    for place, item in enumerate(TINY.items):
        found = summed(vectors, without_target(TINY, recency(TINY, 3.0), np.array([place])), 0.5)
        (gradient,) = torch.autograd.grad(found.sum(), vectors)
        assert not gradient[int(item)].any()
