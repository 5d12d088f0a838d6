"""The three models of the plugin: the published checks, lists against loops, what is noted, and what is saved."""

import json
import shutil
from typing import ClassVar

import numpy as np
import pytest
import torch
from bench_gpt2rec.model import Gpt2Rec

from bench import Recommendations
from bench.testing import ModelChecks, assert_same_lists, interactions_from, ndcg

SMALL = {
    "text_hidden_size": 16, "text_layers": 1, "vocab_size": 300, "item_tokens": 8, "user_tokens": 8, "history": 3,
    "embedding_size": 16, "attention_size": 16, "heads": 2, "hidden_sizes": (16,), "batch_size": 64, "negatives": 16,
    "learning_rate": 0.03, "encoder_learning_rate": 1e-3, "cached_epochs": 3, "dynamic_epochs": 2, "epochs": 5,
}  # fmt: skip


NAMES = ["gpt2rec", "gpt2rec-basic", "gpt2rec-ids"]


class TestGpt2Rec(ModelChecks):
    name = "gpt2rec"
    options: ClassVar = SMALL


class TestGpt2RecBasic(ModelChecks):
    name = "gpt2rec-basic"
    options: ClassVar = SMALL


class TestGpt2RecIds(ModelChecks):
    name = "gpt2rec-ids"
    options: ClassVar = SMALL


@pytest.mark.slow
@pytest.mark.parametrize("head", ["mlp", "both"])
@pytest.mark.parametrize("name", ["gpt2rec", "gpt2rec-ids"])
def test_other_heads_learn_too(tiny, tmp_path, name, head):
    model, _ = tiny.fit(tmp_path, name, **{**SMALL, "scorer": head, "dynamic_epochs": 6, "epochs": 12}, l2=0.0)
    assert ndcg(model, tiny.DATA) > 0.25
    assert (tiny.lists(model, k=48).items[59] >= 0).all()  # a user without train items


@pytest.mark.parametrize("head", ["product", "mlp", "both"])
@pytest.mark.parametrize("data", ["DATA", "PROFILED"])
@pytest.mark.parametrize("fusion", ["attention", "pooled", "concat", None])
def test_scores_are_those_of_loops_over_users_and_items(tiny, tmp_path, fusion, data, head):
    options = {"text": False} if fusion is None else {"fusion": fusion}
    model, _ = tiny.fit(tmp_path, scorer=head, strategy="dynamic", data=getattr(tiny, data), **options)
    tiny.shake(model._network)
    users = np.array([3, 59, 2, 3], np.int64)  # 59 has no history, and 2 no profile
    history = interactions_from([[5, 1, 40, 7], [], [2], [3, 9]], 48)
    nothing = interactions_from([[]] * 4, 48)
    found = model.recommend(users, history, nothing, 48)
    expected = tiny.plain_scores(model._network, users, tiny.rows_of(history))
    by_item = np.take_along_axis(expected, found.items.astype(np.int64), axis=1)
    assert len(np.unique(found.items[0])) == 48
    np.testing.assert_allclose(found.scores, by_item, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("fusion", ["attention", "concat"])
def test_only_the_latest_items_of_a_history_count(tiny, tmp_path, fusion):
    model, _ = tiny.fit(tmp_path, fusion=fusion, history=3)
    rows = [[4, 5, 6, 1, 2, 3], [9, 1, 2, 3], [1, 2, 3], [1, 2], [1, 2, 7]]
    nothing = interactions_from([[]] * 5, 48)
    found = model.recommend(np.zeros(5, np.int64), interactions_from(rows, 48), nothing, 48)
    for same in (0, 1):
        np.testing.assert_array_equal(found.items[same], found.items[2])
        np.testing.assert_allclose(found.scores[same], found.scores[2], rtol=1e-5)
    for other in (3, 4):
        assert not np.allclose(found.scores[other], found.scores[2], rtol=1e-4)


def test_histories_do_not_count_where_users_have_profiles_or_nothing_is_read(tiny, tmp_path):
    other = interactions_from([[7, 8]] * 60, 48)
    for folder, options in (("profile", {"data": tiny.PROFILED}), ("ids", {"text": False})):
        model, _ = tiny.fit(tmp_path / folder, **options)
        expected, found = tiny.lists(model), tiny.lists(model, history=other)
        np.testing.assert_array_equal(found.scores, expected.scores)
    by_history, _ = tiny.fit(tmp_path / "history", data=tiny.PROFILED, user_text="history")
    assert not np.allclose(tiny.lists(by_history, history=other).scores, tiny.lists(by_history).scores, rtol=1e-3)


@pytest.mark.parametrize("data", ["DATA", "PROFILED"])
def test_basic_is_the_enhanced_model_without_its_three_additions(tiny, tmp_path, data):
    given = {"data": getattr(tiny, data)}
    off = {"fusion": "concat", "strategy": "cached", "contrastive_weight": 0.0}
    basic, _ = tiny.fit(tmp_path / "basic", "gpt2rec-basic", **given)
    enhanced, _ = tiny.fit(tmp_path / "enhanced", "gpt2rec", **off, **given)
    found, expected = tiny.lists(enhanced), tiny.lists(basic)
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.scores, expected.scores)
    for name in off:
        kept = {other: value for other, value in off.items() if other != name}
        more, _ = tiny.fit(tmp_path / name, "gpt2rec", **kept, **given)
        assert not np.array_equal(tiny.lists(more).scores, expected.scores), name


