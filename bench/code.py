"""What code means: the part of a cell's key that stands for a plugin's code.

Hashed are

- the syntax trees (:mod:`bench.syntax`: without docstrings, comments and layout) of all modules that the plugin's
  module reaches by import, at any depth, also in functions and by ``import_module("a literal")``; with a module count
  its parents' ``__init__``. They are followed within the plugin's own package and the packages of every distribution
  that it requires and that itself requires ``recsys-bench``, and so on from there; extras are ignored;
- the bytes of all other files of these packages, compiled extensions included (so a plugin with compiled parts has
  other keys on another system). Not counted are Python files that are not reached, type stubs and ``py.typed``,
  bytecode, hidden files, ``README``, ``CHANGELOG``, ``LICENSE`` and their like, and the version file ``_version.py``;
- the installed versions of the libraries whose version is code, which the distributions name in the entry-point group
  ``bench.code``: ``recbole = "recbole"``;
- the version of top-K, :data:`bench.topk.VERSION`.

Not seen are: a module whose name is made at run time, files outside the packages, the text of docstrings where a model
reads its own, other libraries, and the version of the plugin itself.

A file is read once per process and again when it was changed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlparse
from urllib.request import url2pathname

from bench import topk
from bench.errors import PluginError, plain
from bench.files import content_hash, file_hash
from bench.plugins import Plugin
from bench.reach import Module, Search, parsed

LIBRARIES = "bench.code"
"""Entry-point group with the names of libraries whose version is part of the code."""

_CORE = "recsys-bench"
_UNCOUNTED = re.compile(
    r"(?i)py\.typed|.*\.py[cio]?|.*~|"
    r"(readme|changes|changelog|licen[cs]e|copying|notice|authors|citation)(\.(md|rst|txt|cff))?"
)


def code_hash(plugin: Plugin) -> str:
    """SHA-256 in hex of what the code of ``plugin`` means.

    Raises
    ------
    PluginError
        If its module is not there, or a file that it reaches cannot be read or parsed.
    """
    code = _reached_by(plugin)
    trees = {name: parsed(path).meaning.hash for name, path in code.modules.items()}
    return content_hash({**_rest(code), "entry": plugin.value, "modules": trees, "topk": topk.VERSION})


def description_hash(plugin: Plugin) -> str:
    """SHA-256 in hex of the bytes of the same files: descriptions of models show docstrings.

    Raises
    ------
    PluginError
        See :func:`code_hash`.
    """
    code = _reached_by(plugin)
    modules = {name: parsed(path).hash for name, path in code.modules.items()}
    return content_hash({**_rest(code), "entry": plugin.value, "modules": modules})


def module_hash(module: str, package: str) -> str:
    """SHA-256 in hex of what ``module`` and the modules of ``package`` that it reaches mean.

    Raises
    ------
    PluginError
        If it is not there, or a file that it reaches cannot be read or parsed.
    """
    found = Search().reach(module, lambda name, _: f"{name}.".startswith(f"{package}."))
    if module not in found:
        raise PluginError(f"the module {module} is not there: install its package again")
    return content_hash({name: parsed(Path(at.file)).meaning.hash for name, at in found.items()})


class _Code(NamedTuple):
    """All that counts of a plugin."""

    modules: dict[str, Path]
    """By dotted name."""
    files: dict[str, Path]
    """By root package and path within it."""
    libraries: dict[str, str | None]
    """Versions by name; None: not installed."""


def _rest(code: _Code) -> dict[str, Any]:
    return {"files": {name: _hashed(path) for name, path in code.files.items()}, "libraries": code.libraries}


def _reached_by(plugin: Plugin) -> _Code:
    distributions = _distributions(plugin.distribution)
    owners = [_owner(distribution) for distribution in distributions]
    where = f"plugin '{plugin.name}' of {plugin.distribution}"
    roots: dict[str, bool] = {}

    def follows(name: str, module: Module) -> bool:
        root = module.root
        if root not in roots:
            own = f"{plugin.module}.".startswith(f"{root}.")
            roots[root] = own or any(owns(root, module.root_file) for owns in owners)
        return roots[root]

    try:
        found = Search().reach(plugin.module, follows)
        modules, files = _sorted_out(found)
    except PluginError as error:
        raise PluginError(f"{where}: {error}") from error
    except OSError as error:
        raise PluginError(f"{where} cannot be read: {error}") from error
    if plugin.module not in found:
        raise PluginError(f"{where}: its module {plugin.module} is not there: install the package again")
    return _Code(modules, files, {name: _version(name) for name, _ in _libraries(distributions)})


def check_libraries(plugin: Plugin) -> None:
    """See that the libraries whose version is code are installed.

    Raises
    ------
    PluginError
        If one is not. Their wrapper, if it is there, has said better why.
    """
    for name, by in _libraries(_distributions(plugin.distribution)):
        if _version(name) is None:
            raise PluginError(
                f"{by} names '{plain(name, 100)}' in the entry-point group {LIBRARIES}, and no distribution that is "
                "installed has it: install it, or correct its pyproject.toml (names are those of pip: scikit-learn)"
            )


def _libraries(distributions: Sequence[metadata.Distribution]) -> list[tuple[str, str]]:
    """The names of libraries, and of the distributions that name them."""
    return [(entry.name, one.name) for one in distributions for entry in one.entry_points.select(group=LIBRARIES)]


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def _sorted_out(found: dict[str, Module]) -> tuple[dict[str, Path], dict[str, Path]]:
    """Modules that are Python source, and the other files of their root packages."""
    modules, files = {}, {}
    for name, module in found.items():
        path = Path(module.file)
        if module.file.endswith(".py"):
            if path.name != "_version.py":
                modules[name] = path
        else:
            files[name] = path
        if module.root == name:
            for folder in module.folders:
                files.update({f"{name}/{path}": Path(folder, path) for path in _other_files(folder)})
    return modules, files


def _other_files(folder: str) -> Iterator[str]:
    for here, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if name != "__pycache__" and not name.startswith("."))
        for name in sorted(names):
            path = Path(here, name)
            if not name.startswith(".") and not _UNCOUNTED.fullmatch(name) and path.is_file():
                yield path.relative_to(folder).as_posix()


# Distributions --------------------------------------------------------------------------------------------------------


def _distributions(name: str) -> list[metadata.Distribution]:
    """The distribution and all that it requires which themselves require the core, over any number of steps."""
    found: dict[str, metadata.Distribution] = {}
    todo, seen = [canonical(name)], {_CORE}
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        required = [canonical(line) for line in distribution.requires or () if not of_extra(line)]
        if not found or _CORE in required:
            found[name] = distribution
            todo += required
    return [found[name] for name in sorted(found)]


def canonical(requirement: str) -> str:
    """The normalized name of the distribution that a requirement begins with; empty if it begins with none."""
    named = re.match(r"[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", named[0]).lower() if named else ""


def of_extra(requirement: str, name: str = "") -> bool:
    """Whether a requirement belongs to an extra, to that of the name if there is one."""
    rule = requirement.partition(";")[2]
    return re.search(r"\bextra\b", rule) is not None and (not name or re.search(rf"['\"]{name}['\"]", rule) is not None)


def _owner(distribution: metadata.Distribution) -> Callable[[str, str], bool]:
    """A function that tells whether a root module or package, by name and file, belongs to ``distribution``."""
    files = {os.path.realpath(str(distribution.locate_file(f))) for f in distribution.files or () if f.suffix == ".py"}
    project = _project(distribution)
    names: set[str] = set()
    if distribution.files is None and project is None:  # metadata alone: names have to do
        names = {canonical(distribution.metadata["Name"] or "").replace("-", "_")}
        names |= set((distribution.read_text("top_level.txt") or "").split())
        names |= {entry.value.partition(":")[0].partition(".")[0] for entry in distribution.entry_points}

    def owns(root: str, file: str) -> bool:
        if root in names:
            return True
        real = os.path.realpath(file)
        if real in files:
            return True
        if project is None or not Path(real).is_relative_to(project):
            return False
        return not {"site-packages", "dist-packages"} & set(Path(real).relative_to(project).parts)

    return owns


def _project(distribution: metadata.Distribution) -> str | None:
    """The folder of an editable installation."""
    try:
        told = json.loads(distribution.read_text("direct_url.json") or "{}")
        if told["dir_info"]["editable"]:
            return os.path.realpath(url2pathname(urlparse(told["url"]).path))
    except (ValueError, KeyError, TypeError):
        pass
    return None


def _hashed(path: Path) -> str:
    told = path.stat()
    return _hash(path, told.st_mtime_ns, told.st_size)


@cache
def _hash(path: Path, changed: int, size: int) -> str:
    return file_hash(path)
