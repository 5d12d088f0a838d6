"""Amazon reviews of 2014 (McAuley): JSON lines of reviews, Python-literal or JSON lines of item metadata."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bench.contract import RawData
from bench.data.sources.files import open_text
from bench.data.sources.rows import add_problem, no_users, normalize_text, validate_interactions
from bench.errors import DataError

_ASIN = re.compile(rb"""['"]asin['"]\s*:\s*['"]([^'"]+)['"]""")


def read(files: Mapping[str, Path]) -> RawData:
    """Read roles ``reviews`` and ``metadata``.

    Item fields: title, brand, and categories, which are the levels of all category paths without the first, each once.
    """
    problems: dict[str, int] = {}
    interactions = _reviews(files["reviews"], problems)
    items = _metadata(files["metadata"], set(interactions["item"]), problems)
    return RawData(interactions, items, no_users(), problems)


def _reviews(path: Path, problems: dict[str, int]) -> pd.DataFrame:
    users, items, times, ratings = [], [], [], []
    with open_text(path) as file:
        for line in file:
            if line.isspace():
                continue
            try:
                row = json.loads(line)
                user, item, time = row["reviewerID"], row["asin"], row["unixReviewTime"]
                f"{user}{item}".encode()  # JSON can hold halves of characters, which no table can
            except (ValueError, KeyError, TypeError, RecursionError):
                add_problem(problems, "review lines that are no JSON object with reviewerID, asin and unixReviewTime")
                continue
            users.append(user if isinstance(user, str) else "")
            items.append(item if isinstance(item, str) else "")
            times.append(None if isinstance(time, str) else _number(time))
            ratings.append(_number(row.get("overall")))
            if ratings[-1] is None and row.get("overall") is not None:
                add_problem(problems, "ratings that are no number")
    if not users:
        raise DataError(f"{path} holds no review: fetch it again")
    table = pd.DataFrame({"user": users, "item": items, "time": pd.Series(times, dtype="float64")})
    if any(rating is not None for rating in ratings):
        table["rating"] = pd.Series(ratings, dtype="float64")
    return validate_interactions(table, problems)


def _metadata(path: Path, wanted: set[str], problems: dict[str, int]) -> pd.DataFrame:
    rows = []
    with open_text(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of stray backslashes in somebody's titles
        for line in file:
            named = _ASIN.search(line)  # the full file has ten times the items of the 5-core; parsing is the slow part
            if (named and named[1].decode("utf-8", "replace") not in wanted) or line.isspace():
                continue
            try:
                row = _literal(line)
                if str(row["asin"]) in wanted:
                    levels = _levels(row.get("categories") or row.get("category") or [])
                    rows.append((str(row["asin"]), _text(row.get("title")), _text(row.get("brand")), levels))
            except (ValueError, SyntaxError, KeyError, TypeError, AttributeError, MemoryError, RecursionError):
                add_problem(problems, "metadata lines that are neither JSON nor a Python literal with an asin")
    if not rows:
        raise DataError(f"{path} describes none of the items: is it the metadata of another category?")
    return pd.DataFrame(rows, columns=["id", "title", "brand", "categories"], dtype="str")


def _literal(line: bytes) -> Any:
    """A line of strict JSON, or of a Python literal as in the files of 2014."""
    try:
        return json.loads(line)
    except ValueError:
        return ast.literal_eval(line.decode("utf-8").strip())


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (ValueError, TypeError, OverflowError):
        return None


def _text(value: Any) -> str:
    return normalize_text(value) if isinstance(value, str) else ""


def _levels(paths: list[Any]) -> str:
    """All levels but the first of all category paths, or of the one path that newer files have, each once."""
    if all(isinstance(level, str) for level in paths):
        paths = [paths]
    return " ".join(dict.fromkeys(_text(level) for path in paths for level in path[1:]))