def test_ids_is_the_enhanced_model_without_texts(tiny, tmp_path):
    ids, _ = tiny.fit(tmp_path / "ids", "gpt2rec-ids", data=tiny.BARE)
    off, _ = tiny.fit(tmp_path / "off", "gpt2rec", text=False, data=tiny.BARE)
    np.testing.assert_array_equal(tiny.lists(ids).scores, tiny.lists(off).scores)


@pytest.mark.parametrize(("name", "options"), [
    ("gpt2rec", {}), ("gpt2rec", {"scorer": "both", "data": "PROFILED"}), ("gpt2rec-basic", {"scorer": "mlp"}),
    ("gpt2rec-ids", {"scorer": "mlp"}), ("gpt2rec", {"precision": "bfloat16"}),
])  # fmt: skip
def test_a_loaded_model_needs_nothing_but_its_folder(tiny, tmp_path, name, options):
    if "data" in options:
        options = {**options, "data": getattr(tiny, options["data"])}
    model, _ = tiny.fit(tmp_path / "work", name, **options)
    loaded = tiny.reloaded(model, tmp_path / "saved")
    assert not {path.suffix for path in (tmp_path / "saved").iterdir()} & {".pkl", ".pt", ".bin"}
    found, expected = tiny.lists(loaded), tiny.lists(model)
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.scores, expected.scores)
    users = np.array([5, 59, 30])
    some, history = Recommendations(expected.items[users], expected.scores[users]), tiny.DATA.train.select(users)
    assert loaded.explain(users, history, some) == model.explain(users, history, some)


@pytest.mark.parametrize(("kind", "options"), [
    ("gpt2", {"finetuning": "lora"}), ("bert", {"finetuning": "lora", "fusion": "concat"}),
    ("bert", {"finetuning": "full"}), ("gpt2", {"finetuning": "frozen", "strategy": "cached"}),
])  # fmt: skip
def test_loading_needs_no_backbone(tiny, tmp_path, gpt2_folder, bert_folder, kind, options):
    backbone = tmp_path / "backbone"
    shutil.copytree({"gpt2": gpt2_folder, "bert": bert_folder}[kind], backbone)
    model, _ = tiny.fit(tmp_path / "work", backbone=str(backbone), **options)
    expected = tiny.lists(model)
    model.save(tmp_path)
    shutil.rmtree(backbone)
    loaded = Gpt2Rec(model.config)
    loaded.load(tmp_path, "cpu")
    found = tiny.lists(loaded)
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.scores, expected.scores)
    tiny.assert_equal_weights(tiny.weights(loaded._network), tiny.weights(model._network))


