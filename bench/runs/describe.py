"""Ask plugins, in processes of their own, what their models are and what configs requests come to.

The parent never imports model code. Answers are kept by the bytes of the plugin's source.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.code import description_hash
from bench.errors import BenchError, PluginError, by_kind, one_line
from bench.files import cache_folder, content_hash, write_json
from bench.messages.description import Description, ModelRequest
from bench.plugins import MODELS, PLUGINS, Plugin, find_model, installed
from bench.runs.outputs import read_output
from bench.runs.process import Child, Rights, verdict

_FORM = 3
"""Goes up when the form of an answer changes."""


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
    for i, (plugin, request) in enumerate(zip(plugins, requests, strict=True)):
        try:
            path = _path(plugin, request)
        except PluginError as error:  # its package is not there
            found[i] = {"error": str(error), "kind": "PluginError"}
            continue
        if path.is_file():
            found[i] = json.loads(path.read_text(encoding="utf-8"))
        else:
            open_ones.setdefault((plugin.interpreter, plugin.distribution), []).append(i)
    for (interpreter, _), places in open_ones.items():
        for i, answer in zip(places, _ask(interpreter, [requests[i] for i in places]), strict=True):
            found[i] = answer
            if "error" not in answer:
                write_json(_path(plugins[i], requests[i]), answer)
    return [found[i] for i in range(len(requests))]


def _path(plugin: Plugin, request: ModelRequest) -> Path:
    """Where the answer is kept, for this version of the plugin's code and of what is asked."""
    asked = [request.model_dump(mode="json"), _FORM]
    identity = [plugin.interpreter, plugin.distribution, plugin.version, description_hash(plugin), *asked]
    return cache_folder() / "descriptions" / f"{content_hash(identity)[:24]}.json"


def _ask(interpreter: str, requests: list[ModelRequest]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="bench-describe-") as name:
        asked, told = Path(name) / "in", Path(name) / "out"
        asked.mkdir()
        told.mkdir()
        write_json(asked / "questions.json", [request.model_dump(mode="json") for request in requests])
        child = Child(interpreter, "bench.worker.describe", Rights([asked], [told]))
        with (asked / "log").open("w+b") as log:
            child.start(asked, [asked, told], log)
            status = child.wait()
            child.end()
            log.seek(0)
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
        try:
            found: list[dict[str, Any]] = json.loads(read_output(told / "answers.json"))
        except (PluginError, ValueError):
            last = lines[-1] if lines else verdict(status)
            error = f"asking {interpreter} to describe it failed: {last}"
            return [{"error": f"{request.model}: {error}", "kind": "PluginError"} for request in requests]
    return found


@dataclass(frozen=True)
class Health:
    """One plugin, and its error if it has one."""

    name: str
    group: str
    distribution: str
    version: str
    module: str
    interpreter: str
    error: str | None


def check_plugins() -> list[Health]:
    """Import every plugin and build every model's default config, in other processes."""
    models = [plugin for plugin in installed(MODELS) if not plugin.is_family and not plugin.conflict]
    answers([ModelRequest(model=plugin.name) for plugin in models])  # at once for each distribution; good ones are kept
    return [
        Health(
            name=plugin.name,
            group=plugin.group,
            distribution=plugin.distribution,
            version=plugin.version,
            module=plugin.module,
            interpreter=plugin.interpreter,
            error=_problem(plugin),
        )
        for group in (MODELS, PLUGINS)
        for plugin in installed(group)
    ]


def _problem(plugin: Plugin) -> str | None:
    try:
        plugin.check()
        if plugin.group == MODELS and not plugin.is_family:
            [answer] = answers([ModelRequest(model=plugin.name)])
            return answer.get("error")
    except BenchError as error:
        return one_line(error)
    return _import_error(plugin)


def _import_error(plugin: Plugin) -> str | None:
    """Why a plugin cannot be used, tried in another process; None if it can."""
    code = (
        "import sys; from bench.plugins import check_module, installed; "
        "check_module(next(p for p in installed(sys.argv[1]) if p.name == sys.argv[2]))"
    )
    words = [plugin.interpreter, "-P", "-c", code, plugin.group, plugin.name]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no message"])[-1]
