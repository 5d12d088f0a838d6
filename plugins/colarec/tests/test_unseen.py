"""Targets that the start values have not seen."""

import numpy as np
import pytest
import torch
from bench_colarec import start
from bench_colarec.config import ColaRecConfig
from bench_colarec.model import ColaRec
from bench_colarec.prepare import collaborative
from bench_colarec.sampling import Sampler
from bench_colarec.tree import tree
from bench_colarec.unseen import Exchange, aligned, embeddings, hold_out
from bench_colarec.vectors import Vectors

from bench.testing import FakeContext, block_interactions, interactions_from

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


def model(folder, monkeypatch, **options):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    quick = {"width": 16, "heads": 2, "feed_forward": 16, "vectors_width": 8, "vocabulary": 300, "epochs": 2}
    made = ColaRec(ColaRecConfig(**{**ColaRec.presets["quick"], **quick, **options}))
    (folder / "work").mkdir()
    data = block_interactions()
    context = FakeContext(made, data, folder / "work")
    made.fit(data.train, data.valid, context)
    return made, context


def test_training_never_shows_the_network_vectors_that_know_its_targets(tmp_path, monkeypatch):
    seen = []
    original = start.set_embeddings
    monkeypatch.setattr(start, "set_embeddings", lambda *args: (seen.append((args[3], args[4])), original(*args))[1])
    given = []
    monkeypatch.setattr(
        "bench_colarec.model.collaborative",
        lambda config, train, *rest, **stage: (given.append(train), collaborative(config, train, *rest, **stage))[1],
    )
    model(tmp_path, monkeypatch)
    mask = hold_out(TRAIN, ColaRecConfig().held_out, 1)
    assert [len(train) for train in given] == [len(TRAIN), int((~mask).sum())]
    np.testing.assert_array_equal(given[1].items, TRAIN.items[~mask])
    (first, _), (last, like) = seen
    assert like is first
    assert last is not first


def test_recommending_uses_the_vectors_that_know_everything(tmp_path, monkeypatch):
    held, _ = model(tmp_path, monkeypatch, learning_rate=1e-12, held_out=0.3)
    (tmp_path / "all").mkdir()
    known, _ = model(tmp_path / "all", monkeypatch, learning_rate=1e-12, held_out=0.0)
    # Without learning, what recommends is the start that knows all of train, held out or not.
    for one, other in zip(embeddings(held._recommender.network), embeddings(known._recommender.network), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_exchange_keeps_what_training_changed(tmp_path, monkeypatch):
    made, _ = model(tmp_path, monkeypatch)
    network = made._recommender.network
    training = [e.detach().clone() for e in embeddings(network)]
    exchange = Exchange(network, training, [e + 1 for e in training])
    with torch.no_grad():
        network.table.weight[5] += 0.25
    with exchange.recommending():
        torch.testing.assert_close(network.table.weight[5], training[0][5] + 1.25)
        torch.testing.assert_close(network.table.weight[6], training[0][6] + 1)
    torch.testing.assert_close(network.table.weight[5], training[0][5] + 0.25)


def test_vectors_from_the_cache_were_stopped_by_the_same_rule(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    config, data = ColaRecConfig(vectors_width=4), block_interactions()
    hits = []
    for rule in ("one", "another", "one"):
        folder = tmp_path / f"{len(hits)}"
        folder.mkdir()
        made = ColaRec(config)
        context = FakeContext(made, data, folder)
        context.validation_rule = rule
        collaborative(config, data.train, data.valid, context, made._publish)
        hits.append(context.notes.get("vectors_from_cache", False))
    assert hits == [False, False, True]
