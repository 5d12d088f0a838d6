"""The config of a model from the values that a user or a cell gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from bench.contract import ModelConfig, Recommender
from bench.errors import ConfigError


def make_config(name: str, model: type[Recommender], values: Mapping[str, Any]) -> ModelConfig:
    """The config of a model class.

    Raises
    ------
    ConfigError
        With the first thing that is wrong with the values, in one line.
    """
    try:
        return model.Config(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "config"
        if first["type"] == "missing":
            raise ConfigError(f"{name}: the field '{where}' of its Config has no default: give it one") from error
        what = f"{name}: {where} = {first['input']!r}: {first['msg']}; see 'bench models info {name}'"
        raise ConfigError(" ".join(what.split())) from error
