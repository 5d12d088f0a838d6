"""Metrics as they stand in tables."""

from __future__ import annotations

import math


def number(value: float) -> str:
    """Four decimals without the leading zero."""
    return "–" if math.isnan(value) else f"{value:.4f}".removeprefix("0")


def signed(difference: float) -> str:
    """The same of a difference of two metrics, with its sign."""
    return "–" if math.isnan(difference) else ("-" if difference < 0 else "+") + number(abs(difference))
