"""The language model that reads: a small GPT-2 from scratch, or a pretrained model, with adapters or without."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from bench_torchkit.adapters import with_adapters
from bench_torchkit.text import load_backbone, minilm_folder, train_bpe
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoConfig, AutoModel, GPT2Config, GPT2Model

from bench import ConfigError
from bench_gpt2rec import tokens
from bench_gpt2rec.config import Gpt2RecConfig


class Backbone(NamedTuple):
    """A model without a head, and its tokenizer."""

    model: Any
    tokenizer: Tokenizer
    name: str
    """For tables: ``scratch`` or the name of what was pretrained."""


def pretrained(config: Gpt2RecConfig) -> Backbone | None:
    """The pretrained backbone that ``config`` names, or None for one from scratch.

    Raises
    ------
    ConfigError
        If it cannot be had, is neither a causal model nor an encoder, or reads fewer tokens than are asked for.
    """
    if config.backbone == "scratch":
        return None
    source, name = config.backbone, Path(config.backbone).name
    if config.backbone == "minilm":
        source, name = minilm_folder("gpt2rec", "backbone=minilm"), "MiniLM"
    # Pooling, which no published encoder needs here, may be missing.
    model = load_backbone(source, AutoModel, "gpt2rec", check=_no_encoder_decoder, optional=("pooler",))
    longest = max(config.item_tokens, config.user_tokens)
    positions = getattr(model.config, "max_position_embeddings", longest)
    if longest > positions:
        raise ConfigError(f"gpt2rec: '{config.backbone}' reads {positions} tokens, and {longest} are asked for")
    return Backbone(model, tokens.pretrained(source, "backbone"), name)


def fetch(config: Gpt2RecConfig) -> None:
    """Download what ``config`` names on the model hub.

    Raises
    ------
    ConfigError
        If it cannot be had.
    """
    if pretrained(config) is None and config.tokenizer is not None:
        tokens.pretrained(config.tokenizer, "tokenizer")


def _no_encoder_decoder(shape: Any) -> None:
    if shape.is_encoder_decoder:
        raise ValueError(f"it is an encoder-decoder ('{shape.model_type}'); a causal model or an encoder is needed")


def from_scratch(config: Gpt2RecConfig, texts: list[str]) -> Backbone:
    """A GPT-2 with random weights of the global generator, and a tokenizer trained on ``texts`` or taken over."""
    if config.tokenizer is not None:
        tokenizer = tokens.pretrained(config.tokenizer, "tokenizer")
    else:
        tokenizer = train_bpe(texts, config.vocab_size)
    shape = GPT2Config(
        vocab_size=tokenizer.get_vocab_size(),
        n_positions=max(config.item_tokens, config.user_tokens),
        n_embd=config.text_hidden_size,
        n_layer=config.text_layers,
        n_head=config.text_heads,
        embd_pdrop=config.dropout,
        resid_pdrop=config.dropout,
        attn_pdrop=config.dropout,
        bos_token_id=None,
        eos_token_id=None,
    )
    return Backbone(GPT2Model(shape), tokenizer, "scratch")


def of_shape(shape: dict[str, Any], config: Gpt2RecConfig) -> nn.Module:
    """A model with random weights as ``shape`` describes it, with adapters if ``config`` has them."""
    model = AutoModel.from_config(AutoConfig.for_model(**shape))  # type: ignore[no-untyped-call]
    return adapted(model, config)


def adapted(model: Any, config: Gpt2RecConfig) -> nn.Module:
    """``model`` with what is trained set to be trained: adapters (Hu et al., LoRA, ICLR 2022), all of it, or nothing.

    Raises
    ------
    ConfigError
        If there is no module to adapt.
    """
    model.config.use_cache = False  # nothing is generated
    model.requires_grad_(config.trains_encoder and config.finetuning == "full")
    if config.trains_encoder and config.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    lora = config.trains_encoder and config.finetuning == "lora"
    found: nn.Module = with_adapters(model, config.adapters, "gpt2rec") if lora else model
    return found
