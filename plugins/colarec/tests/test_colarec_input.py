"""ColaRec's input: what is refused before anything is trained, and data at the edges."""

import json

import numpy as np
import pytest
from bench_classic.matrix import matrix
from bench_colarec.config import ABLATIONS, PRESETS
from bench_colarec.items import tokens
from bench_colarec.model import ColaRec
from bench_colarec.network import backbone
from bench_torchkit import text
from pydantic import ValidationError
from transformers import BertConfig, BertModel, T5Config, T5EncoderModel

from bench import BenchError, ConfigError, DataError, rank
from bench.testing import Interrupted, LocalContext, MemorySplit, block_interactions, interactions_from

DATA = block_interactions()
PAPER = {**PRESETS["paper"], "backbone": "scratch", "lengths": "tiny", "codebook_size": 4, "epochs": 1}


def with_texts(change):
    """The data with other texts: ``change`` is given those of items."""
    found = MemorySplit(DATA.train, DATA.valid)
    found.items = change(found.items.copy())
    return found


NO_TEXTS = with_texts(lambda items: items[["id"]])
BLANK_TEXTS = with_texts(lambda items: items.assign(text=" "))
NO_WORDS = with_texts(lambda items: items.assign(text="!?"))
SOME_TEXTS = with_texts(lambda items: items.assign(text=items["text"].where(~items.index.isin([3, 8]), "  ")))


def refused(folder, data=DATA, kind=BenchError, **options):
    """The message of the error, which comes before anything is trained."""
    model = ColaRec(ColaRec.Config(**options))
    context = LocalContext(model, data, folder)
    with pytest.raises(kind) as caught:
        model.fit(data.train, data.valid, context)
    message = str(caught.value)
    assert "\n" not in message
    assert not context.scores
    assert not any("epoch" in line for line in context.messages)
    return message


@pytest.mark.parametrize("data", [NO_TEXTS, BLANK_TEXTS], ids=["none", "blank"])
def test_a_catalogue_without_texts_is_refused(tmp_path, data):
    message = refused(tmp_path, data, DataError)
    assert "text" in message
    assert "content=false" in message
    for source in ("text", "minilm"):
        assert "text" in refused(tmp_path, data, content=False, gid_source=source)


def test_identifiers_of_texts_without_words_are_refused(tmp_path):
    assert "another gid_source" in refused(tmp_path, NO_WORDS, DataError, gid_source="text")


def test_identifiers_of_sentence_vectors_that_cannot_be_had_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "_MINILM", "not_there")
    assert "pip install not-there" in refused(tmp_path, kind=ConfigError, gid_source="minilm")


def test_a_catalogue_without_texts_is_fine_for_a_model_that_does_not_read(tiny, tmp_path):
    model, _ = tiny.fit(tmp_path, NO_TEXTS, content=False)
    assert (tiny.lists(model).items >= 0).all()


@pytest.mark.parametrize("item_ids", [True, False])
def test_an_item_without_text_is_recommended_too(tiny, tmp_path, item_ids):
    model, context = tiny.fit(tmp_path, SOME_TEXTS, item_ids=item_ids)
    assert any(message.startswith("2 of 48 items have no text") for message in context.messages)
    assert {3, 8} <= set(tiny.lists(model, k=48).items[59].tolist())


def test_published_identifiers_that_are_not_there_are_refused(tmp_path):
    message = refused(tmp_path, gid_source="published", kind=ConfigError)
    assert "gid" in message
    assert "gid_source" in message


GIDS = [f"{1 + item % 4} {1 + item // 4}" for item in range(48)]


