"""The dataset cards: what a data set is, where its files come from and how it is prepared by default."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from bench.errors import BenchError, unknown


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class File(_Strict):
    """One raw file."""

    name: str
    """File name, as the publisher gives it; inside ``package``, the path below the package's folder."""
    url: str | None = None
    """Where a user gets it."""
    sha256: str | None = None
    """Checksum of the published file."""


class Source(_Strict):
    """One way to get at the raw data."""

    reader: str
    """Name of a reader of :mod:`bench.data.sources`, or of a plugin."""
    files: dict[str, File]
    """The reader's files by role."""
    package: str | None = None
    """An installed Python package that carries the files; it is located, never imported."""
    install: str | None = None
    """The command that installs that package."""


class Filters(_Strict):
    """What is dropped before the split, in this order."""

    duplicates: Literal["first", "last"] = "first"
    """Which of several interactions of one user with one item stays."""
    k_core: int = 0
    """Least number of interactions of every user and every item, enforced until it holds; 0 for none."""


class Counts(_Strict):
    """Numbers after filtering."""

    users: int
    items: int
    interactions: int


class LongTail(_Strict):
    """Which users are the long tail."""

    rule: Literal["train-at-most", "least-active-share"]
    """By an absolute number of train interactions, or by rank among users, ties included."""
    value: float
    """The number of interactions, or the share between 0 and 1."""


class Card(_Strict):
    """All that is declared of a data set."""

    name: str
    title: str
    about: str = ""
    citation: str = ""
    licence: str = ""
    sources: list[Source]
    """Ways to get the data; the first whose files are all there is used."""
    filters: Filters = Filters()
    expected: Counts | None = None
    """Counts that preparing must reproduce exactly."""
    protocol: str
    """Name of the default protocol."""
    long_tail: LongTail


def _cards_file() -> Path:
    packed = Path(str(resources.files("bench"))) / "datasets.yaml"
    return packed if packed.exists() else packed.parent.parent / "datasets.yaml"


def cards() -> dict[str, Card]:
    """All cards by name, in the order of ``datasets.yaml``."""
    path = _cards_file()
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        return {name: Card(name=name, **fields) for name, fields in loaded.items()}
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BenchError(f"{path}: {where}: {first['msg']}") from error


def card(name: str) -> Card:
    """The card of that name.

    Raises
    ------
    BenchError
        If there is none.
    """
    known = cards()
    if name not in known:
        raise unknown("data set", name, known, "'bench datasets list'")
    return known[name]
