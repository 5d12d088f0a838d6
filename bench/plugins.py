"""Hook specifications, and discovery of plugins that imports nothing before it is needed.

Three groups of entry points: ``bench.models``, one entry per model, named as the model, whose value is its class (a
name that ends in ``:`` is a family: it stands for every name that begins with it, and its value is a function from
such a name to a class); ``bench.plugins``, whose values are modules with life-cycle hooks and readers of raw formats;
and ``bench.trackers``, whose values are the same, or objects with hooks, used when a run names them (``--track``).
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pluggy

from bench.contract import Reader, Recommender
from bench.errors import BenchError, PluginError, UnknownName, by_kind, one_line, place_of
from bench.files import packaged
from bench.isolated import Isolated, environments

hookspec = pluggy.HookspecMarker("bench")

MODELS, PLUGINS, TRACKERS = "bench.models", "bench.plugins", "bench.trackers"


class Hooks:
    """All hooks. Cells, events and results are the classes of :mod:`bench.messages`."""

    @hookspec(firstresult=True)
    def bench_source(self, name: str) -> Reader | None:
        """The reader of the raw format ``name`` (:mod:`bench.data.sources`), or None."""

    @hookspec
    def bench_run_started(self, cells: Sequence[Any], results: Path) -> None:
        """A run begins; ``cells`` (:class:`bench.messages.cell.Cell`) are those that it will work on.

        ``results`` is its results folder, where a tracker may keep what it writes in a folder of its own.
        """

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
    """All places that use the same name, if there are several; none can be used then."""
    environment: Isolated | None = None
    """Where it is installed if not beside the core."""

    @property
    def interpreter(self) -> str:
        """The Python that runs this plugin's workers."""
        return self.environment.interpreter if self.environment else sys.executable

    @property
    def module(self) -> str:
        return self.value.partition(":")[0]

    @property
    def package(self) -> str:
        """The top-level package or module."""
        return self.module.partition(".")[0]

    @property
    def is_family(self) -> bool:
        """Whether the name stands for every model name that begins with it."""
        return self.name.endswith(":")

    @property
    def problem(self) -> str:
        """Why it cannot be used as far as metadata tell, and the way out; empty if they tell nothing."""
        if self.conflict:
            return f"'{self.name}' comes from {self.conflict}: uninstall one of them"
        if self.environment:
            return self.environment.problem
        if not _is_there(self.package):
            return (
                f"the package {self.package} of {self.distribution} is not there: install {self.distribution} again, "
                f"or 'pip uninstall {self.distribution}'"
            )
        return ""

    def check(self) -> None:
        """Raise ``PluginError`` if another distribution uses the name too, or its package is gone."""
        if self.problem:
            raise PluginError(self.problem)

    def load(self) -> Any:
        """Import what the entry point names.

        Raises
        ------
        BenchError
            With whatever the import raised, in one line.
        """
        self.check()
        manager = _manager()
        with guarded(f"plugin '{self.name}' of {self.distribution} cannot be imported", self.package):
            manager.load_setuptools_entrypoints(self.group, self.name)
        return manager.get_plugin(self.name)


def installed(group: str = MODELS) -> list[Plugin]:
    """Plugins sorted by name, from metadata alone; a name that two distributions use is two plugins in conflict.

    ``BENCH_PLUGINS``, a comma-separated list of distributions, limits them to those.
    """
    only = os.environ.get("BENCH_PLUGINS")
    allowed = None if only is None else {name.strip() for name in only.split(",")}
    found: dict[tuple[str, str], Plugin] = {}
    owners: dict[str, set[str]] = {}
    for plugin in (*_beside(group), *(_isolated() if group == MODELS else ())):
        where = f"{plugin.distribution} in {plugin.environment.folder}" if plugin.environment else plugin.distribution
        owners.setdefault(plugin.name, set()).add(where)
        if allowed is None or plugin.distribution in allowed:
            found.setdefault((plugin.name, plugin.distribution), plugin)
    return [
        replace(plugin, conflict=" and from ".join(sorted(owners[name])) if len(owners[name]) > 1 else "")
        for (name, _), plugin in sorted(found.items())
    ]


