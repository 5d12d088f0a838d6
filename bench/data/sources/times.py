"""Points in time as raw files write them: numbers of any unit and dates of the usual forms, told by the column.

One unit and one form hold for a whole column, the ones that most of its cells agree with. So a single odd cell costs
its row and never the column, and no cell is read by a rule of its own that would change its order among the others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]

SECOND = 10**9
"""Nanoseconds."""

LATEST = 4 * 10**9
"""Seconds since 1970, in the year 2096. What is later is no time; a column whose median is later has a finer unit."""

UNKNOWN = "rows whose time is missing, negative or no time"
AMBIGUOUS = "rows whose date may be day first or month first (write YYYY-MM-DD)"

_NUMBER = r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d{1,3})?"
_CLOCK = r"(?:[ T,]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9})\d*)?)? ?([AaPp][Mm])?)?"
_SLASHED = rf"(\d{{1,2}})([/.-])(\d{{1,2}})\2(\d{{4}}){_CLOCK}"
_FORMATS = (
    "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d-%b-%Y %H:%M:%S", "%a %b %d %H:%M:%S %z %Y",
    "%a, %d %b %Y %H:%M:%S %z", "%d/%b/%Y:%H:%M:%S %z", "%m %d, %Y",
)  # fmt: skip
"""Other forms that cannot be mistaken; the last one is that of Amazon's ``reviewTime``."""


class Times(NamedTuple):
    """A column of times."""

    nanoseconds: Numbers
    """(n,): since 1970, 0 where there is a reason."""
    reasons: NDArray[np.int8]
    """(n,): 0 for a time, 1 for :data:`UNKNOWN`, 2 for :data:`AMBIGUOUS`."""


def parse_times(column: pd.Series) -> Times:
    """The times of a column of integers, floats, datetimes or texts.

    Numbers are seconds, milliseconds, microseconds or nanoseconds since 1970, by their median, or ``YYYYMMDD`` with
    perhaps ``hhmm`` or ``hhmmss`` where most are. Texts are such numbers, ISO 8601 in UTC unless they say otherwise,
    day, month and year between slashes, dots or dashes where the column shows which comes first, or one of a few forms
    with names of months.
    """
    if pd.api.types.is_datetime64_any_dtype(column):
        return _stamped(column)
    if pd.api.types.is_bool_dtype(column):
        return _outcome(np.zeros(len(column), np.int64), np.zeros(len(column), bool))
    if pd.api.types.is_integer_dtype(column):
        known = column.notna().to_numpy(bool)
        return _numbered(column.fillna(0).to_numpy(np.int64), np.zeros(len(column), np.int64), known)
    if pd.api.types.is_float_dtype(column):
        return _numbered(*_split(column.to_numpy(np.float64, na_value=np.nan)))
    return _written(column.astype("str").fillna("").str.strip().reset_index(drop=True))


def _outcome(nanoseconds: Numbers, known: Mask, ambiguous: Mask | None = None) -> Times:
    """Times outside 1970 to 2096 are not known."""
    known = known & (nanoseconds >= 0) & (nanoseconds < LATEST * SECOND)
    reasons = np.where(known, 0, 1 if ambiguous is None else np.where(ambiguous, 2, 1))
    return Times(np.where(known, nanoseconds, 0), reasons.astype(np.int8))


# Numbers --------------------------------------------------------------------------------------------------------------


def _split(values: NDArray[np.float64]) -> tuple[Numbers, Numbers, Mask]:
    """Whole part, billionths, and which are numbers that a whole part of 64 bits can hold."""
    known = np.abs(values) < 9e18  # false for what is not a number
    values = np.where(known, values, 0.0)
    whole = np.floor(values)
    return whole.astype(np.int64), np.rint((values - whole) * 1e9).astype(np.int64), known


