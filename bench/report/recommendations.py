"""Lists and explanations for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def lines(explanation: Mapping[str, Any]) -> list[str]:
    """An explanation for people: a line for each of its parts."""
    return [f"{key}: {_words(value)}" for key, value in explanation.items()]


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(part)}" for key, part in value.items())
    if isinstance(value, (list, tuple)):
        between = "; " if any(isinstance(part, (Mapping, list, tuple)) for part in value) else ", "
        return between.join(_words(part) for part in value)
    return f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).split())
