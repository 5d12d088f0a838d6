"""Ask plugins, in processes of their own, what their models are and what configs requests come to.

The parent never imports model code. Answers are kept by the bytes of the plugin's source.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import PluginError, by_kind, plain
from bench.files import cache_folder, content_hash, write_json
from bench.messages.description import FINE, Description, ModelRequest
from bench.plugins import MODELS, PLUGINS, TRACKERS, Plugin, find_model, installed
from bench.runs.hashes import hashes
from bench.runs.outputs import read_output
from bench.runs.process import Child, Rights, run_to_end, verdict

_FORM = 4
"""Goes up when the form of an answer changes, or what a config may hold."""
_PATIENCE = 300.0
"""Seconds that a plugin may take to be imported and to answer."""


def describe(requests: Sequence[ModelRequest]) -> list[Description]:
    """Descriptions in the order of ``requests``.

    Raises
    ------
    UnknownName, ConfigError
        For an unknown model, preset or config key, or a wrong value.
    PluginError
        For a plugin that cannot be imported.
    """
    found = answers(requests)
    for answer in found:
        if "error" in answer:
            raise by_kind(answer["kind"], answer["error"])
    return [Description.model_validate(answer) for answer in found]


def answers(requests: Sequence[ModelRequest]) -> list[dict[str, Any]]:
    """A description or ``{"error": …, "kind": …}`` for each request, from one process for each distribution."""
    plugins = [find_model(request.model) for request in requests]
    found: dict[int, dict[str, Any]] = {}
    open_ones: dict[tuple[str, str], list[int]] = {}
    paths: dict[int, Path] = {}
    for i, (plugin, code) in enumerate(zip(plugins, hashes("description", plugins), strict=True)):
        if isinstance(code, PluginError):  # its package is not there
            found[i] = {"error": str(code), "kind": "PluginError"}
            continue
        if wrong := _not_finite(requests[i]):
            found[i] = {"error": wrong, "kind": "ConfigError"}
            continue
        paths[i] = _path(plugin, code, requests[i])
        kept = _kept(paths[i])
        if kept is not None:
            found[i] = kept
        else:
            open_ones.setdefault((plugin.interpreter, plugin.distribution), []).append(i)
    for (interpreter, _), places in open_ones.items():
        for i, answer in zip(places, _ask(interpreter, [requests[i] for i in places]), strict=True):
            found[i] = answer
            if "error" not in answer:
                write_json(paths[i], answer)
    return [found[i] for i in range(len(requests))]


def _not_finite(request: ModelRequest) -> str:
    """What is wrong with an option that JSON, by which a model is asked for, would make None; empty if nothing is."""
    for key, value in request.options.items():
        if isinstance(value, float) and not math.isfinite(value):
            return f"{request.model}.{key} = {value}: give a finite number"
    return ""


def _kept(path: Path) -> dict[str, Any] | None:
    """The answer in a file; None if it is not there or damaged."""
    try:
        return Description.model_validate_json(path.read_bytes()).model_dump(mode="json")
    except (OSError, ValueError):
        return None


def _path(plugin: Plugin, code: str, request: ModelRequest) -> Path:
    """Where the answer is kept, for this version of the plugin's code and of what is asked."""
    asked = [request.model_dump(mode="json"), _FORM]
    identity = [plugin.interpreter, plugin.distribution, plugin.version, code, *asked]
    return cache_folder() / "descriptions" / f"{content_hash(identity)[:24]}.json"


def _ask(interpreter: str, requests: list[ModelRequest]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="bench-describe-") as name:
        asked, told = Path(name) / "in", Path(name) / "out"
        asked.mkdir()
        told.mkdir()
        write_json(asked / "questions.json", [request.model_dump(mode="json") for request in requests])
        child = Child(interpreter, "bench.worker.describe", Rights([asked], [told]))
        status, lines = run_to_end(child, asked, [asked, told], _PATIENCE)
        try:
            answered: list[dict[str, Any]] = json.loads(read_output(told / "answers.json"))
            return [_checked(answer) for answer, _ in zip(answered, requests, strict=True)]
        except (PluginError, ValueError, TypeError):
            ended = f"it did not answer within {_PATIENCE:.0f} s" if status is None else verdict(status)
            last = plain(lines[-1]) if lines else ended
            error = f"asking {interpreter} to describe it failed: {last}"
            return [{"error": f"{request.model}: {error}", "kind": "PluginError"} for request in requests]


def _checked(answer: Any) -> dict[str, Any]:
    """An answer, which may be anything, as a description or an error; raises ``ValueError`` or ``TypeError``."""
    if set(answer) == {"error", "kind"}:
        return {name: plain(str(text)) for name, text in answer.items()}
    return Description.model_validate(answer).model_dump(mode="json")


@dataclass(frozen=True)
class Health:
    """One plugin, and its error if it has one."""

    name: str
    group: str
    distribution: str
    version: str
    module: str
    interpreter: str
    environment: str | None
    """Folder of its own environment; None: beside the core."""
    error: str | None


def check_plugins(wanted: Callable[[Plugin], bool] = lambda _: True) -> Iterator[Health]:
    """Import every plugin that is wanted and build every model's default config, in other processes."""
    plugins = [plugin for group in (MODELS, PLUGINS, TRACKERS) for plugin in installed(group) if wanted(plugin)]
    models = [p.name for p in plugins if p.group == MODELS and not p.is_family and not p.problem]
    # At once for each distribution; good answers are kept.
    found = answers([ModelRequest(model=name) for name in models])
    errors = {name: answer.get("error") for name, answer in zip(models, found, strict=True)}
    for plugin in plugins:
        described = plugin.group == MODELS and plugin.name in errors
        yield Health(
            name=plugin.name,
            group=plugin.group,
            distribution=plugin.distribution,
            version=plugin.version,
            module=plugin.module,
            interpreter=plugin.interpreter,
            environment=str(plugin.environment.folder) if plugin.environment else None,
            error=plugin.problem or (errors[plugin.name] if described else _import_error(plugin)),
        )


def _import_error(plugin: Plugin) -> str | None:
    """Why a plugin cannot be used, tried in another process; None if it can."""
    child = Child(plugin.interpreter, "bench.worker.check", Rights())
    with tempfile.TemporaryDirectory(prefix="bench-check-") as name:
        status, lines = run_to_end(child, Path(name), [plugin.group, plugin.name], _PATIENCE)
    if status is None:
        return f"it was not imported within {_PATIENCE:.0f} s"
    if status == 0 and lines[-1:] == [FINE]:
        return None
    return plain(lines[-1] if lines and status == 1 else verdict(status))