def test_what_is_noted(tiny, tmp_path):
    model, context = tiny.fit(tmp_path / "work")
    notes = json.loads(json.dumps(context.facts))
    network = model._network
    assert notes["backbone"] == "scratch"
    assert notes["documents"] == 48
    assert notes["parameters"] == notes["trained_parameters"] == sum(p.numel() for p in network.parameters())
    encoder = sum(p.numel() for p in network.encoder.parameters())
    # Embeddings of tokens and places; a layer has two norms, attention and a feed-forward part; and a norm at the end.
    vocab_size, width = network.encoder.model.config.vocab_size, 16
    layer = 2 * 2 * width + (4 * width * width + 4 * width) + (8 * width * width + 5 * width)
    assert encoder == (vocab_size + 10) * width + layer + 2 * width
    assert notes["trained_parameters_encoder"] == encoder
    _, cached = tiny.fit(tmp_path / "cached", strategy="cached")
    assert cached.facts["trained_parameters_encoder"] == 0
    assert cached.facts["trained_parameters"] == cached.facts["parameters"] - encoder
    _, ids = tiny.fit(tmp_path / "ids", "gpt2rec-ids")
    assert ids.facts["trained_parameters"] == ids.facts["parameters"] == (60 + 48) * 16 + 48


def test_equal_texts_are_one_document(tiny, tmp_path):
    twins = tiny.split(items=[f"one of {item % 10}" for item in range(48)], users=tiny.PROFILED.users["text"])
    _, context = tiny.fit(tmp_path, data=twins)
    profiles = {text.strip() for text in context.user_texts()["text"]} - {""}
    assert context.facts["documents"] == 10 + len(profiles) < 30


def test_two_models_of_one_process_do_not_touch_each_other(tiny, tmp_path):
    first, _ = tiny.fit(tmp_path / "first")
    expected = tiny.lists(first)
    second, _ = tiny.fit(tmp_path / "second", seed=2)
    np.testing.assert_array_equal(tiny.lists(first).scores, expected.scores)
    assert not np.array_equal(tiny.lists(second).scores, expected.scores)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_ablation_trains(tiny, tmp_path, name):
    for ablation, changes in tiny.MODELS[name].ablations.items():
        model, context = tiny.fit(tmp_path / ablation, name, **{**changes, "epochs": 1, "dynamic_epochs": 1})
        assert (tiny.lists(model).items >= 0).all()
        assert ("backbone" in context.facts) == model.config.text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("profiles", [None, ["", "", "likes one", "", ""]])
def test_users_with_one_interaction_and_with_none(tiny, tmp_path, name, profiles):
    train, valid = [[0], [], [1, 2], [5], []], [[1], [], [3], [], [4]]
    data = tiny.split(interactions_from(train, 6), interactions_from(valid, 6), users=profiles)
    for head in ("product", "mlp"):
        # With the positive left out, users of one item have no text in training.
        model, _ = tiny.fit(tmp_path / head, name, data=data, scorer=head)
        found = tiny.lists(model, data, k=4)
        assert (found.items >= 0).all()
        assert np.isfinite(found.scores).all()
        assert all(torch.isfinite(value).all() for value in model._network.parameters())


def test_a_catalogue_of_two_items(tiny, tmp_path):
    data = tiny.split(interactions_from([[0], [1], [0]], 2), interactions_from([[1], [], []], 2))
    model, _ = tiny.fit(tmp_path, data=data)
    assert tiny.lists(model, data, k=1).items[:, 0].tolist() == [1, 0, 1]


def test_checkpointing_changes_memory_and_nothing_else(tiny, tmp_path, gpt2_folder):
    options = {"backbone": str(gpt2_folder), "finetuning": "lora", "strategy": "dynamic"}
    plain, _ = tiny.fit(tmp_path / "plain", **options)
    twice, _ = tiny.fit(tmp_path / "twice", gradient_checkpointing=True, **options)
    assert_same_lists(tiny.lists(twice), tiny.lists(plain))


def test_nothing_is_imported_before_it_is_needed():
    import subprocess
    import sys

    code = "import sys, bench_gpt2rec; print(sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
