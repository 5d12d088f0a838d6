"""Amazon reviews of 2014 (McAuley): JSON lines of reviews, Python-literal lines of item metadata."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bench.data.sources import RawData, no_users, opened
from bench.errors import BenchError

_ASIN = re.compile(rb"""['"]asin['"]\s*:\s*['"]([^'"]+)['"]""")


def read(files: Mapping[str, Path]) -> RawData:
    """Read roles ``reviews`` and ``metadata``. Item fields: title, brand, categories (levels joined by " > ")."""
    problems: dict[str, int] = {}
    interactions = _reviews(files["reviews"], problems)
    items = _metadata(files["metadata"], set(interactions["item"]), problems)
    return RawData(interactions, items, no_users(), problems)


def _reviews(path: Path, problems: dict[str, int]) -> pd.DataFrame:
    users, items, times = [], [], []
    with opened(path) as file:
        for line in file:
            if line.isspace():
                continue
            try:
                row = json.loads(line)
                user, item, time = row["reviewerID"], row["asin"], int(row["unixReviewTime"])
            except (ValueError, KeyError, TypeError, OverflowError):
                _count(problems, "review lines that are no JSON object with reviewerID, asin and unixReviewTime")
                continue
            if not (isinstance(user, str) and isinstance(item, str) and user and item):
                _count(problems, "review lines whose reviewerID or asin is no text")
                continue
            users.append(user)
            items.append(item)
            times.append(time)
    if not users:
        raise BenchError(f"{path} holds no review: fetch it again")
    return pd.DataFrame({"user": users, "item": items, "time": pd.Series(times, dtype="int64")})


def _metadata(path: Path, wanted: set[str], problems: dict[str, int]) -> pd.DataFrame:
    rows: dict[str, dict[str, str]] = {}
    with opened(path) as file:
        for line in file:
            named = _ASIN.search(line)  # the full file has ten times the items of the 5-core; parsing is the slow part
            if named and named[1].decode("utf-8", "replace") not in wanted:
                continue
            if line.isspace():
                continue
            try:
                row = ast.literal_eval(line.decode("utf-8").strip())
                rows[str(row["asin"])] = {
                    "title": _text(row.get("title")),
                    "brand": _text(row.get("brand")),
                    "categories": _text(" > ".join(row["categories"][0]) if row.get("categories") else ""),
                }
            except (ValueError, SyntaxError, KeyError, TypeError, AttributeError, MemoryError, RecursionError):
                _count(problems, "metadata lines that are no Python literal with an asin")
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["title", "brand", "categories"], dtype="str")
    return table.rename_axis("id").reset_index()


def _text(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def _count(problems: dict[str, int], reason: str) -> None:
    problems[reason] = problems.get(reason, 0) + 1
