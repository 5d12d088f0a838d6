"""Which modules a module reaches by import, found without importing any of them."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from bench.errors import PluginError
from bench.syntax import Import, Meaning, meaning


class Module(NamedTuple):
    """Where a module lies."""

    file: str
    """Of its code; empty for a namespace package and for a module that is no file."""
    folders: tuple[str, ...]
    """Where its submodules lie."""
    root: str
    """Name of the outermost package around it that is no namespace package; its own if there is none."""
    root_file: str


class Search:
    """Finds modules without importing them or their parents."""

    def __init__(self) -> None:
        self._located: dict[str, Module | None] = {}

    def reach(self, entry: str, follows: Callable[[str, Module], bool]) -> dict[str, Module]:
        """The modules with a file that ``entry`` reaches by import, itself included, as far as ``follows`` allows."""
        found: dict[str, Module] = {}
        todo, seen = [entry], set[str]()
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            if parent := name.rpartition(".")[0]:
                todo.append(parent)
            module = self._locate(name)
            if module is None or not module.file or not follows(name, module):
                continue
            found[name] = module
            if module.file.endswith(".py"):
                own = name if os.path.basename(module.file) == "__init__.py" else parent  # noqa: PTH119
                for wanted in parsed(Path(module.file)).meaning.imports:
                    todo.extend(self._targets(wanted, own))
        return found

    def _targets(self, wanted: Import, package: str) -> list[str]:
        """Names of the modules that an import in a module of ``package`` may mean."""
        name = wanted.module
        if wanted.level:
            parts = (wanted.package or package).split(".")
            name = ".".join([*parts[: max(0, len(parts) - wanted.level + 1)], *filter(None, [name])])
        names = wanted.names
        if "*" in names and (module := self._locate(name)):
            names = tuple(path.stem for folder in module.folders for path in Path(folder).glob("*.py"))
        return [name, *(f"{name}.{part}" for part in names if part != "__init__")]

    def _locate(self, name: str) -> Module | None:
        if name not in self._located:
            parent_name, _, own = name.rpartition(".")
            parent = self._locate(parent_name) if parent_name else None
            self._located[name] = _below(parent, name, own) if parent else None if parent_name else _top(name)
        return self._located[name]


def _top(name: str) -> Module | None:
    if name in sys.stdlib_module_names:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # of a module without a spec, such as __main__
        return None
    if spec is None:
        return None
    file = spec.origin if spec.has_location and spec.origin else ""
    return Module(file, tuple(spec.submodule_search_locations or ()), name, file)


def _below(parent: Module, name: str, own: str) -> Module | None:
    def module(file: str, *folders: str) -> Module:
        return Module(file, folders, *((parent.root, parent.root_file) if parent.file else (name, file)))

    paths = [f"{folder}/{own}" for folder in parent.folders]
    for path in paths:
        if os.path.isfile(f"{path}/__init__.py"):  # noqa: PTH113 (pathlib takes ten times as long)
            return module(f"{path}/__init__.py", path)
        if os.path.isfile(f"{path}.py"):  # noqa: PTH113
            return module(f"{path}.py")
    spaces = [path for path in paths if os.path.isdir(path)]  # noqa: PTH112
    return module("", *spaces) if spaces else None


class Parsed(NamedTuple):
    """A Python file."""

    hash: str
    """SHA-256 in hex of its bytes."""
    meaning: Meaning


def parsed(path: Path) -> Parsed:
    """Read a Python file, once unless it changes.

    Raises
    ------
    PluginError
        If it cannot be parsed.
    OSError
        If it cannot be read.
    """
    told = path.stat()
    return _parse(path, told.st_mtime_ns, told.st_size)


@cache
def _parse(path: Path, changed: int, size: int) -> Parsed:
    """``changed`` and ``size`` make a changed file another one."""
    source = path.read_bytes()
    try:
        return Parsed(hashlib.sha256(source).hexdigest(), meaning(source))
    except (SyntaxError, ValueError, RecursionError) as error:
        line = f" line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise PluginError(f"{path}{line} cannot be parsed: {type(error).__name__}") from error
