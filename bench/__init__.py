"""A benchmark of recommenders: one honest table, with identical splits, for all users and the long tail.

Everything public is here. For a model: :class:`Recommender` and what :mod:`bench.contract` names. For a run from
Python: :func:`run`. Names are imported on first use, so that ``import bench`` and ``bench --help`` stay light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.api import run as run
    from bench.contract import Arrays as Arrays
    from bench.contract import Context as Context
    from bench.contract import ModelConfig as ModelConfig
    from bench.contract import RawData as RawData
    from bench.contract import Reader as Reader
    from bench.contract import Recommender as Recommender
    from bench.contract import Search as Search
    from bench.contract import TextInputs as TextInputs
    from bench.contract import Validation as Validation
    from bench.contract import hookimpl as hookimpl
    from bench.errors import BenchError as BenchError
    from bench.errors import ConfigError as ConfigError
    from bench.errors import DataError as DataError
    from bench.errors import PluginError as PluginError
    from bench.errors import ResultsError as ResultsError
    from bench.errors import UnknownName as UnknownName
    from bench.interactions import UNFILLED as UNFILLED
    from bench.interactions import Interactions as Interactions
    from bench.interactions import Recommendations as Recommendations
    from bench.interactions import load_interactions as load_interactions
    from bench.interactions import save_array as save_array
    from bench.interactions import save_interactions as save_interactions
    from bench.messages.spec import RunSpec as RunSpec
    from bench.topk import rank as rank
    from bench.topk import top_k as top_k

_HOMES = {
    "bench.api": ("run",),
    "bench.contract": (
        "Arrays",
        "Context",
        "ModelConfig",
        "RawData",
        "Reader",
        "Recommender",
        "Search",
        "TextInputs",
        "Validation",
        "hookimpl",
    ),
    "bench.errors": ("BenchError", "ConfigError", "DataError", "PluginError", "ResultsError", "UnknownName"),
    "bench.interactions": (
        "UNFILLED",
        "Interactions",
        "Recommendations",
        "load_interactions",
        "save_array",
        "save_interactions",
    ),
    "bench.messages.spec": ("RunSpec",),
    "bench.topk": ("rank", "top_k"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'bench' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
