"""What can be told as a fact, and kept as an intermediate result."""

import json
import math
import os
import sys
from pathlib import Path

import numpy as np


def _deep(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


def note_300_deep(context):
    context.note("deep", _deep(300))


def note_100_000_deep(context):
    context.note("deep", _deep(100_000))


def note_surrogate(context):
    context.note("half", "\ud800")


def note_nan(context):
    context.note("nan", math.nan)


def note_huge(context):
    context.note("huge", "x" * 10**8)


def note_many(context):
    for i in range(10**5):
        context.note(f"fact {i}", "x" * 1000)


def note_odd_name(context):
    context.note("a\x1b[31m|\n", "b|\x1b[2J\nc")
    context.note("backbone", "a|b\x1b[2J\n" + "x" * 10_000)


def note_name_is_no_text(context):
    context.note(3, 4)


def note_circle(context):
    value = []
    value.append(value)
    context.note("circle", value)


def facts_are_set(context):
    context.facts["array"] = np.arange(3)
    context.facts["object"] = object()


def validations_are_set(context):
    context.validations.append({"score": math.nan})


def seconds_are_set(context):
    context.resumed = type(context.resumed)(math.nan, math.inf)
    context.reused = type(context.reused)(-1e300, -1e300)


def _kept():
    folder = Path(sys.argv[2], "kept", "split")
    folder.mkdir(parents=True)
    return folder


_KEY = "0" * 24


def kept_badly_named(context):
    for name in ("..a", "UPPER-" + _KEY, "a b", "vectors-123", "x" * 200, "vectors-\n" + _KEY, ".hidden"):
        (_kept() if not Path(sys.argv[2], "kept").exists() else Path(sys.argv[2], "kept", "split")).joinpath(
            name
        ).mkdir()


def kept_is_no_entry(context):
    folder = _kept()
    for i, text in enumerate(
        ("", "[]", "{}", '{"arrays": [], "seconds": 1}', '{"arrays": {"../../x": "0"}, "seconds": 1}')
    ):
        entry = folder / f"a{i}-{_KEY}"
        entry.mkdir()
        (entry / "entry.json").write_text(text)
    (folder / f"b-{_KEY}").write_text("a file")
    (folder / f"c-{_KEY}").mkdir()


def kept_costs_less_than_nothing(context):
    for i, seconds in enumerate(("-1", "1e999", "NaN", '"much"')):
        entry = (_kept() if not i else Path(sys.argv[2], "kept", "split")) / f"d{i}-{_KEY}"
        entry.mkdir()
        (entry / "entry.json").write_text(f'{{"arrays": {{}}, "seconds": {seconds}}}')


def kept_links(context):
    folder = _kept()
    (folder / f"e-{_KEY}").symlink_to("/etc")
    (folder / f"f-{_KEY}").mkdir()
    (folder / f"f-{_KEY}" / "entry.json").symlink_to("/etc/passwd")


def kept_is_a_file(context):
    Path(sys.argv[2], "kept").write_text("no folder")


def kept_collides(context):
    """What it keeps is there already, and damaged: it is made anew."""
    arrays = context.cached("collides", {}, lambda: {"a": np.arange(5)})
    context.note("sum", int(arrays["a"].sum()))


def huge_entry(context):
    entry = _kept() / f"g-{_KEY}"
    entry.mkdir()
    (entry / "entry.json").write_text(json.dumps({"arrays": {}, "seconds": 1, "x": "y" * 2**25}))
    with (entry / "a.npy").open("wb") as file:
        os.truncate(file.fileno(), 2**40)
