"""Amazon reviews of 2014 (McAuley): JSON lines of reviews, Python-literal lines of item metadata."""

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
from bench.data.sources.files import open_raw
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
    with open_raw(path) as file:
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
    if not users:
        raise DataError(f"{path} holds no review: fetch it again")
    table = pd.DataFrame({"user": users, "item": items, "time": pd.Series(times, dtype="float64")})
    if any(rating is not None for rating in ratings):
        table["rating"] = pd.Series(ratings, dtype="float64")
    return validate_interactions(table, problems)


def _metadata(path: Path, wanted: set[str], problems: dict[str, int]) -> pd.DataFrame:
    rows: dict[str, dict[str, str]] = {}
    with open_raw(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of stray backslashes in somebody's titles
        for line in file:
            named = _ASIN.search(line)  # the full file has ten times the items of the 5-core; parsing is the slow part
            if (named and named[1].decode("utf-8", "replace") not in wanted) or line.isspace():
                continue
            try:
                row = ast.literal_eval(line.decode("utf-8").strip())
                if str(row["asin"]) not in wanted:
                    continue
                rows[str(row["asin"])] = {
                    "title": _text(row.get("title")),
                    "brand": _text(row.get("brand")),
                    "categories": _levels(row.get("categories") or []),
                }
            except (ValueError, SyntaxError, KeyError, TypeError, AttributeError, MemoryError, RecursionError):
                add_problem(problems, "metadata lines that are no Python literal with an asin")
    if not wanted & rows.keys():
        raise DataError(f"{path} describes none of the items: is it the metadata of another category?")
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["title", "brand", "categories"], dtype="str")
    return table.rename_axis("id").reset_index()


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (ValueError, TypeError, OverflowError):
        return None


def _text(value: Any) -> str:
    return normalize_text(value) if isinstance(value, str) else ""


def _levels(paths: list[list[str]]) -> str:
    return " ".join(dict.fromkeys(_text(level) for path in paths for level in path[1:]))
