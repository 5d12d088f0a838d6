"""Named settings of the three models, and what can be taken from the first."""

from __future__ import annotations

from typing import Any

_NETWORK: dict[str, Any] = {"scorer": "mlp", "negatives": 64}
"""Each negative costs a pass through the layers, where a product costs next to nothing."""

_MINILM: dict[str, Any] = {"backbone": "minilm", "item_tokens": 24}
_PAPER: dict[str, Any] = {"backbone": "gpt2", "item_tokens": 64, "user_tokens": 64, **_NETWORK}
_LORA: dict[str, Any] = {"finetuning": "lora"}

_TWO_STAGE: dict[str, Any] = {"strategy": "two-stage"}

ENHANCED: dict[str, dict[str, Any]] = {
    "quick": {},
    "two-stage": _TWO_STAGE,
    "dynamic": {"strategy": "dynamic"},
    "minilm": _MINILM,
    "minilm-lora": {**_MINILM, **_LORA, **_TWO_STAGE},
    "paper": {**_PAPER, **_LORA, **_TWO_STAGE},
}
"""States of the texts that are computed once are better and cheaper, as far as was measured (docs/gpt2rec.md), so that
``quick`` and ``minilm`` have them; the others train the encoder too."""

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
    "mlp": _NETWORK,
    "history": {"user_text": "history"},
}
"""One part each: texts, contrast, attention, tokens, the scorer, profiles."""