def _numbered(whole: Numbers, billionths: Numbers, known: Mask) -> Times:
    """Times of ``whole + billionths / 10**9`` in the unit that the median shows, or of calendar dates as numbers."""
    counted = whole[known & (whole >= 0)]
    median = int(np.median(counted)) if len(counted) else 0
    if any(1900 <= median // digits < 2200 for digits in (10**4, 10**8, 10**10)):  # else most are no such dates
        dated, is_date = _calendar(whole)
        if (is_date & known).sum() * 2 > known.sum():
            return _outcome(dated * SECOND, known & is_date)
    scale = next((scale for scale in (1, 10**3, 10**6) if median < LATEST * scale), 10**9)
    known = known & (whole >= 0) & (whole < LATEST * scale)
    each = SECOND // scale
    return _outcome(np.where(known, whole, 0) * each + billionths * each // 10**9, known)


def _calendar(values: Numbers) -> tuple[Numbers, Mask]:
    """Seconds since 1970 of ``YYYYMMDD``, ``YYYYMMDDhhmm`` and ``YYYYMMDDhhmmss``, and which numbers are that."""
    long, middle = values >= 10**13, (values >= 10**11) & (values < 10**13)
    day = np.where(long, values // 10**6, np.where(middle, values // 10**4, values))
    clock = np.where(long, values % 10**6, np.where(middle, values % 10**4 * 100, 0))
    clocked = [clock // 10**4, clock // 100 % 100, clock % 100]
    return _seconds(day // 10**4, day // 100 % 100, day % 100, *clocked)


def _seconds(year: Numbers, month: Numbers, day: Numbers, *clock: Numbers) -> tuple[Numbers, Mask]:
    """Seconds since 1970, and which of the dates exist; ``clock`` is hours, minutes and seconds."""
    sane = (year >= 1900) & (year < 2200) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    months = np.where(sane, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + np.where(sane, day - 1, 0).astype("timedelta64[D]")
    hours, minutes, seconds = clock
    sane &= (days.astype("datetime64[M]") == months) & (hours < 24) & (minutes < 60) & (seconds < 60)
    return days.astype(np.int64) * 86_400 + hours * 3600 + minutes * 60 + seconds, sane


# Texts ----------------------------------------------------------------------------------------------------------------


def _written(texts: pd.Series) -> Times:
    """Times of texts, by numbers or by dates, whichever are more."""
    numeric = texts.str.fullmatch(_NUMBER).to_numpy(bool)
    if numeric.all():
        return _numbered(*_read_numbers(texts, numeric))
    dates = _read_dates(texts, numeric)
    if (dates.reasons != 1).sum() >= numeric.sum():
        return dates
    return _numbered(*_read_numbers(texts, numeric))


def _read_numbers(texts: pd.Series, numeric: Mask) -> tuple[Numbers, Numbers, Mask]:
    """As :func:`_split`, and exact however long the numbers are."""
    if not (texts.str.len().to_numpy() * numeric > 15).any():  # digits that a float has
        whole, billionths, plain = _split(pd.to_numeric(texts, errors="coerce").to_numpy(np.float64))
        return whole, billionths, numeric & plain
    parts = texts.where(numeric, "0").str.extract(r"^([+-]?\d{1,18})(?:\.(\d{0,9})\d*)?$")
    plain = np.array(parts[0].notna(), bool)
    whole = np.array(parts[0].fillna("0"), np.int64)
    billionths = np.array(parts[1].fillna("").astype("str").str.pad(9, "right", "0"), np.int64)
    long = texts.where(numeric, "0").str.fullmatch(r"\+?\d{19}").to_numpy(bool)  # nanoseconds of our days
    for at in np.flatnonzero(long):
        value = int(texts.iloc[at])
        whole[at], plain[at] = (value, True) if value < 2**63 else (0, False)
    floats = numeric & ~plain & ~long
    if floats.any():
        found = _split(pd.to_numeric(texts[floats], errors="coerce").to_numpy(np.float64))
        whole[floats], billionths[floats], plain[floats] = found
    return whole, billionths, numeric & plain


def _read_dates(texts: pd.Series, numeric: Mask) -> Times:
    """Times of the cells that are dates of some form; of numbers, ``YYYYMMDD`` and ``YYYYMMDDhhmmss`` alone."""
    worded = texts.str.contains(r"\d", regex=True).to_numpy(bool)  # "now" and "today" are no times
    calendar = texts.str.fullmatch(r"\d{8}|\d{14}").to_numpy(bool)
    trusted = worded & (~numeric | calendar)
    iso = texts.where(trusted, "").str.replace(r" ?(?:UTC|GMT)$", "Z", regex=True)
    iso = iso.str.replace(r"(:\d{2}),(\d+)", r"\1.\2", regex=True)
    found = _stamped(pd.to_datetime(iso, errors="coerce", utc=True, format="ISO8601"))
    nanoseconds, reasons = found.nanoseconds.copy(), found.reasons.copy()
    for rule in (_slashed, _formatted):
        left = np.flatnonzero((reasons == 1) & trusted & ~numeric)
        if len(left):
            more = rule(texts.iloc[left])
            nanoseconds[left], reasons[left] = more.nanoseconds, more.reasons
    return Times(nanoseconds, reasons)


def _stamped(stamps: pd.Series) -> Times:
    """Times of a datetime column, those without a zone in UTC."""
    values = (stamps.dt.tz_convert(None) if stamps.dt.tz is not None else stamps).to_numpy()
    seconds = values.astype("datetime64[s]")  # towards the past
    known = ~np.isnat(values)
    whole = np.where(known, seconds.astype(np.int64), 0)
    known &= (whole >= 0) & (whole < LATEST)
    rest = np.where(known, values - seconds, np.timedelta64(0, "ns")).astype("timedelta64[ns]").astype(np.int64)
    return _outcome(np.where(known, whole, 0) * SECOND + rest, known)


def _slashed(texts: pd.Series) -> Times:
    """Day, month and year, in the order that the column shows."""
    cells = texts.str.extract(rf"^{_SLASHED}$")
    known = cells[3].notna().to_numpy(bool)

    def number(part: int) -> Numbers:
        return pd.to_numeric(cells[part]).fillna(0).to_numpy(np.int64)

    first, second = number(0), number(2)
    shows_day, shows_month = known & (first > 12) & (second <= 12), known & (second > 12) & (first <= 12)
    balance = int(shows_day.sum()) - int(shows_month.sum())
    day_first = shows_day if balance == 0 else np.full(len(known), balance > 0)
    ambiguous = known & (first <= 12) & (second <= 12) & (first != second) & (balance == 0)
    day, month = np.where(day_first, first, second), np.where(day_first, second, first)
    halves = cells[8].str.lower()
    hours = number(4)
    hours = np.where(halves.notna(), hours % 12 + 12 * (halves == "pm"), hours).astype(np.int64)
    seconds, exists = _seconds(number(3), month, day, hours, number(5), number(6))
    rest = np.array(cells[7].fillna("").astype("str").str.pad(9, "right", "0"), np.int64)
    return _outcome(seconds * SECOND + rest, known & exists & ~ambiguous, ambiguous)


def _formatted(texts: pd.Series) -> Times:
    """The forms of :data:`_FORMATS`."""
    found: Any = pd.Series(pd.NaT, index=texts.index, dtype="datetime64[us, UTC]")
    for form in _FORMATS:
        left = found.isna()
        if left.any():
            found[left] = pd.to_datetime(texts[left], format=form, errors="coerce", utc=True).astype(found.dtype)
    return _stamped(found)
