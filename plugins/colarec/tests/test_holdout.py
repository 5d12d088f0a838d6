"""Targets that the initial embeddings have not seen."""

import numpy as np
import pytest
import torch
from bench_colarec.config import ColaRecConfig
from bench_colarec.items.vectors import Vectors
from bench_colarec.model import ColaRec
from bench_colarec.network import initialization
from bench_colarec.prepare import collaborative
from bench_colarec.training.holdout import EmbeddingSwap, aligned, embeddings, hold_out
from bench_colarec.training.sampling import Sampler
from bench_torchkit.tree import tree

from bench.testing import LocalContext, block_interactions, interactions_from

TRAIN = block_interactions().train


def test_held_out_share_spares_users_with_one_interaction():
    train = interactions_from([[0, 1, 2, 3, 4]] * 400 + [[7]] * 50 + [[]], 9)
    mask = hold_out(train, 0.2, seed=3)
    assert mask[:2000].mean() == pytest.approx(0.2, abs=0.04)
    assert not mask[2000:].any()
    assert np.array_equal(mask, hold_out(train, 0.2, seed=3))
    assert not np.array_equal(mask, hold_out(train, 0.2, seed=4))
    assert not hold_out(train, 0.0, seed=3).any()


def test_alignment_finds_a_rotation():
    rng = np.random.default_rng(0)
    like = Vectors(rng.normal(size=(30, 8)).astype(np.float32), rng.normal(size=(50, 8)).astype(np.float32))
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0].astype(np.float32)
    found = aligned(Vectors(like.users @ turn, like.items @ turn), like)
    np.testing.assert_allclose(found.items, like.items, atol=1e-5)
    np.testing.assert_allclose(found.users, like.users, atol=1e-5)
    # Whatever it is given, scores stay as they were.
    other = Vectors(rng.normal(size=(30, 8)).astype(np.float32), rng.normal(size=(50, 8)).astype(np.float32))
    found = aligned(other, like)
    np.testing.assert_allclose(found.users @ found.items.T, other.users @ other.items.T, atol=1e-4)


@pytest.mark.parametrize("samples", ["users", "interactions"])
def test_only_held_out_interactions_are_targets(samples):
    mask = hold_out(TRAIN, 0.3, seed=1)
    codes = np.arange(TRAIN.n_items, dtype=np.int32)
    sampler = Sampler(TRAIN, tree(np.stack([codes // 7, codes % 7], axis=1), 7), 1, mask)
    batches = list(sampler.users(1, 16, 8, 99) if samples == "users" else sampler.interactions(1, 16, 8))
    pairs = {(int(b.users[row]), int(item)) for b in batches for row, item in zip(b.rows, b.targets, strict=True)}
    possible = set(zip(TRAIN.users[mask].tolist(), TRAIN.items[mask].tolist(), strict=True))
    assert pairs <= possible
    if samples == "interactions":
        assert pairs == possible
    assert {user for user, _ in pairs} == {user for user, _ in possible}


def model(folder, **options):
    quick = {"embedding_size": 16, "heads": 2, "feed_forward": 16, "vectors_size": 8, "vocab_size": 300, "epochs": 2}
    made = ColaRec(ColaRecConfig(**{**ColaRec.presets["quick"], **quick, **options}))
    folder.mkdir(exist_ok=True)
    data = block_interactions()
    context = LocalContext(made, data, folder)
    made.fit(data.train, data.valid, context)
    return made, context


def test_training_never_shows_the_network_vectors_that_know_its_targets(tmp_path, monkeypatch):
    seen = []
    original = initialization.set_embeddings
    monkeypatch.setattr(
        initialization, "set_embeddings", lambda *args: (seen.append((args[3], args[4])), original(*args))[1]
    )
    given = []
    monkeypatch.setattr(
        "bench_colarec.model.collaborative",
        lambda config, train, *rest, **stage: (given.append(train), collaborative(config, train, *rest, **stage))[1],
    )
    model(tmp_path)
    mask = hold_out(TRAIN, ColaRecConfig().held_out, 1)
    assert [len(train) for train in given] == [len(TRAIN), int((~mask).sum())]
    np.testing.assert_array_equal(given[1].items, TRAIN.items[~mask])
    (first, _), (last, like) = seen
    assert like is first
    assert last is not first


@pytest.mark.slow
def test_recommending_uses_the_vectors_that_know_everything(tmp_path):
    held, _ = model(tmp_path, learning_rate=1e-12, held_out=0.3)
    known, _ = model(tmp_path / "all", learning_rate=1e-12, held_out=0.0)
    # Without learning, what recommends are the initial embeddings that know all of train, held out or not.
    for one, other in zip(embeddings(held._ranker.network), embeddings(known._ranker.network), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_a_swap_keeps_what_training_changed(tmp_path):
    made, _ = model(tmp_path)
    network = made._ranker.network
    training = [e.detach().clone() for e in embeddings(network)]
    swap = EmbeddingSwap(network, training, [e + 1 for e in training])
    with torch.no_grad():
        network.table.weight[5] += 0.25
    with swap.recommending():
        torch.testing.assert_close(network.table.weight[5], training[0][5] + 1.25)
        torch.testing.assert_close(network.table.weight[6], training[0][6] + 1)
    torch.testing.assert_close(network.table.weight[5], training[0][5] + 0.25)