def test_published_identifiers_are_taken_as_they_are(tiny, tmp_path):
    model, context = tiny.fit(tmp_path, with_texts(lambda items: items.assign(gid=GIDS)), gid_source="published")
    assert model._ranker.parts.tree.codes.tolist() == [[item % 4, item // 4] for item in range(48)]
    assert context.facts["codes_per_position"] == 12


def test_published_identifiers_that_are_not_unique_are_refused(tmp_path):
    twins = with_texts(lambda items: items.assign(gid=[*GIDS[:-1], GIDS[0]]))
    assert "two items, 0 and 47" in refused(tmp_path, twins, DataError, gid_source="published")


def test_a_catalogue_larger_than_the_tree_is_refused(tmp_path):
    message = refused(tmp_path, codebook_size=3, kind=ConfigError)
    assert "holds 27 items" in message
    assert "48" in message
    assert "codebook_size" in message


def test_a_size_that_heads_do_not_divide_is_refused():
    with pytest.raises(ValidationError, match="embedding_size 18 is no multiple of heads 4"):
        ColaRec.Config(embedding_size=18, heads=4)
    ColaRec.Config(embedding_size=18, heads=4, backbone="t5-small")  # which brings its own


def test_a_size_without_room_for_vectors_is_refused(tiny, tmp_path):
    with pytest.raises(ValidationError, match="embedding_size 4 has no room for vectors"):
        ColaRec.Config(embedding_size=4)
    ColaRec.Config(embedding_size=4, init="random")
    ColaRec.Config(embedding_size=4, backbone="t5-small")
    tiny.fit(tmp_path, embedding_size=5, heads=1)


def test_items_need_a_text_or_an_embedding():
    with pytest.raises(ValidationError, match="neither content nor item_ids"):
        ColaRec.Config(content=False, item_ids=False)


@pytest.mark.parametrize("preset", PRESETS)
def test_ablations_of_every_preset_are_valid(preset):
    for changes in ABLATIONS.values():
        ColaRec.Config(**{**PRESETS[preset], **changes})


@pytest.mark.parametrize("content", [True, False])
def test_a_backbone_that_cannot_be_had_is_refused(tmp_path, content):
    from huggingface_hub.constants import HF_HUB_CACHE

    message = refused(tmp_path, backbone="no/such-model", content=content, kind=ConfigError)
    for part in (
        "no/such-model",
        HF_HUB_CACHE,
        "bench models fetch colarec",
        "colarec.backbone=FOLDER",
        "preset quick",
    ):
        assert part in message


def test_fetching_gets_the_backbone_and_its_tokenizer(monkeypatch):
    asked = []
    load = backbone.load
    monkeypatch.setattr(backbone, "load", lambda given: load(given) or (asked.append(given.backbone), None)[1])
    monkeypatch.setattr(tokens, "pretrained", lambda name, key="backbone": asked.append((key, name)))
    ColaRec.fetch(ColaRec.Config())
    ColaRec.fetch(ColaRec.Config(tokenizer="some/tokenizer"))
    assert asked == ["scratch", "scratch", ("tokenizer", "some/tokenizer")]
    monkeypatch.setattr(backbone, "load", lambda given: given.backbone)
    ColaRec.fetch(ColaRec.Config(**PRESETS["paper"]))
    assert asked[3:] == [("backbone", "t5-small")]


def test_a_folder_that_holds_no_whole_t5_is_refused(tmp_path):
    shape = {"vocab_size": 8, "d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    names = ("empty", "bert", "encoder", "broken", "untyped")
    folders = {name: tmp_path / name for name in names}
    folders["empty"].mkdir()
    BertModel(BertConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)).save_pretrained(
        folders["bert"]
    )
    for name in ("encoder", "broken", "untyped"):
        T5EncoderModel(T5Config(**shape)).save_pretrained(folders[name])
    (folders["broken"] / "model.safetensors").write_bytes(b"nothing of use")
    config = folders["untyped"] / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "dropout_rate": "much", "d_model": "wide"}))
    for name, reason in zip(names, ("", "'bert'", "weights are missing", "", ""), strict=True):
        message = refused(tmp_path / "work", backbone=str(folders[name]))
        assert f"the folder {folders[name]} holds no model that can be used" in message
        assert reason in message


def test_a_vectors_file_that_is_not_there_is_refused(tmp_path):
    assert "nowhere.npz" in refused(tmp_path, vectors_file=str(tmp_path / "nowhere.npz"))


def test_vectors_of_a_file(tiny, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "vectors.npz", items=rng.standard_normal((48, 6)), users=rng.standard_normal((60, 6)))
    model, _ = tiny.fit(tmp_path / "work", vectors_file=str(tmp_path / "vectors.npz"))
    assert (tiny.lists(model).items >= 0).all()


def test_users_outside_train_are_ranked_by_their_history_while_vectors_are_trained(tiny, tmp_path):
    outside = DATA.train.users % 3 == 0
    train, known = DATA.train.where(~outside), DATA.train.where(outside)
    valid = DATA.valid.where(DATA.valid.users % 3 == 0)
    model = ColaRec(ColaRec.Config(**tiny.SMALL))
    context = LocalContext(model, MemorySplit(train, valid, known), tmp_path, interrupt_after=3)
    with pytest.raises(Interrupted):
        model.fit(train, valid, context)
    assert len(set(context.scores)) > 1
    users = np.flatnonzero(DATA.train.lengths)
    history, vectors = DATA.train.select(users), model._vectors
    found = model.recommend(users, history, history, 10)
    sums = matrix(history) @ vectors.items
    of_users = rank(lambda rows: vectors.users[users[rows]] @ vectors.items.T, history, 10)
    of_histories = rank(lambda rows: sums[rows] @ vectors.items.T, history, 10)
    new = train.lengths[users] == 0
    for name in ("items", "scores"):
        np.testing.assert_array_equal(getattr(found, name)[~new], getattr(of_users, name)[~new])
        np.testing.assert_allclose(getattr(found, name)[new], getattr(of_histories, name)[new], rtol=1e-4)


@pytest.mark.parametrize("options", [{}, PAPER])
def test_users_with_one_interaction_and_with_none(tiny, tmp_path, options):
    train = interactions_from([[0], [], [1, 2], [5], []], 6)
    valid = interactions_from([[1], [], [3], [], [4]], 6)
    data = MemorySplit(train, valid)
    model, _ = tiny.fit(tmp_path, data, **options)
    found = tiny.lists(model, data, k=4)
    assert (found.items >= 0).all()
    assert np.isfinite(found.scores).all()


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_catalogue_of_two_items(tiny, tmp_path, length):
    data = MemorySplit(interactions_from([[0], [1], [0]], 2), interactions_from([[1], [], []], 2))
    model, _ = tiny.fit(tmp_path, data, codes=length)
    assert tiny.lists(model, data, k=1).items[:, 0].tolist() == [1, 0, 1]
