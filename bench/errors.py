"""User-facing errors: one line, without a traceback.

::

    BenchError
    ├── UnknownName     a model, data set, preset, … that does not exist
    ├── ConfigError     a value that is not allowed: an option, a model's config, a protocol
    ├── DataError       raw files or prepared data that are missing, damaged or do not fit
    ├── PluginError     a plugin that cannot be imported or breaks the contract
    └── ResultsError    results that are missing, damaged or cannot be compared

A model may raise any of them, for instance a ``ConfigError``; it is the reason of its failed cell.
"""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable
from pathlib import Path


class BenchError(Exception):
    """What happened, where, and what to do, in one line."""


class ConfigError(BenchError):
    """A value that is not allowed: an option, a model's config, a protocol."""


class DataError(BenchError):
    """Raw files or prepared data that are missing, damaged or do not fit."""


class PluginError(BenchError):
    """A plugin that cannot be imported or breaks the contract."""


class ResultsError(BenchError):
    """Results that are missing, damaged or cannot be compared."""


class UnknownName(BenchError):
    """A name that does not exist, with the nearest one that does.

    Parameters
    ----------
    kind
        What the name should be, such as ``model``.
    name
        What was given.
    known
        The names that exist.
    where
        How to list them, for instance ``'bench models list'``.
    hint
        How to come by it, if that is known; else the nearest name is told.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], where: str, hint: str = "") -> None:
        near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
        guess = f"{hint}; " if hint else f"did you mean '{near[0]}'? " if near else ""
        super().__init__(f"unknown {kind} '{name}': {guess}see {where}")


def by_kind(kind: str, message: str) -> BenchError:
    """The error of that class name and message, as another process told it; a ``PluginError`` if there is none."""
    kinds: list[type[BenchError]] = [BenchError, *BenchError.__subclasses__()]
    cls = next((cls for cls in kinds if cls.__name__ == kind), PluginError)
    error: BenchError = cls.__new__(cls)
    Exception.__init__(error, message)  # past UnknownName's own, which makes a message of parts
    return error


def one_line(error: BaseException) -> str:
    """Type and message of an error, as :func:`plain` text."""
    try:
        text = plain(str(error))
    except Exception:  # noqa: BLE001 (a stranger's error may not even have a message)
        text = "(its message cannot be had)"
    kind = plain(type(error).__name__, 100)
    return text if isinstance(error, BenchError) else f"{kind}: {text}" if text else kind


def place_of(error: BaseException, package: str) -> str:
    """Where it was raised: ``" (my_idea/model.py:31)"``, the innermost line in a top-level package or module.

    Empty if none of its lines is there, and of a ``BenchError``, which says itself what to do.
    """
    if isinstance(error, BenchError):
        return ""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        name, path = str(frame.f_globals.get("__name__")), Path(frame.f_code.co_filename)
        if name.partition(".")[0] == package:
            depth = name.count(".") + (path.name == "__init__.py")
            return f" ({plain('/'.join(path.parts[-1 - depth :]), 200)}:{line})"
    return ""


def plain(text: str, most: int = 2000) -> str:
    """One line of at most ``most`` characters that can be written as UTF-8 and does nothing to a terminal."""
    line = " ".join(text[: 20 * most].split())
    line = line if line.isprintable() else "".join(sign if sign.isprintable() else "\ufffd" for sign in line)
    return line if len(line) <= most else f"{line[: most - 1]}…"
