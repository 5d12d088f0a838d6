"""What all readers do with the rows that they read: one rule for each thing that can be wrong with them."""

from __future__ import annotations

import html

import pandas as pd


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

    ``time`` may be of any kind: numbers are seconds since 1970, or milliseconds if they are that large, texts are
    ISO 8601 dates, in UTC unless they say otherwise (others would be guesses: 12.09. may be in December). Afterwards it
    is int64.
    """
    named = (table["user"] != "") & (table["item"] != "") & table["user"].notna() & table["item"].notna()
    add_problem(problems, "rows without a user or item", int((~named).sum()))
    times = _seconds(table["time"])
    timed = times.notna() & (times >= 0) & (times < _LATEST)
    add_problem(problems, "rows whose time is missing, negative or no time", int((named & ~timed).sum()))
    kept = named & timed
    result = table[kept].assign(time=times[kept].astype("int64"))
    if "rating" in result:
        rating = pd.to_numeric(result["rating"], errors="coerce")
        add_problem(problems, "rows whose rating is no number", int(rating.isna().sum()))
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
