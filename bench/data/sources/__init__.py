"""Readers of raw formats: files in, one plain table of interactions and one each of item and user texts out.

A reader is a function ``read(files, **options) -> RawData``, where ``files`` maps the roles of the card to paths and
the options are those of the card. It parses and nothing else: no filter, no renumbering. A plugin brings another one
through the hook ``bench_source``.
"""

from __future__ import annotations

import gzip
import html
import importlib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

import pandas as pd

from bench.errors import DataError, UnknownName
from bench.plugins import plugin_source

Reader = Callable[..., "RawData"]
"""``reader(files: Mapping[str, Path], **options) -> RawData``."""

_READERS = {
    "movielens-100k": "bench.data.sources.movielens:read_100k",
    "movielens-1m": "bench.data.sources.movielens:read_1m",
    "recbole-100k": "bench.data.sources.recbole_atomic:read_100k",
    "amazon-2014": "bench.data.sources.amazon:read",
    "food.com": "bench.data.sources.foodcom:read",
    "colarec-release": "bench.data.sources.colarec:read",
    "table": "bench.data.sources.table:read",
}


@dataclass
class RawData:
    """What a reader found, with original ids as strings."""

    interactions: pd.DataFrame
    """Columns ``user`` str, ``item`` str, ``time`` int64 (seconds since 1970), in the order of the raw file; perhaps
    ``rating`` float, and ``part`` (:data:`bench.data.splits.TRAIN` and so on) where the split is published."""
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
        raise UnknownName("raw format", name, _READERS, "bench/data/sources")
    return found_in_plugin


def no_users() -> pd.DataFrame:
    """The user table of a data set that says nothing of its users."""
    return pd.DataFrame({"id": pd.Series(dtype="str")})


ZIP_ERRORS = (zipfile.BadZipFile, NotImplementedError, OSError, RuntimeError, ValueError)
"""What ``zipfile`` raises for a damaged archive, an unknown packing and an encrypted member."""


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a plain or gzip file, or the member of a zip with its name, for reading bytes.

    A file cut off in the middle is the user's error.
    """
    try:
        with ExitStack() as stack:
            if path.suffix == ".zip":
                file = _member(path, stack)
            else:
                file = stack.enter_context(cast(IO[bytes], (gzip.open if path.suffix == ".gz" else open)(path, "rb")))
            yield file
    except (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error) as error:
        raise cut_off(path, error) from error


def _member(path: Path, stack: ExitStack) -> IO[bytes]:
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
        found = [name for name in archive.namelist() if Path(name).name == path.stem]
        if len(found) == 1:
            return stack.enter_context(archive.open(found[0]))
    except ZIP_ERRORS as error:
        raise cut_off(path, error) from error
    raise DataError(f"{path} should hold one file {path.stem}, but holds {', '.join(archive.namelist()[:5])}")


def cut_off(path: Path, error: Exception) -> DataError:
    """The error for an archive that ends too early or is damaged."""
    return DataError(f"{path} is cut off or damaged ({error}): fetch it again")


def count(problems: dict[str, int], reason: str, number: int = 1) -> None:
    """Add to the rows that could not be used."""
    if number:
        problems[reason] = problems.get(reason, 0) + number


def clean(text: str) -> str:
    """Text without HTML entities, line breaks, repeated blanks, and characters that are no Unicode text."""
    return " ".join(html.unescape(text).encode("utf-8", "replace").decode("utf-8").split())


def sound(table: pd.DataFrame, problems: dict[str, int]) -> pd.DataFrame:
    """The interactions with a user, an item and a time; others are counted.

    ``time`` may be of any kind: numbers are seconds since 1970, or milliseconds if they are that large, texts are
    ISO 8601 dates, in UTC unless they say otherwise (others would be guesses: 12.09. may be in December). Afterwards it
    is int64.
    """
    named = (table["user"] != "") & (table["item"] != "") & table["user"].notna() & table["item"].notna()
    count(problems, "rows without a user or item", int((~named).sum()))
    times = _seconds(table["time"])
    timed = times.notna() & (times >= 0) & (times < _LATEST)
    count(problems, "rows whose time is missing, negative or no time", int((named & ~timed).sum()))
    kept = named & timed
    result = table[kept].assign(time=times[kept].astype("int64"))
    if "rating" in result:
        rating = pd.to_numeric(result["rating"], errors="coerce")
        count(problems, "rows whose rating is no number", int(rating.isna().sum()))
        result = result.assign(rating=rating)[rating.notna()]
    return result.reset_index(drop=True)


_LATEST = 4e9
"""Seconds since 1970, in the year 2096; what is later must be milliseconds."""


def _seconds(times: pd.Series) -> pd.Series:
    dates = times
    if not pd.api.types.is_datetime64_any_dtype(times):
        numbers = pd.to_numeric(times, errors="coerce")
        if not len(times) or numbers.notna().any():
            return numbers.where(numbers < _LATEST, numbers / 1000)
        numbered = times.astype("str").str.contains(r"\d")  # "now" and "today" are no times
        dates = times.where(numbered)
    stamps = pd.to_datetime(dates, errors="coerce", utc=True, format="ISO8601").dt.tz_convert(None)
    return stamps.astype("datetime64[s]").astype("int64").where(stamps.notna())
