"""Errors that are the user's to mend: shown as one line, without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """What happened, where, and what to do, in one line."""


def unknown(kind: str, name: str, known: Iterable[str], where: str) -> BenchError:
    """The error for a name that is not there, with the nearest known one.

    ``where`` says how to list the known ones, for instance ``bench models list``.
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    guess = f"did you mean '{near[0]}'? " if near else ""
    return BenchError(f"unknown {kind} '{name}': {guess}see {where}")
