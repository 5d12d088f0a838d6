"""A failed check says in one sentence what the contract asks, where it stands, and what was found."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import bench.contract
from bench.errors import BenchError, one_line, place_of, plain

Check = TypeVar("Check", bound=Callable[..., Any])

_LONGEST = 450
"""Signs of what was found."""


def asks(where: str) -> Callable[[Check], Check]:
    """Marks a check, or what checks need, of what the contract says at ``where``, such as ``Recommender.fit``.

    The first paragraph of the check's docstring is what is asked, in one sentence. Whatever the check raises becomes
    an ``AssertionError`` with that sentence, and the line of the model's package that raised it. The first argument is
    that of a method or class method of checks, if there is one.
    """

    def mark(check: Check) -> Check:
        sentence = " ".join((check.__doc__ or "").split("\n\n")[0].split()).rstrip(".")

        @functools.wraps(check)
        def told(*arguments: Any, **named: Any) -> Any:
            try:
                return check(*arguments, **named)
            except (Exception, SystemExit) as error:
                found = plain(str(error) if isinstance(error, AssertionError) else one_line(error), _LONGEST)
                found = (found or "it does not") + place_of(error, _package(*arguments[:1]))
                line = f"{sentence} ({where}, bench/contract.py:{line_of(where)}); found: {found}"
                raise AssertionError(line) from error

        return told  # type: ignore[return-value]

    return mark


def _package(checks: Any = None) -> str:
    """The top-level package of the class that is checked; empty if there is none."""
    if checks is None:
        return ""
    try:
        found: type = checks.model_class()
    except BenchError:
        return ""
    return found.__module__.partition(".")[0]


@functools.cache
def line_of(where: str) -> int:
    """The line of ``bench/contract.py`` at which the member of a class stands.

    Raises
    ------
    LookupError
        If there is no such member.
    """
    kind, _, name = where.partition(".")
    tree = ast.parse(Path(bench.contract.__file__).read_text(encoding="utf-8"))
    for part in tree.body:
        if isinstance(part, ast.ClassDef) and part.name == kind:
            for member in part.body:
                named = member.target if isinstance(member, ast.AnnAssign) else member
                if name == (getattr(named, "name", None) or getattr(named, "id", None)):
                    return member.lineno
    raise LookupError(f"the contract has no {where}")
