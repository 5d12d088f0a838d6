"""Named settings of the three models, and what can be taken from the first."""

from __future__ import annotations

from typing import Any

_NETWORK: dict[str, Any] = {"scorer": "mlp", "negatives": 64}
"""Each negative costs a pass through the layers, where a product costs next to nothing."""

_MINILM: dict[str, Any] = {"backbone": "minilm", "item_tokens": 24}
_PAPER: dict[str, Any] = {"backbone": "gpt2", "item_tokens": 64, "user_tokens": 64, **_NETWORK}
_LORA: dict[str, Any] = {"finetuning": "lora"}

ENHANCED: dict[str, dict[str, Any]] = {
    "quick": {},
    "minilm": {**_MINILM, **_LORA},
    "paper": {**_PAPER, **_LORA},
}

_BASIC: dict[str, Any] = {"fusion": "concat", "strategy": "cached", "contrastive_weight": 0.0}

BASIC: dict[str, dict[str, Any]] = {
    "quick": _BASIC,
    "minilm": {**_BASIC, **_MINILM},
    "paper": {**_BASIC, **_PAPER},
}

IDS: dict[str, dict[str, Any]] = {"default": {"text": False}}

ID_ABLATIONS: dict[str, dict[str, Any]] = {"mlp": _NETWORK, "product_and_mlp": {**_NETWORK, "scorer": "both"}}
"""Other scorers."""

ABLATIONS: dict[str, dict[str, Any]] = {
    "no_text": {"text": False},
    "no_contrastive": {"contrastive_weight": 0.0},
    "concat": {"fusion": "concat"},
    "pooled": {"fusion": "pooled"},
    "cached": {"strategy": "cached"},
    "dynamic": {"strategy": "dynamic"},
    "mlp": _NETWORK,
    "history": {"user_text": "history"},
}
"""One part each: texts, contrast, attention, tokens, encoding with gradients, the first stage, the scorer."""
