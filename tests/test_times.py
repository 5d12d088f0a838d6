"""Times of raw files: every form against Python's own integers and datetimes, and what an odd cell costs."""

import datetime
import random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.sources.times import parse_times

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
SCALES = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
instants = st.lists(st.integers(5 * 10**17, 39 * 10**17), min_size=1, max_size=20)
"""Nanoseconds since 1970, from 1985 to 2093."""
few = settings(max_examples=30)
"""For tests of many forms: each example holds up to twenty times."""


def parsed(values, dtype=None):
    """Nanoseconds by position; None where there is no time."""
    found = parse_times(pd.Series(values, dtype=dtype))
    return [None if reason else time for time, reason in zip(*(part.tolist() for part in found), strict=True)]


def reasons(values):
    return parse_times(pd.Series(values)).reasons.tolist()


def moment(nanoseconds):
    return EPOCH + datetime.timedelta(microseconds=nanoseconds // 1000)


def fraction(nanoseconds, digits):
    return f".{nanoseconds % 10**9:09}"[: digits + 1]


@pytest.mark.parametrize("unit", SCALES)
@pytest.mark.parametrize("form", ["integers", "texts", "texts beside an odd one", "beside a missing one"])
@few
@given(times=instants)
def test_epochs_of_any_unit_are_exact(unit, form, times):
    each = 10**9 // SCALES[unit]
    values, expected = [time // each for time in times], [time // each * each for time in times]
    found = {
        "integers": lambda: parsed(values, "int64"),
        "texts": lambda: parsed([str(value) for value in values], "str"),
        "texts beside an odd one": lambda: parsed([*map(str, values), "odd"], "str")[:-1],
        "beside a missing one": lambda: parsed([*values, None], "Int64")[:-1],
    }[form]()
    assert found == expected


@given(times=instants, digits=st.integers(1, 9))
def test_seconds_with_a_fraction_are_exact_as_texts(times, digits):
    each = 10 ** (9 - digits)
    values = [f"{time // 10**9}{fraction(time, digits)}" for time in times]
    found = parsed(values, "str")
    if all(len(value) <= 15 for value in values):  # read as a float, which is right to the tenth of a microsecond
        assert all(abs(one - time // each * each) < 500 for one, time in zip(found, times, strict=True))
    else:
        assert found == [time // each * each for time in times]


@given(times=instants)
def test_float_seconds_keep_their_order(times):
    values = [time / 1e9 for time in times]
    found = parsed(values, "float64")
    assert np.argsort(found, kind="stable").tolist() == np.argsort(values, kind="stable").tolist()
    assert all(abs(one - time) < 500 for one, time in zip(found, times, strict=True))


@given(times=instants, digits=st.integers(0, 9), zone=st.sampled_from(["", "Z", "+00:00", " UTC", "+02:00", "-05:30"]))
def test_iso_dates_with_fractions_and_zones(times, digits, zone):
    each, shift = 10 ** (9 - digits), {"+02:00": 7200, "-05:30": -19800}.get(zone, 0)
    values = []
    for time in times:
        local = moment(time) + datetime.timedelta(seconds=shift)
        values.append(local.strftime("%Y-%m-%dT%H:%M:%S") + (fraction(time, digits) if digits else "") + zone)
    assert parsed(values, "str") == [time // each * each for time in times]


@pytest.mark.parametrize("unit", SCALES)
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
@given(times=instants)
def test_timestamps_of_any_unit_and_zone(unit, zone, times):
    each = 10**9 // SCALES[unit]
    stamps = pd.Series(np.array([time // each for time in times]).astype(f"datetime64[{unit}]"))
    if zone:
        stamps = stamps.dt.tz_localize("UTC").dt.tz_convert(zone)
    assert parsed(stamps) == [time // each * each for time in times]


FORMS = {
    "%Y%m%d": 86_400, "%Y/%m/%d": 86_400, "%Y-%m-%d %H:%M:%S": 1, "%Y%m%d%H%M%S": 1, "%Y%m%d%H%M": 60,
    "%d %b %Y": 86_400, "%B %d, %Y": 86_400, "%m %d, %Y": 86_400, "%a %b %d %H:%M:%S +0000 %Y": 1,
    "%d/%b/%Y:%H:%M:%S +0000": 1, "%d/%m/%Y": 86_400, "%m/%d/%Y %H:%M": 60, "%d.%m.%Y %H:%M:%S": 1,
    "%m-%d-%Y %I:%M:%S %p": 1,
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@few
@given(times=instants)
def test_usual_forms_of_dates(form, times):
    shown = [*times, 1_400_544_000 * 10**9]  # the 20th of May: whichever comes first, the column shows it
    each = FORMS[form] * 10**9
    values = [moment(time).strftime(form) for time in shown]
    assert parsed(values, "str") == [time // each * each for time in shown]
    if values[0].isdecimal():
        assert parsed([int(value) for value in values], "int64") == [time // each * each for time in shown]


def test_day_or_month_first_is_never_guessed():
    assert reasons(["01/02/2014", "03/04/2014", "05/05/2014"]) == [2, 2, 0]
    assert reasons(["01/02/2014", "2014-02-01"]) == [2, 0]
    assert parsed(["01/02/2014", "13/02/2014"]) == [day("2014-02-01"), day("2014-02-13")]
    assert parsed(["01/02/2014", "02/13/2014"]) == [day("2014-01-02"), day("2014-02-13")]
    assert parsed(["13/02/2014", "02/13/2014", "01/02/2014"]) == [day("2014-02-13"), day("2014-02-13"), None]


def day(text):
    return int(datetime.datetime.fromisoformat(f"{text}T00:00:00+00:00").timestamp()) * 10**9


@pytest.mark.parametrize(
    ("column", "odd"),
    [
        (["2020-09-13 12:26:40"] * 9, "0"),
        (["2020-09-13"] * 9, "1600000000"),
        (["1600000000"] * 9, "2020-09-13"),
        (["1600000000"] * 9, "noon"),
        (["1600000000500"] * 9, "9" * 30),
        ([1_600_000_000] * 9, -1),
        ([20140513] * 9, 20141399),
        ([20140513] * 9, 20140230),
        (["20/05/2014"] * 9, "05/20/2014"),
        (["2014-05-13T10:00:00Z"] * 9, "2014-05-13T25:00:00Z"),
        ([1.6e9] * 9, float("inf")),
    ],
)
def test_odd_cell_costs_its_row_and_never_the_column(column, odd):
    place = random.Random(str(odd)).randrange(10)
    found = parsed([*column[:place], odd, *column[place:]])
    assert found[place] is None
    assert len({*found[:place], *found[place + 1 :]}) == 1
    assert None not in found[:place] + found[place + 1 :]


def test_relative_times_keep_their_order():
    """Milliseconds since some start: below the bound for seconds and beyond it, yet one unit for all."""
    values = list(range(0, 10_000_000_000, 999_999_937))
    found = parsed(values)
    assert found == [value * 10**6 for value in values]


@pytest.mark.parametrize("values", [[], [None, None], ["", ""], ["now", "today"], [True, False], ["12:30:00"]])
def test_columns_without_a_time(values):
    assert set(parsed(values, None if values else "object")) <= {None}
