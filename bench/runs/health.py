"""Does every installed plugin work?"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench.errors import BenchError
from bench.plugins import MODELS, PLUGINS, Plugin, installed
from bench.runs.describe import Request, describe, import_error


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
    plugins = [*installed(MODELS).values(), *installed(PLUGINS).values()]
    with ThreadPoolExecutor(2) as pool:
        errors = list(pool.map(_error, plugins))
    return [
        Health(p.name, p.group, p.distribution, p.version, p.module, p.interpreter, error)
        for p, error in zip(plugins, errors, strict=True)
    ]


def _error(plugin: Plugin) -> str | None:
    if plugin.group == PLUGINS or plugin.is_family:
        return import_error(plugin)
    try:
        describe([Request(plugin.name)])
    except BenchError as error:
        return str(error)
    return None
