"""Does every installed plugin work?"""

from __future__ import annotations

from dataclasses import dataclass

from bench.plugins import MODELS, PLUGINS, installed
from bench.runs.describe import Request, errors, import_error


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
    models, others = installed(MODELS), installed(PLUGINS)
    single = [name for name, plugin in models.items() if not plugin.is_family]
    found = dict(zip(single, errors([Request(name) for name in single]), strict=True))
    return [
        Health(
            name=plugin.name,
            group=plugin.group,
            distribution=plugin.distribution,
            version=plugin.version,
            module=plugin.module,
            interpreter=plugin.interpreter,
            error=found[plugin.name] if plugin.group == MODELS and plugin.name in found else import_error(plugin),
        )
        for plugin in (*models.values(), *others.values())
    ]
