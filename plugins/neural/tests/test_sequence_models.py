"""The published checks, errors, losses and what a model of sequences must learn."""

from typing import Literal

import numpy as np
import pytest
import torch
from bench_neural.sequences import training
from bench_neural.sequences.config import BSARecConfig, SASRecConfig
from bench_neural.sequences.models import BSARec, SASRec
from bench_neural.sequences.training import Training
from bench_torchkit.rows import Sequences
from bench_torchkit.testing import successors
from bench_torchkit.trainer import Place

from bench import DataError, Interactions, PluginError
from bench.messages.spec import Stopping
from bench.testing import LocalContext, MemorySplit, ModelChecks, interactions_from

SMALL = {"embedding_size": 16, "layers": 1, "dropout": 0.1, "negatives": 40, "batch_size": 16, "learning_rate": 0.01}


class TestSASRec(ModelChecks):
    name = "sasrec-fast"
    options = {**SMALL, "attention_dropout": 0.1}


@pytest.mark.slow
class TestBSARec(ModelChecks):
    name = "bsarec"
    options = {**SMALL, "attention_dropout": 0.1}


@pytest.mark.slow
class TestHSTU(ModelChecks):
    name = "hstu"
    options = SMALL


def hits(model, data, k=1):
    found = model.recommend(np.arange(data.train.n_users), data.train, data.train, k)
    return float((found.items == data.valid.items[:, None]).any(1).mean())


def fitted(model, data, folder, **options):
    model.fit(data.train, data.valid, LocalContext(model, data, folder, **options))
    return model


@pytest.mark.slow
@pytest.mark.parametrize("targets", ["packed", "prefixes"])
def test_two_processes_train_as_one_does(targets, tmp_path):
    data, found = successors(60, 30), []
    changes = {"dropout": 0.0, "attention_dropout": 0.0, "loss": "softmax", "targets": targets, "epochs": 3}
    for processes in (1, 2):
        model = SASRec(SASRecConfig(**{**SMALL, **changes}))
        fitted(model, data, tmp_path / str(processes), processes=processes)
        found.append(model.score(np.arange(60), data.train))
    np.testing.assert_allclose(found[1], found[0], atol=1e-4)


@pytest.mark.parametrize(
    ("loss", "shared"),
    [("softmax", "batch"), ("sampled_softmax", "batch"), ("bce", "batch"), ("bce", "target"), ("gbce", "batch")],
)
def test_every_loss_learns_what_follows(loss, shared, tmp_path):
    data = successors(60, 30)
    changes = {"attention_dropout": 0.0, "loss": loss, "negatives": 8, "negatives_of": shared}
    model = SASRec(SASRecConfig(**{**SMALL, **changes}))
    assert hits(fitted(model, data, tmp_path, stopping=Stopping(patience=50)), data) > 0.9


@pytest.mark.parametrize("targets", ["packed", "prefixes"])
def test_both_kinds_of_targets_learn_what_follows(targets, tmp_path):
    data = successors(60, 30)
    model = SASRec(SASRecConfig(**{**SMALL, "attention_dropout": 0.0, "targets": targets}))
    assert hits(fitted(model, data, tmp_path), data) > 0.9


def test_negatives_of_a_target_are_new_to_its_user():
    data = successors(60, 30)
    config = SASRecConfig(negatives=3, negatives_of="target", loss="bce")
    training = Training(config, SASRec(config).network(30), Sequences(data.train, 50, "packed", 100), 1)
    [batch] = training.batches(Place(0, 1))
    found = training._negatives(batch, Place(0, 1)).numpy()
    assert found.shape == (len(batch.targets), 3)
    assert not data.train.contains(np.repeat(batch.users, 3), found.reshape(-1)).any()
    assert len(np.unique(found)) == 30


def test_products_with_own_negatives_are_the_same_in_pieces(monkeypatch):
    """Values and gradients; 0 floats at a time are one state at a time."""
    found = []
    for floats in (10_000, 0):
        monkeypatch.setattr(training, "_FLOATS", floats)
        generator = torch.Generator().manual_seed(0)
        states, items = (torch.randn(n, 5, generator=generator).requires_grad_() for n in (7, 20))
        negatives = torch.randint(20, (7, 3), generator=generator)
        products = training._of_each(states, negatives, lambda chosen, items=items: items[chosen])
        products.square().sum().backward()
        found.append((products.detach(), states.grad, items.grad))
    expected = torch.stack([items.detach()[own] @ state for state, own in zip(states.detach(), negatives, strict=True)])
    torch.testing.assert_close(found[0][0], expected)
    torch.testing.assert_close(found[1], found[0])


def test_sampled_softmax_over_all_items_is_the_softmax():
    data = successors(60, 30)
    torch.manual_seed(0)
    found = []
    for loss in ("softmax", "sampled_softmax"):
        config = SASRecConfig(**{**SMALL, "dropout": 0.0, "attention_dropout": 0.0, "loss": loss, "negatives": 30})
        torch.manual_seed(0)
        network = SASRec(config).network(30)
        sequences = Sequences(data.train, 50, "packed", 100)
        training = Training(config, network, sequences, 1)
        [batch] = training.batches(Place(0, 1))
        found.append(training.losses(batch, Place(0, 1))["total"])
    torch.testing.assert_close(found[0], found[1])


def test_users_without_history_get_what_is_popular(tmp_path):
    data = successors(60, 30)
    model = fitted(SASRec(SASRecConfig(**{**SMALL, "epochs": 1})), data, tmp_path)
    nothing = interactions_from([[]], 30)
    counts = np.bincount(data.train.items, minlength=30)
    np.testing.assert_array_equal(model.score(np.array([0]), nothing)[0], counts)


def test_data_without_times_are_refused_before_training(tmp_path):
    data = successors(60, 30)
    same = Interactions(data.train.indptr, data.train.items, np.zeros_like(data.train.times), data.train.n_items)
    with pytest.raises(DataError, match="these data have no times"):
        fitted(SASRec(SASRecConfig()), MemorySplit(same, data.valid), tmp_path)


class PackedConfig(BSARecConfig):
    targets: Literal["packed", "prefixes"] = "packed"


class PackedBSARec(BSARec):
    """Its filter reads the targets."""

    Config = PackedConfig


def test_bsarec_on_packed_targets_is_found_before_training(tmp_path):
    data = successors(60, 30)
    with pytest.raises(PluginError, match="reads items behind it"):
        fitted(PackedBSARec(PackedConfig()), data, tmp_path)


def test_bsarec_cannot_be_configured_to_packed_targets():
    with pytest.raises(ValueError, match="prefixes"):
        BSARecConfig(targets="packed")
