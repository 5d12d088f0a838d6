"""Where a network comes from: random weights, a pretrained T5, or a shape to load weights into."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from bench_torchkit.text import load_backbone
from torch import Tensor, nn
from transformers import T5Config, T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5Stack

from bench_colarec.config import ColaRecConfig
from bench_colarec.network.network import Network
from bench_colarec.network.parts import Parts


class Pretrained(NamedTuple):
    """What a network takes over from a pretrained T5."""

    encoder: T5Stack
    decoder: T5Stack
    tokens: Tensor
    """(vocab_size, d): embeddings."""


def load(config: ColaRecConfig) -> Pretrained | None:
    """The pretrained T5 that ``config`` names, or None for a network from scratch.

    Raises
    ------
    ConfigError
        If it cannot be had, or is no T5.
    """
    if config.backbone == "scratch":
        return None
    model = load_backbone(
        config.backbone,
        T5ForConditionalGeneration,
        "colarec",
        check=_check,
        dropout_rate=config.dropout,
        attn_implementation="sdpa",
    )
    found = Pretrained(model.encoder, model.decoder, model.shared.weight.detach().clone())
    for stack in (found.encoder, found.decoder):
        stack.set_input_embeddings(nn.Embedding(2, stack.config.d_model))  # type: ignore[no-untyped-call]  # no ids come
        stack.config.vocab_size = 2
    return found


def _check(config: Any) -> None:
    if config.model_type not in ("t5", "mt5"):
        raise ValueError(f"it is a model of type '{config.model_type}', not a T5")


def make(config: ColaRecConfig, parts: Parts, loaded: Pretrained | None) -> Network:
    """A network that was not trained yet on these data, with random weights or those that :func:`load` found."""
    if loaded is None:
        shape = _shape(config)
        return Network(T5Stack(_role(shape, False)), T5Stack(_role(shape, True)), parts, config)
    found = Network(loaded.encoder, loaded.decoder, parts, config)
    with torch.no_grad():
        # Items and users are as large as tokens, so that none of them drowns the others.
        found.table.weight.mul_(loaded.tokens.std())
        n = min(len(loaded.tokens), parts.inputs.n_tokens)
        found.table.weight[:n] = loaded.tokens[:n]
    return found


def of_shape(config: ColaRecConfig, parts: Parts, shape: dict[str, dict[str, Any]]) -> Network:
    """A network with random weights and the stacks that ``shape`` describes, to load weights into."""
    stacks = [T5Stack(T5Config(**{**shape[name], "attn_implementation": "sdpa"})) for name in ("encoder", "decoder")]
    return Network(stacks[0], stacks[1], parts, config)


def _shape(config: ColaRecConfig) -> T5Config:
    shape: dict[str, Any] = {
        "vocab_size": 2,  # ids are never given to it
        "d_model": config.embedding_size,
        "d_kv": config.embedding_size // config.heads,
        "d_ff": config.feed_forward,
        "num_layers": config.layers,
        "num_decoder_layers": config.layers,
        "num_heads": config.heads,
        "dropout_rate": config.dropout,
        "attn_implementation": "sdpa",
    }
    return T5Config(**shape)


def _role(shape: T5Config, is_decoder: bool) -> T5Config:
    found = copy.deepcopy(shape)
    found.is_decoder = is_decoder
    found.use_cache = False
    return found
