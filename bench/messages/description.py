"""What is asked of a plugin about a model, and what it answers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from bench.strict import Strict

FINE = "it can be imported"
"""Last words of a process that has tried a plugin. That it ends well is no sign: a plugin may end it."""


class ModelRequest(Strict):
    """A model as the user asks for it."""

    model: str
    preset: str | None = None
    options: dict[str, Any] = {}

    @staticmethod
    def parse(text: str) -> ModelRequest:
        """``name`` or ``name@preset``."""
        model, _, preset = text.strip().partition("@")
        return ModelRequest(model=model, preset=preset or None)


class AblationDescription(Strict):
    """A part of the model that can be left away."""

    changes: dict[str, Any]
    """As the plugin states them."""
    config: dict[str, Any]
    """What they make of the config that was asked for. It may be invalid, which the worker will say."""


class Description(BaseModel):
    """A model as its plugin describes it."""

    model_config = ConfigDict(frozen=True)

    model: str
    about: str
    """First line of the class's docstring."""
    deterministic: bool
    distributed: bool
    fold_in: bool
    """Whether it can recommend to users that are not in train."""
    longest_list: int | None
    """Of the config; None for no limit."""
    presets: list[str]
    preset: str
    """The preset that was asked for, or the default one."""
    config: dict[str, Any]
    """The whole config that the preset and options come to."""
    config_schema: dict[str, Any]
    ablations: dict[str, AblationDescription]
    explains: bool
    """Whether it can say why it recommends an item."""
