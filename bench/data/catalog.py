"""The dataset cards: what a data set is, where its files come from and how it is prepared by default."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import Field, JsonValue, ValidationError, model_validator

from bench.errors import DataError, UnknownName, plain
from bench.files import packaged
from bench.strict import Strict
from bench.yaml_files import read_yaml

NAME = r"\w[\w.+-]*"
"""The names of data sets, which are parts of paths."""


class File(Strict):
    """One raw file."""

    name: str
    """File name, as the publisher gives it; inside ``package``, the path below the package's folder."""
    url: str | None = None
    """Where a user gets it."""
    mirrors: list[str] = []
    """Other addresses of the same file, tried in this order when the first one fails."""
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """Checksum of the published file, in hex, for one that is fetched: a file at hand may be packed anew."""
    md5: str | None = Field(None, pattern="^[0-9a-f]{32}$")
    """The same, where the publisher gives this one alone."""
    size: str | None = None
    """About how much there is to fetch, such as ``44 MB``."""

    @model_validator(mode="after")
    def _fits(self) -> File:
        if self.url and Path(self.name).name != self.name:
            raise ValueError(f"name '{self.name}' of a file with a url is a path: give the name alone")
        return self


class Source(Strict):
    """One way to get at the raw data."""

    reader: str
    """Name of a reader of :mod:`bench.data.sources`, or of a plugin."""
    files: dict[str, File]
    """The reader's files by role."""
    package: str | None = None
    """An installed Python package that carries the files; it is located, never imported."""
    install: str | None = None
    """The command that installs that package."""
    instructions: str | None = None
    """What a person has to do where a file cannot simply be fetched, such as to log in."""
    options: dict[str, JsonValue] = {}
    """Given to the reader as keyword arguments."""


class Filters(Strict):
    """What is dropped before the split, in this order."""

    min_rating: float | None = None
    """Ratings below this are no interactions."""
    since: datetime.date | None = None
    """Interactions before this day (UTC) are dropped."""
    until: datetime.date | None = None
    """Interactions on or after this day (UTC) are dropped."""
    duplicates: Literal["first", "last"] = "first"
    """Which of several interactions of one user with one item stays, by time."""
    min_text: int = Field(0, ge=0)
    """Items whose text has fewer characters are dropped."""
    k_core: int = Field(0, ge=0)
    """Least number of interactions of every user and every item, enforced until it holds; 0 for none."""


class Counts(Strict):
    """Numbers after filtering."""

    users: int
    items: int
    interactions: int
    approximate: bool = False
    """Whether other numbers are worth a warning only, since these were not verified."""


class Template(Strict):
    """How a text is made of fields. A part whose field is empty is left out with its label."""

    parts: list[str]
    """Such as ``title {title}``, each with one field in braces."""
    prefix: str = ""
    """Stands before the parts, if there are any."""
    separator: str = " "
    """Stands between them."""
    suffix: str = ""
    """Stands behind them, if there are any."""


class Texts(Strict):
    """Templates for the column ``text`` of items and users; a published ``text`` is never built anew."""

    item: Template | None = None
    user: Template | None = None


class LongTail(Strict):
    """Which users are the long tail: those of low activity, not those of rare items."""

    rule: Literal["train-at-most", "least-active-share"]
    """By an absolute number of train interactions, or by rank among users, ties included."""
    value: float
    """The number of interactions, or the share above 0 and below 1."""

    @model_validator(mode="after")
    def _fits(self) -> LongTail:
        if self.rule == "least-active-share" and not 0 < self.value < 1:
            raise ValueError(f"value {self.value:g} is no share of users: give a number above 0 and below 1")
        if self.rule == "train-at-most" and not (self.value >= 0 and self.value.is_integer()):
            raise ValueError(f"value {self.value:g} is no number of interactions: give a whole number")
        return self


class Named(Strict):
    """A card of a file of cards."""

    name: str = Field(pattern=f"^{NAME}$")
    """Letters, digits and ``. + - _``: it becomes part of file names."""


class Card(Named):
    """All that is declared of a data set."""

    title: str
    about: str = ""
    citation: str = ""
    licence: str = ""
    sources: list[Source]
    """Ways to get the data; the first whose files are all there is used."""
    filters: Filters = Filters()
    expected: Counts | None = None
    """Counts that preparing must reproduce."""
    texts: Texts = Texts()
    """How items and users are described to models that read."""
    protocol: str = "random"
    """Name of the default protocol."""
    long_tail: LongTail = LongTail(rule="least-active-share", value=0.2)
    """Which users are the long tail."""


AnyCard = TypeVar("AnyCard", bound=Named)


def _cards_file() -> Path:
    return packaged("datasets.yaml")


def cards() -> dict[str, Card]:
    """All cards by name, in the order of ``datasets.yaml``."""
    return read_cards(_cards_file(), Card)


def card(name: str) -> Card:
    """The card of that name, or the one in the file of that name (``….yaml``).

    Raises
    ------
    DataError
        If there is none, or the file does not hold exactly one valid card.
    """
    if name.endswith((".yaml", ".yml")):
        found = read_cards(Path(name), Card)
        if len(found) != 1:
            raise DataError(f"{name} holds {len(found)} cards where one is expected")
        return next(iter(found.values()))
    known = cards()
    if name not in known:
        here = [path for path in (f"{name}.yaml", f"{name}.yml") if Path(path).is_file()]
        raise UnknownName("data set", name, here or known, "'bench datasets list'")
    return known[name]


def read_cards(path: Path, kind: type[AnyCard]) -> dict[str, AnyCard]:
    """The cards of a YAML file by name, in its order.

    Raises
    ------
    DataError
        If it is no YAML, or a card is not valid.
    """
    try:
        loaded = read_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(loaded, dict) or not all(isinstance(fields, dict) for fields in loaded.values()):
        needed = [name for name, field in kind.model_fields.items() if field.is_required() and name != "name"]
        raise DataError(f"{path}: expected 'name: {{{', '.join(f'{name}: …' for name in needed)}}}'")
    return {name: _checked(path, name, fields, kind) for name, fields in loaded.items()}


def _checked(path: Path, name: str, fields: dict[str, Any], kind: type[AnyCard]) -> AnyCard:
    try:
        return kind(name=name, **fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{path}: {plain(name, 60)}: {where}: {first['msg']}") from error
    except TypeError as error:
        raise DataError(f"{path}: {plain(name, 60)}: {error}") from error
