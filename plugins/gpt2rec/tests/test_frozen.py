"""Vectors of texts that are kept for all splits, and what is downloaded before a cell is run."""

import shutil
from functools import partial

import numpy as np
import pytest
import torch
from bench_gpt2rec import backbone
from bench_gpt2rec.model import Gpt2Rec, Gpt2RecBasic
from transformers import AutoModel, AutoTokenizer

from bench import ConfigError
from bench.testing import LocalContext

FROZEN = {"finetuning": "frozen", "epochs": 2}


@pytest.fixture(params=["gpt2", "bert"])
def folder(request, gpt2_folder, bert_folder):
    return {"gpt2": gpt2_folder, "bert": bert_folder}[request.param]


@pytest.fixture
def fit(tiny, tmp_path):
    """A fitted ``gpt2rec-basic`` and its context; with what earlier ones kept unless ``kept`` is None."""
    numbers = iter(range(99))

    def begin(folder, *, kept=tmp_path / "kept", **options):
        work, context = tmp_path / str(next(numbers)), partial(LocalContext, kept=kept)
        return tiny.fit(work, "gpt2rec-basic", context=context, backbone=str(folder), **{**FROZEN, **options})

    return begin


def entries(tmp_path):
    return sorted(path.name for path in (tmp_path / "kept").iterdir()) if (tmp_path / "kept").is_dir() else []


@pytest.mark.parametrize("data", ["DATA", "PROFILED"])
def test_lists_are_the_same_whether_vectors_are_kept_found_or_neither(tiny, fit, tmp_path, monkeypatch, folder, data):
    given = {"data": getattr(tiny, data)}
    without, _ = fit(folder, kept=None, **given)
    making, first = fit(folder, **given)
    monkeypatch.setattr("bench_gpt2rec.encoder.TextEncoder._read", None)  # from now on nothing can be read
    finding, second = fit(folder, **given)
    for model in (making, finding):
        np.testing.assert_array_equal(tiny.lists(model).items, tiny.lists(without).items)
        np.testing.assert_array_equal(tiny.lists(model).scores, tiny.lists(without).scores)
    assert len(entries(tmp_path)) == 1
    assert [any("computed before" in line for line in context.messages) for context in (first, second)] == [False, True]


def test_vectors_are_the_means_of_the_library(tiny, fit, folder):
    model, _ = fit(folder, data=tiny.PROFILED)
    encoder = model._network.encoder
    tokenizer, plain = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    assert len(encoder.cached_states) == len(encoder.documents.texts) > 48
    with torch.no_grad():
        for found, text, most in zip(
            encoder.cached_states, encoder.documents.texts, encoder.documents.max_tokens, strict=True
        ):
            inputs = tokenizer(text, truncation=True, max_length=int(most), return_tensors="pt")
            expected = plain(**inputs).last_hidden_state[0].mean(0)
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_other_seeds_find_them_and_other_texts_weights_and_lengths_do_not(tiny, fit, tmp_path, gpt2_folder):
    fit(gpt2_folder)
    fit(gpt2_folder, seed=2)
    fit(gpt2_folder, data=tiny.PROFILED, user_text="history", fusion="pooled", finetuning="lora", history=1)
    assert len(entries(tmp_path)) == 2  # one more for another way to describe users, of whatever network
    fit(gpt2_folder, item_tokens=7)
    assert len(entries(tmp_path)) == 3
    copied = tmp_path / "copy"
    shutil.copytree(gpt2_folder, copied)
    fit(copied)
    model = AutoModel.from_pretrained(copied)
    with torch.no_grad():
        model.wpe.weight[0, 0] += 1e-3
    model.save_pretrained(copied)
    _, context = fit(copied)
    assert not any("computed before" in line for line in context.messages)
    assert len(entries(tmp_path)) == 5


@pytest.mark.parametrize("options", [
    {"fusion": "attention"}, {"strategy": "dynamic", "finetuning": "lora", "epochs": 1},
    {"backbone": "scratch", "finetuning": "full"},
])  # fmt: skip
def test_nothing_is_kept_of_states_of_tokens_and_of_encoders_of_ones_own(tiny, tmp_path, gpt2_folder, options):
    context = partial(LocalContext, kept=tmp_path / "kept")
    options = {"backbone": str(gpt2_folder), **FROZEN, **options}
    tiny.fit(tmp_path / "work", "gpt2rec-basic", context=context, **options)
    assert not entries(tmp_path)


# What is downloaded.


@pytest.fixture
def asked(monkeypatch):
    """What is asked of the hub, which has nothing."""
    seen = []

    def load(source, *given, **options):
        seen.append(source)
        raise ConfigError("it is not there")

    monkeypatch.setattr(backbone, "load_backbone", load)
    monkeypatch.setattr("bench_gpt2rec.tokens.load_tokenizer", load)
    return seen


@pytest.mark.parametrize(("options", "sources"), [
    ({}, []), ({"backbone": "gpt2", "text": False}, []), ({"backbone": "gpt2"}, ["gpt2"]),
    ({"tokenizer": "somebody/tokenizer"}, ["somebody/tokenizer"]),
])  # fmt: skip
def test_what_a_config_names_is_fetched(tiny, asked, options, sources):
    if sources:
        with pytest.raises(ConfigError, match="not there"):
            Gpt2Rec.fetch(tiny.config(**options))
    else:
        Gpt2Rec.fetch(tiny.config(**options))
    assert asked == sources


def test_the_preset_of_the_paper_needs_gpt2(asked):
    for made in (Gpt2Rec, Gpt2RecBasic):
        with pytest.raises(ConfigError):
            made.fetch(made.Config(**made.presets["paper"]))
    assert asked == ["gpt2", "gpt2"]


def test_a_local_folder_is_enough(tiny, folder):
    Gpt2Rec.fetch(tiny.config(backbone=str(folder), finetuning="lora"))
