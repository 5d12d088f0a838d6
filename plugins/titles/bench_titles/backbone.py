"""The language model that writes: a small GPT-2 from scratch, or a pretrained causal model, perhaps with adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from bench_torchkit.adapters import with_adapters
from bench_torchkit.text import load_backbone
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from bench import ConfigError
from bench_titles import tokens
from bench_titles.config import TitlesConfig


class Writer(nn.Module):
    """A causal model, and the token that ends a title.

    ``name`` is for tables: ``scratch``, or that of what was pretrained.
    """

    def __init__(self, model: Any, end: int, name: str) -> None:
        super().__init__()
        self.model, self.end, self.name = model, end, name

    @property
    def device(self) -> torch.device:
        found: torch.device = self.model.device
        return found

    @property
    def vocabulary(self) -> int:
        """Tokens that it tells apart."""
        return int(self.model.get_output_embeddings().weight.shape[0])

    @property
    def numbers_per_token(self) -> int:
        """Of the keys and values of one token, over all layers."""
        shape = self.model.config
        return int(2 * shape.num_hidden_layers * shape.hidden_size)

    def states(self, ids: Tensor, **options: Any) -> Tensor:
        """(n, L, d): of the tokens ``ids`` (n, L); ``options`` are those of the model, such as a cache."""
        body = getattr(self.model, self.model.base_model_prefix)
        found: Tensor = body(input_ids=ids, **options).last_hidden_state
        return found

    def logits(self, states: Tensor) -> Tensor:
        """(…, V): of ``states`` (…, d)."""
        found: Tensor = self.model.get_output_embeddings()(states)
        return found


def pretrained(config: TitlesConfig) -> tuple[Any, Tokenizer, str] | None:
    """The model that ``config`` names, its tokenizer and its name; None for one from scratch.

    Raises
    ------
    ConfigError
        If it cannot be had, is no causal model, or reads fewer tokens than are asked for.
    """
    if config.backbone == "scratch":
        return None
    model = load_backbone(config.backbone, AutoModelForCausalLM, "titles", check=_no_encoder_decoder)
    positions = getattr(model.config, "max_position_embeddings", config.most_tokens)
    if config.most_tokens > positions:
        raise ConfigError(
            f"titles: '{config.backbone}' reads {positions} tokens, and {config.most_tokens} are asked for: choose a "
            "smaller titles.history or titles.title_tokens"
        )
    return model, tokens.pretrained(config.backbone, "backbone"), Path(config.backbone).name


def _no_encoder_decoder(shape: Any) -> None:
    if shape.is_encoder_decoder:
        raise ValueError(f"it is an encoder-decoder ('{shape.model_type}'), and a causal model is needed")


def from_scratch(config: TitlesConfig, vocabulary: int) -> Any:
    """A GPT-2 with random weights of the global generator."""
    shape = GPT2Config(
        vocab_size=vocabulary,
        n_positions=config.most_tokens,
        n_embd=config.embedding_size,
        n_layer=config.layers,
        n_head=config.heads,
        activation_function="gelu_pytorch_tanh",  # the same function as that of GPT-2, in one kernel
        embd_pdrop=config.dropout,
        resid_pdrop=config.dropout,
        attn_pdrop=0.0,  # it would cost a processor a quarter of each step
        initializer_range=config.initializer_range,
        bos_token_id=None,
        eos_token_id=None,
    )
    return GPT2LMHeadModel(shape)


def of_shape(shape: dict[str, Any], config: TitlesConfig) -> Any:
    """A model with random weights as ``shape`` describes it, with adapters if ``config`` has them."""
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**shape))  # type: ignore[no-untyped-call]
    return adapted(model, config)


def adapted(model: Any, config: TitlesConfig) -> Any:
    """``model`` with what is trained set to be trained: adapters (Hu et al., LoRA, ICLR 2022), or all of it.

    Raises
    ------
    ConfigError
        If there is no module to adapt.
    """
    if config.finetuning == "full":
        return model
    return with_adapters(model, config.adapters, "titles")
