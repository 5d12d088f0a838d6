"""The encoder with its real weights: all-MiniLM-L6-v2, from its package."""

import numpy as np
import pytest
import torch
from bench_gpt2rec import backbone
from bench_gpt2rec.documents import Texts, tokenize
from bench_gpt2rec.encoder import TextEncoder
from bench_torchkit.text import minilm_folder

from bench import ConfigError

TEXTS = [
    "toy story 1995 animation comedy",
    "drama",
    "a much longer text, of which nothing is cut off: it has café, naïve and don't in it",
    "comedy",
]


@pytest.fixture(scope="module")
def folder():
    try:
        return minilm_folder("gpt2rec", "backbone=minilm")
    except ConfigError:
        pytest.skip("the package of the encoder is not installed")


def test_vectors_are_those_that_were_published(tiny, folder):
    settings = tiny.config(backbone="minilm", item_tokens=64, strategy="cached")
    found = backbone.pretrained(settings)
    of = tokenize(Texts(TEXTS, 4, np.arange(4), None), found.tokenizer, settings)
    with torch.no_grad():
        vectors = TextEncoder(found.model.eval(), of, by_token=False).encode(np.arange(4)).mean()
    vectors = torch.nn.functional.normalize(vectors)
    expected = pytest.importorskip("sentence_transformers").SentenceTransformer(folder, device="cpu").encode(TEXTS)
    np.testing.assert_allclose(vectors.numpy(), expected, atol=1e-5)
    assert vectors[1] @ vectors[3] > vectors[1] @ vectors[2]  # and they know what is alike


def test_minilm_learns_through_adapters(tiny, tmp_path, folder):
    model, context = tiny.fit(
        tmp_path, backbone="minilm", finetuning="lora", lora_rank=4, cached_epochs=1, dynamic_epochs=1, batch_size=512
    )
    assert context.facts["backbone"] == "MiniLM"
    # Query and value of six layers of 384 dimensions.
    assert context.facts["trained_parameters_encoder"] == 6 * 2 * 4 * (384 + 384)
    assert context.facts["parameters"] - context.facts["trained_parameters"] > 22_000_000
    assert (tiny.lists(model).items >= 0).all()
    after = [parameter for name, parameter in model._network.named_parameters() if "lora_B" in name]
    assert len(after) == 12
    assert all(parameter.abs().sum() > 0 for parameter in after)


def test_minilm_without_adapters_is_read_once(tiny, tmp_path, folder):
    model, context = tiny.fit(tmp_path, "gpt2rec-basic", backbone="minilm", epochs=1)
    assert context.facts["backbone"] == "MiniLM"
    assert context.facts["trained_parameters_encoder"] == 0
    read = []
    model._network.encoder.model.register_forward_hook(lambda *_: read.append(1))
    assert (tiny.lists(model).items >= 0).all()
    assert not read
