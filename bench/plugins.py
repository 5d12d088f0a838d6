"""Hook specifications, and discovery of plugins that imports nothing before it is needed.

Two groups of entry points: ``bench.models``, one entry per model, named as the model (a name that ends in ``:`` is a
family and stands for every name that begins with it), and ``bench.plugins`` for life-cycle hooks and data sources.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from bench.errors import BenchError, unknown
from bench.files import tree_hash

if TYPE_CHECKING:
    from bench.data.sources import Reader

hookspec = pluggy.HookspecMarker("bench")

MODELS, PLUGINS = "bench.models", "bench.plugins"


class Hooks:
    """All hooks. A cell is given as the mapping that ``result.json`` holds under ``cell``."""

    @hookspec(firstresult=True)
    def bench_model(self, name: str) -> type | None:
        """The class (:class:`bench.contract.Model`) of the model ``name``. Asked of the entry's own module only."""

    @hookspec(firstresult=True)
    def bench_source(self, name: str) -> Reader | None:
        """The reader of the raw format ``name`` (:mod:`bench.data.sources`), or None."""

    @hookspec
    def bench_run_started(self, cells: Sequence[Mapping[str, Any]]) -> None:
        """A run begins; ``cells`` are those that it will work on, finished ones left out."""

    @hookspec
    def bench_cell_started(self, cell: Mapping[str, Any]) -> None:
        """The worker of ``cell`` has been started."""

    @hookspec
    def bench_validation(
        self, cell: Mapping[str, Any], stage: str, epoch: int, metric: str, score: float, improved: bool
    ) -> None:
        """A model in training was validated; ``stage`` is empty unless the model trains in several and names them."""

    @hookspec
    def bench_cell_finished(self, cell: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """A cell has its result: the content of ``result.json``, of a failed cell too."""

    @hookspec
    def bench_run_finished(self, results: Sequence[Mapping[str, Any]]) -> None:
        """All cells of the run have their results."""


@dataclass(frozen=True)
class Plugin:
    """One entry point, as its metadata tells."""

    name: str
    """Of the model or family, or of the life-cycle plugin."""
    group: str
    module: str
    distribution: str
    version: str
    interpreter: str = sys.executable
    """The Python that runs this plugin's workers."""

    @property
    def is_family(self) -> bool:
        """Whether the name stands for every model name that begins with it."""
        return self.name.endswith(":")

    def source_hash(self) -> str:
        """Hash of all source files of the package, found without importing it.

        Raises
        ------
        BenchError
            If the package is not there.
        """
        return _source_hash(self.module.split(".")[0], self.name)

    def load(self) -> ModuleType:
        """Import the module.

        Raises
        ------
        BenchError
            With whatever the import raised, in one line.
        """
        try:
            return importlib.import_module(self.module)
        except Exception as error:  # a stranger's module may raise anything, and must harm nobody else
            raise BenchError(
                f"plugin '{self.name}' of {self.distribution} cannot be imported: {one_line(error)}"
            ) from error


@cache
def _source_hash(package: str, plugin: str) -> str:
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise BenchError(f"the package {package} of plugin '{plugin}' is not installed: install or remove the plugin")
    roots = [Path(path) for path in spec.submodule_search_locations or [spec.origin or ""]]
    return tree_hash(roots)


def one_line(error: BaseException) -> str:
    """Type and message of an error, without line breaks."""
    text = " ".join(str(error).split())
    return (
        text if isinstance(error, BenchError) else f"{type(error).__name__}: {text}" if text else type(error).__name__
    )


def installed(group: str = MODELS) -> dict[str, Plugin]:
    """Plugins by name, from metadata alone.

    ``BENCH_PLUGINS``, a comma-separated list of distributions, limits them to those.

    Raises
    ------
    BenchError
        If two distributions use one name.
    """
    only = os.environ.get("BENCH_PLUGINS")
    allowed = None if only is None else {name.strip() for name in only.split(",")}
    found: dict[str, Plugin] = {}
    for entry in metadata.entry_points(group=group):
        distribution = entry.dist.name if entry.dist else "unknown"
        if allowed is not None and distribution not in allowed:
            continue
        plugin = Plugin(entry.name, group, entry.module, distribution, entry.dist.version if entry.dist else "")
        other = found.setdefault(entry.name, plugin)
        if other.distribution != distribution:
            raise BenchError(
                f"'{entry.name}' comes from {other.distribution} and from {distribution}: uninstall one of them, or "
                "name the wanted distributions in BENCH_PLUGINS"
            )
    return dict(sorted(found.items()))


def find_model(name: str) -> Plugin:
    """The plugin that brings the model ``name``, itself or as one of a family."""
    found = installed()
    if name in found and not found[name].is_family:
        return found[name]
    families = [plugin for prefix, plugin in found.items() if plugin.is_family and name.startswith(prefix)]
    if not families or any(name == plugin.name for plugin in families):
        raise unknown("model", name, found, "'bench models list'")
    return max(families, key=lambda plugin: len(plugin.name))


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("bench")
    manager.add_hookspecs(Hooks)
    return manager


def check(module: ModuleType) -> None:
    """Raise ``pluggy.PluginValidationError`` if a hook of ``module`` has an unknown name or argument."""
    manager = _manager()
    manager.register(module)
    manager.check_pending()


def load_model(name: str) -> type:
    """Import the plugin of the model ``name`` and ask it for the class. Called in workers only."""
    plugin = find_model(name)
    manager = _manager()
    manager.register(plugin.load(), plugin.name)
    found: type | None = manager.hook.bench_model(name=name)
    if found is None:
        raise BenchError(f"plugin '{plugin.name}' of {plugin.distribution} gives no class for '{name}'")
    needed = ("Config", "deterministic", "fit", "recommend", "save", "load")
    missing = [member for member in needed if not hasattr(found, member)]
    if missing:
        raise BenchError(f"model '{name}' of {plugin.distribution} has no {', '.join(missing)}: see bench/contract.py")
    return found


def life_cycle() -> tuple[pluggy.PluginManager, list[BenchError]]:
    """A manager with the plugins of the group ``bench.plugins``, and the errors of those that cannot be imported."""
    manager = _manager()
    broken = []
    for plugin in installed(PLUGINS).values():
        try:
            module = plugin.load()
            check(module)
            manager.register(module, plugin.name)
        except BenchError as error:
            broken.append(error)
        except pluggy.PluginValidationError as error:
            broken.append(BenchError(f"plugin '{plugin.name}' of {plugin.distribution}: {one_line(error)}"))
    return manager, broken


def plugin_source(name: str) -> Reader | None:
    """The reader of a raw format that some plugin brings."""
    manager, broken = life_cycle()
    found: Reader | None = manager.hook.bench_source(name=name)
    if found is None and broken:
        raise BenchError(f"no reader for the raw format '{name}', and {broken[0]}")
    return found
