"""Hook specifications, and discovery of plugins that imports nothing before it is needed.

Two groups of entry points: ``bench.models``, one entry per model, named as the model, whose value is its class (a name
that ends in ``:`` is a family: it stands for every name that begins with it, and its value is a function from such a
name to a class), and ``bench.plugins``, whose values are modules with life-cycle hooks and readers of raw formats.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import pluggy

from bench.contract import Reader, Recommender
from bench.errors import PluginError, UnknownName, one_line

hookspec = pluggy.HookspecMarker("bench")

MODELS, PLUGINS = "bench.models", "bench.plugins"


class Hooks:
    """All hooks. Cells, events and results are the classes of :mod:`bench.messages`."""

    @hookspec(firstresult=True)
    def bench_source(self, name: str) -> Reader | None:
        """The reader of the raw format ``name`` (:mod:`bench.data.sources`), or None."""

    @hookspec
    def bench_run_started(self, cells: Sequence[Any]) -> None:
        """A run begins; ``cells`` (:class:`bench.messages.cell.Cell`) are those that it will work on."""

    @hookspec
    def bench_event(self, cell: Any, event: Any) -> None:
        """Something happened to ``cell``: ``event`` is one of :mod:`bench.messages.events`."""

    @hookspec
    def bench_cell_finished(self, cell: Any, result: Any) -> None:
        """A cell has its ``result`` (:class:`bench.messages.cell.Result`), a failed one too."""

    @hookspec
    def bench_run_finished(self, results: Sequence[Any]) -> None:
        """All cells of the run have their results."""


@dataclass(frozen=True)
class Plugin:
    """One entry point, as its metadata tells."""

    name: str
    """Of the model or family, or of the life-cycle plugin."""
    group: str
    value: str
    """``module:attribute`` or ``module``."""
    distribution: str
    version: str
    conflict: str = ""
    """Another distribution that uses the same name; neither can be used then."""
    interpreter: str = sys.executable
    """The Python that runs this plugin's workers."""

    @property
    def module(self) -> str:
        return self.value.partition(":")[0]

    @property
    def is_family(self) -> bool:
        """Whether the name stands for every model name that begins with it."""
        return self.name.endswith(":")

    def check(self) -> None:
        """Raise ``PluginError`` if another distribution uses the name too."""
        if self.conflict:
            raise PluginError(
                f"'{self.name}' comes from {self.distribution} and from {self.conflict}: uninstall one of them"
            )

    def load(self) -> Any:
        """Import what the entry point names.

        Raises
        ------
        PluginError
            With whatever the import raised, in one line.
        """
        self.check()
        manager = _manager()
        try:
            manager.load_setuptools_entrypoints(self.group, self.name)
        except pluggy.PluginValidationError as error:
            raise PluginError(f"plugin '{self.name}' of {self.distribution}: {one_line(error)}") from error
        except Exception as error:  # a stranger's module may raise anything, and must harm nobody else
            raise PluginError(
                f"plugin '{self.name}' of {self.distribution} cannot be imported: {one_line(error)}"
            ) from error
        return manager.get_plugin(self.name)


def installed(group: str = MODELS) -> list[Plugin]:
    """Plugins sorted by name, from metadata alone; a name that two distributions use is two plugins in conflict.

    ``BENCH_PLUGINS``, a comma-separated list of distributions, limits them to those.
    """
    only = os.environ.get("BENCH_PLUGINS")
    allowed = None if only is None else {name.strip() for name in only.split(",")}
    found: dict[tuple[str, str], Plugin] = {}
    for entry in metadata.entry_points(group=group):
        distribution, version = (entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "")
        if allowed is None or distribution in allowed:
            plugin = Plugin(entry.name, group, entry.value, distribution, version)
            found.setdefault((entry.name, distribution), plugin)
    owners: dict[str, list[str]] = {}
    for name, distribution in sorted(found):
        owners.setdefault(name, []).append(distribution)
    plugins = []
    for (name, distribution), plugin in sorted(found.items()):
        others = ", ".join(other for other in owners[name] if other != distribution)
        plugins.append(Plugin(**{**vars(plugin), "conflict": others}))
    return plugins


def find_model(name: str) -> Plugin:
    """The plugin that brings the model ``name``, itself or as one of a family.

    Raises
    ------
    UnknownName
        If none does.
    PluginError
        If two distributions do.
    """
    plugins = installed()
    own = [plugin for plugin in plugins if plugin.name == name and not plugin.is_family]
    families = [
        plugin for plugin in plugins if plugin.is_family and name.startswith(plugin.name) and name != plugin.name
    ]
    found = own or sorted(families, key=lambda plugin: -len(plugin.name))
    if not found:
        raise UnknownName("model", name, [plugin.name for plugin in plugins], "'bench models list'")
    found[0].check()
    return found[0]


def load_model(name: str) -> type[Recommender]:
    """Import the plugin of the model ``name`` and take the class from it. Called in workers only.

    Raises
    ------
    PluginError
        If it cannot be imported or is no model.
    """
    plugin = find_model(name)
    found = plugin.load()
    if plugin.is_family:
        found = found(name)
    where = f"model '{name}' of {plugin.distribution}"
    if not (isinstance(found, type) and issubclass(found, Recommender)):
        raise PluginError(f"{where}: {plugin.value} gives {found!r}, which is no subclass of bench.Recommender")
    if lacks := found.lacks():
        raise PluginError(f"{where} {lacks}: see bench/contract.py")
    return found


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("bench")
    manager.add_hookspecs(Hooks)
    return manager


def check_module(plugin: Plugin) -> None:
    """Import a plugin and check the names and arguments of its hooks.

    Raises
    ------
    PluginError
        With what is wrong, in one line.
    """
    module = plugin.load()
    if plugin.group == PLUGINS:
        _register(_manager(), plugin, module)


def _register(manager: pluggy.PluginManager, plugin: Plugin, module: Any) -> None:
    try:
        manager.register(module, plugin.name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"plugin '{plugin.name}' of {plugin.distribution}: {one_line(error)}") from error


def life_cycle() -> tuple[pluggy.PluginManager, list[PluginError]]:
    """A manager with the plugins of the group ``bench.plugins``, and the errors of those that cannot be used."""
    manager = _manager()
    broken = []
    for plugin in installed(PLUGINS):
        try:
            module = plugin.load()
            _register(_manager(), plugin, module)  # on its own first, so that a bad one leaves nothing behind
            manager.register(module, plugin.name)
        except PluginError as error:
            broken.append(error)
    return manager, broken


def plugin_source(name: str) -> Reader | None:
    """The reader of a raw format that some plugin brings."""
    manager, broken = life_cycle()
    found: Reader | None = manager.hook.bench_source(name=name)
    if found is None and broken:
        raise PluginError(f"no reader for the raw format '{name}', and {broken[0]}")
    return found
