"""What all readers do with the rows that they read: one rule for each thing that can be wrong with them."""

from __future__ import annotations

import html
import re
from typing import Any

import numpy as np
import pandas as pd

from bench.data.sources.times import AMBIGUOUS, SECOND, UNKNOWN, parse_times

_DECIMAL_COMMA = re.compile(r"-?[0-9]+,[0-9]{1,2}")
"""As in ``3,5``; with three digits, a comma may stand for thousands."""


def no_users() -> pd.DataFrame:
    """The user table of a data set that says nothing of its users."""
    return pd.DataFrame({"id": pd.Series(dtype="str")})


def add_problem(problems: dict[str, int], reason: str, number: int = 1) -> None:
    """Add to the rows that could not be used."""
    if number:
        problems[reason] = problems.get(reason, 0) + number


def normalize_text(text: str) -> str:
    """Text without HTML entities, line breaks, repeated blanks, and characters that are no Unicode text."""
    return " ".join(html.unescape(text).encode("utf-8", "replace").decode("utf-8").split())


def validate_interactions(table: pd.DataFrame, problems: dict[str, int]) -> pd.DataFrame:
    """The interactions with a user, an item and a time; others are counted.

    ``time`` may be of any kind that :func:`bench.data.sources.times.parse_times` knows. Afterwards it is int64 seconds,
    beside it the column ``nanosecond`` (int64, the part of the second) if any time has one. ``rating`` becomes float; a
    row without a rating stays, with not-a-number, since only a filter by rating makes it useless.
    """
    given = (table["user"] != "") & (table["item"] != "") & table["user"].notna() & table["item"].notna()
    named = given.to_numpy(bool)
    add_problem(problems, "rows without a user or item", int((~named).sum()))
    times = parse_times(table["time"])
    for code, reason in ((1, UNKNOWN), (2, AMBIGUOUS)):
        add_problem(problems, reason, int((named & (times.reasons == code)).sum()))
    kept = named & (times.reasons == 0)
    seconds, rest = np.divmod(times.nanoseconds[kept], SECOND)
    result: pd.DataFrame = table[kept].assign(time=seconds)
    if rest.any():
        result = result.assign(nanosecond=rest)
    if "rating" in result:
        result = _rated(result, problems)
    return result.reset_index(drop=True)


def _rated(table: pd.DataFrame, problems: dict[str, int]) -> pd.DataFrame:
    rating = pd.to_numeric(table["rating"], errors="coerce").astype("float64")
    if rating.isna().any():
        written = table["rating"].astype("str").str.strip()
        commas = rating.isna() & written.str.fullmatch(_DECIMAL_COMMA)
        rating[commas] = written[commas].str.replace(",", ".").astype("float64")
    lost = table["rating"][rating.isna()].dropna()
    add_problem(problems, "ratings that are no number", int((lost.astype("str").str.strip() != "").sum()))
    return table.drop(columns="rating") if rating.isna().all() else table.assign(rating=rating)


def first_of_each(texts: pd.DataFrame, what: str, problems: dict[str, int]) -> pd.DataFrame:
    """The first row of each ``id``; ids that other rows describe differently are counted."""
    if not texts["id"].duplicated().any():
        return texts
    distinct = texts.drop_duplicates()
    differing = distinct["id"][distinct["id"].duplicated()].nunique()
    add_problem(problems, f"{what} that are described in different ways (the first one counts)", int(differing))
    return texts.drop_duplicates("id").reset_index(drop=True)


def written_id(value: Any) -> str:
    """An id as text: 7.0 is "7", however large; missing is "". Texts stay as they are written."""
    if isinstance(value, str):
        return value
    if value is None or value != value:
        return ""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)
