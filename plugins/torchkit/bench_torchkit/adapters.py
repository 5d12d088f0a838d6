"""Small matrices that are trained in place of a pretrained model's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from bench import ConfigError

GPT2_MODULES = ("c_attn", "c_proj")
"""All of GPT-2's attention, and the last projection of a block; peft's own list has the first alone."""


class Adapters(NamedTuple):
    """Of LoRA (Hu et al., ICLR 2022)."""

    rank: int
    alpha: int
    dropout: float
    modules: Sequence[str] | None
    """Names of the modules that are adapted; None: the usual ones of the kind of model."""


def with_adapters(model: Any, adapters: Adapters, name: str) -> Any:
    """``model`` with ``adapters``, its own weights frozen; ``name`` is the recommender's, for errors.

    Raises
    ------
    ConfigError
        If there is no module to adapt.
    """
    # Imported late: it takes seconds.
    from peft import LoraConfig, inject_adapter_in_model
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as USUAL

    kind = model.config.model_type
    modules = adapters.modules or (GPT2_MODULES if kind == "gpt2" else USUAL.get(kind, "all-linear"))
    config = LoraConfig(
        r=adapters.rank,
        lora_alpha=adapters.alpha,
        lora_dropout=adapters.dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
        fan_in_fan_out=kind == "gpt2",
    )
    try:
        return inject_adapter_in_model(config, model)
    except ValueError as error:
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(f"{name}: no adapters for '{kind}': {reason}; name modules in {name}.lora_modules") from error
