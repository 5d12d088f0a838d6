"""Vectors of texts by a pretrained encoder that never learns: computed once for all splits of a data set."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from tokenizers import Tokenizer

from bench import Arrays, Context, TextInputs
from bench_gpt2rec import backbone, documents
from bench_gpt2rec.config import Gpt2RecConfig
from bench_gpt2rec.encoder import TextEncoder


def can_be_kept(config: Gpt2RecConfig) -> bool:
    """Whether states depend on the texts alone, and are few: one for each text."""
    return config.backbone != "scratch" and not config.trains_encoder and not config.by_token


def fill_cache(encoder: TextEncoder, tokenizer: Tokenizer, config: Gpt2RecConfig, context: Context) -> None:
    """Give the encoder the states of its documents, from what the core has kept or from its backbone."""
    inputs: dict[str, Any] = {
        "config": config.model_dump(include={"backbone", "item_tokens", "user_tokens", "user_text"}),
        "device": context.device,
        "tokenizer": hashlib.sha256(tokenizer.to_str().encode()).hexdigest(),
        "weights": encoder.fingerprint(),
    }
    encoder.set_cache(context.cached_from_texts("text-vectors", inputs, text_vectors)["states"])


def text_vectors(given: TextInputs) -> Arrays:
    """(n_documents, h) ``states``: the mean state of each distinct text."""
    config = Gpt2RecConfig(**given.inputs["config"], finetuning="frozen", strategy="cached", fusion="concat")
    # The network that is trained begins with the same random weights, whether this is computed or was kept.
    with torch.random.fork_rng():
        found = backbone.pretrained(config)
        assert found is not None
        read = documents.tokenize(documents.read(config, given.items, given.users), found.tokenizer, config)
        encoder = TextEncoder(backbone.adapted(found.model, config), read, config.by_token).to(given.inputs["device"])
    encoder.progress = lambda done, total: given.progress(done, total, "text")
    encoder.rebuild_cache()
    return {"states": encoder.cached_states}
