"""Reviews of games on Steam (Kang and McAuley): lines of Python literals, as Python 2 wrote them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bench.contract import RawData
from bench.data.sources.files import open_text
from bench.data.sources.rows import add_problem, no_users, normalize_text, validate_interactions
from bench.errors import DataError

_FIELD = re.compile(rb"""u?'(username|product_id|date)': (u?'(?:[^'\\]|\\.)*'|u?"(?:[^"\\]|\\.)*")""")
"""A field that is wanted. Where a line has all three, each once, the rest of it need not be read."""
_WANTED = ("username", "product_id", "date")


def read(files: Mapping[str, Path]) -> RawData:
    """Read roles ``reviews`` and ``games``. Item fields: title, developer, genres, tags. Times are days."""
    problems: dict[str, int] = {}
    rows = list(_reviews(files["reviews"], problems))
    if not rows:
        raise DataError(f"{files['reviews']} holds no review: fetch it again")
    table = pd.DataFrame(rows, columns=["user", "item", "time"], dtype="str")
    return RawData(validate_interactions(table, problems), _games(files["games"], problems), no_users(), problems)


def _reviews(path: Path, problems: dict[str, int]) -> Iterator[tuple[str, str, str]]:
    with open_text(path) as file:
        for line in file:
            if line.isspace():
                continue
            try:
                row = _fields(line)
                yield str(row["username"]), str(row["product_id"]), str(row["date"])
            except _BAD:
                add_problem(problems, "review lines that are no Python literal with username, product_id and date")


_BAD = (ValueError, SyntaxError, KeyError, TypeError, AttributeError, MemoryError, RecursionError)


def _fields(line: bytes) -> dict[str, Any]:
    """The wanted fields, by a pattern, which is twenty times as fast; by Python where it does not find each once."""
    found = _FIELD.findall(line)
    if sorted(name.decode() for name, _ in found) == sorted(_WANTED):
        return {name.decode(): ast.literal_eval(text.decode("utf-8")) for name, text in found}
    row: dict[str, Any] = ast.literal_eval(line.decode("utf-8").strip())
    return row


def _games(path: Path, problems: dict[str, int]) -> pd.DataFrame:
    rows = []
    with open_text(path) as file:
        for line in file:
            if line.isspace():
                continue
            try:
                row = ast.literal_eval(line.decode("utf-8").strip())
                title = row.get("title") or row.get("app_name")
                texts = (_text(part) for part in (title, row.get("developer"), row.get("genres"), row.get("tags")))
                rows.append((str(row["id"]), *texts))
            except _BAD:
                add_problem(problems, "game lines that are no Python literal with an id")
    if not rows:
        raise DataError(f"{path} describes no game: fetch it again")
    return pd.DataFrame(rows, columns=["id", "title", "developer", "genres", "tags"], dtype="str")


def _text(value: Any) -> str:
    if isinstance(value, list):
        value = ", ".join(part for part in value if isinstance(part, str))
    return normalize_text(value) if isinstance(value, str) else ""
