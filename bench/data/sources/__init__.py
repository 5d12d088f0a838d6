"""Readers of raw formats: files in, one plain table of interactions and one each of item and user texts out.

A reader is a function ``read(files, **options) -> RawData``, where ``files`` maps the roles of the card to paths and
the options are those of the card. It parses and nothing else: no filter, no renumbering. A plugin brings another one
through the hook ``bench_source``.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from bench.code import code_hash, module_hash
from bench.contract import RawData, Reader
from bench.errors import BenchError, PluginError, UnknownName
from bench.plugins import PLUGINS, Plugin, guarded, installed, life_cycle

_READERS = {
    "movielens-100k": "movielens:read_100k",
    "movielens-1m": "movielens:read_1m",
    "movielens-csv": "movielens:read_csv_release",
    "recbole-100k": "recbole_atomic:read_100k",
    "amazon-2014": "amazon:read",
    "steam": "steam:read",
    "user-lists": "user_lists:read",
    "food.com": "foodcom:read",
    "colarec-release": "colarec:read",
    "table": "table:read",
}


def reader(name: str) -> Reader:
    """The reader of that name, built in or from a plugin.

    Raises
    ------
    UnknownName
        If there is none.
    PluginError
        If there is none and a plugin, which may have it, cannot be used.
    """
    if name in _READERS:
        module, function = _READERS[name].split(":")
        found: Reader = getattr(importlib.import_module(f"{__name__}.{module}"), function)
        return found
    read = _from_plugin(name)[1]

    def guarded_read(files: dict[str, Path], **options: Any) -> RawData:
        with guarded(f"the reader of '{name}' failed"):
            return read(files, **options)

    return guarded_read


def reader_code(name: str) -> str:
    """SHA-256 in hex of what the code of that reader means; raises what :func:`reader` does."""
    if name in _READERS:
        return module_hash(f"{__name__}.{_READERS[name].partition(':')[0]}", "bench.data")
    return code_hash(_from_plugin(name)[0])


def _from_plugin(name: str) -> tuple[Plugin, Reader]:
    manager, broken = life_cycle()
    plugins = {plugin.name: plugin for plugin in installed(PLUGINS)}
    modules = dict(manager.list_name_plugin())
    for own in modules:
        others = [module for other, module in modules.items() if other != own]
        try:
            with guarded(f"plugin '{own}' failed in bench_source"):
                found: Reader | None = manager.subset_hook_caller("bench_source", others)(name=name)
        except BenchError as error:
            broken.append(error)
            continue
        if found is not None:
            return plugins[own], found
    if broken:
        raise PluginError(f"no reader for the raw format '{name}', and {broken[0]}")
    raise UnknownName("raw format", name, _READERS, "bench/data/sources")
