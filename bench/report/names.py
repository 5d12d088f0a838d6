"""Names may hold anything: what becomes of them in file names, in Markdown and in CSV."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from bench.errors import plain
from bench.files import content_hash

_LONGEST = 48
"""Bytes of a name that a file name takes over."""


def slug(name: str) -> str:
    """``name`` as a part of a file name: never a path, hidden, or longer than some bytes.

    A name that is not kept as it is, or that another one may equal on some system (capital letters, accents), ends in a
    hash of the whole: two names never have the same slug.
    """
    kept = re.sub(r"[^\w.+]+", "-", name).strip("-.")
    kept = kept.encode("utf-8", "ignore")[:_LONGEST].decode("utf-8", "ignore")
    as_it_is = kept != "" and kept == name.lower() and kept.isascii()
    # A slug with a hash has a tilde, which no other one has.
    return kept if as_it_is else f"{kept}~{content_hash([plain(name), *map(ord, name)])[:8]}"


def markdown(text: str) -> str:
    """``text`` as one line of Markdown that shows it as it is: no cell ends in it, no tag or link begins."""
    return re.sub(r"([\\`*<|~&]|\](?=[(\[])|(?<!\w)_|_(?!\w))", r"\\\1", plain(text))


def csv(frame: pd.DataFrame) -> str:
    """``frame`` as CSV; a text that a spreadsheet would take for a formula begins with an apostrophe."""
    return frame.map(_inert).to_csv(index=False)


def _inert(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
