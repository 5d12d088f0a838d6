"""Hashes of plugins' code by the rule of :mod:`bench.code`, each made where the plugin lives."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from bench.errors import PluginError, plain
from bench.plugins import Plugin
from bench.runs.process import Child, Rights, run_to_end, verdict
from bench.worker.hashes import HASHES

Kind = Literal["code", "description"]

_PATIENCE = 300.0
"""Seconds for all plugins of one environment."""


def code_hash(plugin: Plugin) -> str:
    """:func:`bench.code.code_hash`, wherever the plugin lives; raises ``PluginError`` as that does."""
    [found] = hashes("code", [plugin])
    if isinstance(found, PluginError):
        raise found
    return found


def hashes(kind: Kind, plugins: Sequence[Plugin]) -> list[str | PluginError]:
    """A hash or what is wrong for each plugin, from one process for each environment."""
    found: dict[int, str | PluginError] = {}
    elsewhere: dict[str, list[int]] = {}
    for i, plugin in enumerate(plugins):
        if plugin.environment:
            elsewhere.setdefault(plugin.interpreter, []).append(i)
        else:
            found[i] = _here(kind, plugin)
    for interpreter, places in elsewhere.items():
        found |= zip(places, _there(kind, interpreter, [plugins[i].name for i in places]), strict=True)
    return [found[i] for i in range(len(plugins))]


def _here(kind: Kind, plugin: Plugin) -> str | PluginError:
    try:
        return HASHES[kind](plugin)
    except PluginError as error:
        return error


def _there(kind: Kind, interpreter: str, names: list[str]) -> list[str | PluginError]:
    child = Child(interpreter, "bench.worker.hashes", Rights(confine=False))  # it imports no plugin
    with tempfile.TemporaryDirectory(prefix="bench-hashes-") as name:
        status, lines = run_to_end(child, Path(name), [name, kind, *names], _PATIENCE)
        if status != 0:
            ended = f"it took more than {_PATIENCE:.0f} s" if status is None else verdict(status)
            why = plain(lines[-1]) if lines else ended
            return [PluginError(f"{model}: {interpreter} cannot hash its code: {why}") for model in names]
        answers = json.loads((Path(name) / "hashes.json").read_bytes())
    return [answer["hash"] if "hash" in answer else PluginError(answer["error"]) for answer in answers]