def _beside(group: str) -> Iterator[Plugin]:
    """Plugins that are installed beside the core."""
    for entry in metadata.entry_points(group=group):
        distribution, version = (entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "")
        yield Plugin(entry.name, group, entry.value, distribution, version)


def _isolated() -> Iterator[Plugin]:
    """Models of environments of their own: those of the distribution that was asked for, not of what it needs."""
    for environment in environments():
        name = environment.record.distribution
        distribution = environment.distribution(name)
        if distribution is None:
            continue
        for entry in distribution.entry_points.select(group=MODELS):
            yield Plugin(entry.name, MODELS, entry.value, name, distribution.version, environment=environment)


def _is_there(package: str) -> bool:
    """Whether a package or module can be found; it is not imported."""
    try:
        return package in sys.modules or importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # a name that is none
        return False


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
        raise UnknownName("model", name, [plugin.name for plugin in plugins], "'bench models list'", _brought_by(name))
    found[0].check()
    return found[0]


def _brought_by(name: str) -> str:
    """Which plugin of the project's own has a model, and how to install it; empty if none has, or it is there."""
    import yaml  # rows name what their worker has imported

    path = packaged("models.yaml")
    listed: dict[str, list[str]] = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for distribution, models in listed.items():
        if any(name == model or (model.endswith(":") and name.startswith(model)) for model in models):
            if any(metadata.distributions(name=distribution)):
                return ""
            return f"pip install {distribution} (in a clone: its folder below plugins) brings it"
    return ""


def load_model(name: str) -> type[Recommender]:
    """Import the plugin of the model ``name`` and take the class from it. Called in workers only.

    Raises
    ------
    BenchError
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
    BenchError
        With what is wrong, in one line.
    """
    module = plugin.load()
    if plugin.group != MODELS:
        _register(_manager(), plugin, module)


def _register(manager: pluggy.PluginManager, plugin: Plugin, module: Any) -> None:
    try:
        manager.register(module, plugin.name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"plugin '{plugin.name}' of {plugin.distribution}: {one_line(error)}") from error


def trackers(names: Sequence[str]) -> pluggy.PluginManager:
    """A manager with the trackers of these names.

    Raises
    ------
    BenchError
        If there is no such tracker, or it cannot be used.
    """
    manager, known = _manager(), {plugin.name: plugin for plugin in installed(TRACKERS)}
    for name in dict.fromkeys(names):
        if name not in known:
            raise UnknownName("tracker", name, known, "'bench plugin list'")
        _register(manager, known[name], known[name].load())
    return manager


def life_cycle(names: Sequence[str] = ()) -> tuple[pluggy.PluginManager, list[BenchError]]:
    """:func:`trackers` with the plugins of the group ``bench.plugins``, and the errors of those that cannot be used."""
    manager = trackers(names)
    broken = []
    for plugin in installed(PLUGINS):
        try:
            module = plugin.load()
            _register(_manager(), plugin, module)  # on its own first, so that a bad one leaves nothing behind
            manager.register(module, plugin.name)
        except BenchError as error:
            broken.append(error)
    return manager, broken


@contextlib.contextmanager
def guarded(what: str, package: str = "") -> Iterator[None]:
    """Around a stranger's code: what it prints goes to standard error, and what it raises becomes one line.

    Standard output is that of the command, also for processes that the code starts. An exit is an error like others.

    Raises
    ------
    BenchError
        ``what``, and what was raised, with the line of the top-level ``package``; of the same kind if that was a
        ``BenchError``, else a ``PluginError``.
    """
    try:
        with _output_aside():
            yield
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # a stranger's code may raise anything, and must harm nobody else
        raise by_kind(type(error).__name__, f"{what}: {one_line(error)}{place_of(error, package)}") from error


@contextlib.contextmanager
def _output_aside() -> Iterator[None]:
    kept = None
    with contextlib.suppress(OSError, ValueError, AttributeError):  # there is no standard output, or a closed one
        sys.stdout.flush()
        kept = os.dup(1)
        os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)
