"""The family ``recbole:NAME``: RecBole's class of that name, with a config made from RecBole's yaml file of it."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import recbole.model.general_recommender as general
import recbole.model.sequential_recommender as sequential
import yaml
from pydantic import Field, create_model
from recbole.model.abstract_recommender import AbstractRecommender, AutoEncoderMixin
from recbole.utils import ModelType

from bench import ConfigError, ModelConfig, UnknownName
from bench_recbole.configs import SampledConfig, SequentialConfig, TrainingConfig
from bench_recbole.model import RecBoleModel

PREFIX = "recbole:"

_PROPERTIES = Path(general.__file__).parents[2] / "properties" / "model"

_NEEDS = {
    "DIEN": "labelled interactions",
    "DIN": "labelled interactions",
    "FDSA": "item features",
    "GRU4RecF": "item features",
    "GRU4RecKG": "a knowledge graph",
    "KSR": "a knowledge graph",
    "RaCT": "several runs, one for each stage of pretraining",
    "S3Rec": "item features and a run for pretraining",
    "SASRecF": "item features",
}

_REFUSED = {
    **{name: f"needs {what}, which the benchmark does not hand to a model" for name, what in _NEEDS.items()},
    "Random": "draws its lists anew at each call: use the model random",
}
"""Models that cannot be had, and why."""

_DETERMINISTIC = {"AsymKNN", "EASE", "ItemKNN"}
"""Models that draw nothing. Pop is not one of them: it counts an item once a batch, so the shuffle matters; nor is
SLIMElastic, which fits its coefficients in a random order."""

_NOT_PERSONALIZED = {"Pop"}

_COMMENT = re.compile(r"^(?P<key>[\w-]+):.*?#\s*(?:\((?P<type>[^)]*)\))?\s*(?P<about>.*?)\s*$", re.MULTILINE)
"""A line of RecBole's yaml: ``margin: 0.5   # (float) The margin to filter negative samples.``"""

_EXPONENT = re.compile(r"[-+]?\d+e[-+]?\d+", re.IGNORECASE)


@functools.cache
def model_class(name: str) -> type[RecBoleModel]:
    """The class of ``recbole:NAME``.

    Raises
    ------
    UnknownName
        If RecBole has no model of that name.
    ConfigError
        If it has one that cannot be trained on interactions alone.
    """
    algorithm = name.removeprefix(PREFIX)
    recbole = recbole_class(algorithm)
    config = config_class(algorithm)
    members = {
        "__doc__": config.__doc__,
        "__module__": __name__,
        "Config": config,
        "deterministic": algorithm in _DETERMINISTIC,
        "personalized": algorithm not in _NOT_PERSONALIZED,
        "recbole_class": recbole,
    }
    return type(algorithm, (RecBoleModel,), members)


def model_names() -> list[str]:
    """Class names of RecBole's general and sequential models that can be trained on interactions alone."""
    return sorted(
        name
        for package in (general, sequential)
        for name, value in vars(package).items()
        if isinstance(value, type) and issubclass(value, AbstractRecommender) and name not in _REFUSED
    )


def recbole_class(name: str) -> type[AbstractRecommender]:
    """RecBole's class of that name.

    Raises
    ------
    UnknownName
        If there is none.
    ConfigError
        If it needs data that the benchmark does not hand out, or draws its lists anew at each call.
    """
    if name in _REFUSED:
        raise ConfigError(f"RecBole's {name} {_REFUSED[name]}")
    found = getattr(general, name, None) or getattr(sequential, name, None)
    if isinstance(found, type) and issubclass(found, AbstractRecommender):
        return found
    if name in {path.stem for path in _PROPERTIES.glob("*.yaml")}:
        raise ConfigError(
            f"RecBole's {name} is context-aware or knowledge-based: only its general and sequential models can be had"
        )
    raise UnknownName("RecBole model", name, model_names(), "https://recbole.io/model_list.html")


def config_class(name: str) -> type[ModelConfig]:
    """The config of a RecBole model: the keys of its yaml, typed by their defaults, and what all models share."""
    path = _PROPERTIES / f"{name}.yaml"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    comments = {match["key"]: match for match in _COMMENT.finditer(text)}
    fields: dict[str, Any] = {}
    for key, value in (yaml.safe_load(text) or {}).items():
        comment = comments.get(key)
        default = _number(value)
        is_float = isinstance(default, int) and comment is not None and comment["type"] == "float"
        kind = float if is_float else _type(default)
        fields[key] = (kind, Field(float(default) if is_float else default, description=comment and comment["about"]))
    algorithm = recbole_class(name)
    base: type[ModelConfig] = SampledConfig
    if algorithm.type == ModelType.SEQUENTIAL:
        base = SequentialConfig
    elif algorithm.type == ModelType.TRADITIONAL or issubclass(algorithm, AutoEncoderMixin):
        base = TrainingConfig  # they draw no negatives
    return create_model(f"{name}Config", __base__=base, __doc__=f"RecBole's {name}, as in its {name}.yaml.", **fields)


def _number(value: Any) -> Any:
    """Numbers that yaml takes for text (``1e-5`` has no dot) as numbers; in lists too."""
    if isinstance(value, list):
        return tuple(_number(item) for item in value)
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


def _type(default: Any) -> Any:
    if isinstance(default, tuple):
        kinds = {type(item) for item in default}
        kind: Any = kinds.pop() if len(kinds) == 1 else Any
        return tuple[kind, ...]
    return Any if default is None else type(default)
