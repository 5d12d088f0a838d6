"""Readers of raw formats: files in, one plain table of interactions and one each of item and user texts out.

A reader is a function ``read(files) -> RawData``, where ``files`` maps the roles of the card to paths. It parses and
nothing else: no filter, no renumbering. A plugin brings another one through the hook ``bench_source``.
"""

from __future__ import annotations

import gzip
import importlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

import pandas as pd

from bench.errors import BenchError, unknown
from bench.plugins import plugin_source

Reader = Callable[[Mapping[str, Path]], "RawData"]

_READERS = {
    "movielens-100k": "bench.data.sources.movielens:read_100k",
    "recbole-atomic": "bench.data.sources.recbole_atomic:read",
    "amazon-2014": "bench.data.sources.amazon:read",
}


@dataclass
class RawData:
    """What a reader found, with original ids as strings."""

    interactions: pd.DataFrame
    """Columns ``user`` str, ``item`` str, ``time`` int64 (seconds since 1970), in the order of the raw file."""
    items: pd.DataFrame
    """Column ``id`` str, unique, and one str column per text field, missing as ``""``."""
    users: pd.DataFrame
    """The same of users; may have no rows."""
    problems: dict[str, int] = field(default_factory=dict)
    """Rows that could not be used, by reason."""


def reader(name: str) -> Reader:
    """The reader of that name, built in or from a plugin."""
    if name in _READERS:
        module, function = _READERS[name].split(":")
        found: Reader = getattr(importlib.import_module(module), function)
        return found
    found_in_plugin = plugin_source(name)
    if found_in_plugin is None:
        raise unknown("raw format", name, _READERS, "bench/data/sources")
    return found_in_plugin


def no_users() -> pd.DataFrame:
    """The user table of a data set that says nothing of its users."""
    return pd.DataFrame({"id": pd.Series(dtype="str")})


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a plain or gzip file for reading bytes; a file cut off in the middle is the user's error."""
    with cast(IO[bytes], gzip.open(path) if path.suffix == ".gz" else path.open("rb")) as file:
        try:
            yield file
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise cut_off(path, error) from error


def cut_off(path: Path, error: Exception) -> BenchError:
    """The error for an archive that ends too early or is damaged."""
    return BenchError(f"{path} is cut off or damaged ({error}): fetch it again")


def seconds(column: pd.Series, path: Path) -> pd.Series:
    """Times that were read as text, as int64; a row that was cut off has none, which is an error."""
    try:
        return column.astype("float64").astype("int64")
    except ValueError as error:
        raise cut_off(path, error) from error
