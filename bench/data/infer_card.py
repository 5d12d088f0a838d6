"""A card for a user's own tables, with a guess at what their columns are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from bench.data.catalog import Card
from bench.data.sources.table import column_names
from bench.errors import ConfigError, DataError

_STEMS = {
    "user": ("user", "uid", "reviewer", "customer", "visitor", "member", "buyer", "client", "account", "consumer",
             "person", "player", "viewer", "subscriber", "shopper", "profile", "usr"),
    "item": ("item", "iid", "asin", "parent_asin", "movie", "film", "product", "sku", "article", "recipe", "track",
             "song", "artist", "book", "isbn", "isbn13", "business", "news", "video", "game", "app", "anime", "beer",
             "wine", "hotel", "restaurant", "venue", "poi", "place", "course", "post", "offer", "listing", "show"),
    "time": ("time", "timestamp", "unixreviewtime", "date", "datetime", "ts", "created_at", "created", "review_date",
             "review_time", "event_time", "event_date", "order_date", "purchase_date", "purchase_time",
             "unix_timestamp", "transaction_date", "invoice_date", "invoicedate", "rated_at", "submitted", "t_dat",
             "day"),
    "rating": ("rating", "ratings", "overall", "stars", "score", "rate", "review_score", "review_rating", "user_rating",
               "star_rating", "grade"),
}  # fmt: skip
"""Usual names of columns, in lower case and without an ending such as ``_id``, by what they mean."""

_ENDING = re.compile(r"_?(?:id|ids|no|nr|num|number|code|key|idx|index)$")
_TYPE = re.compile(r":(?:token|float)(?:_seq)?$")


def make_card(
    name: str,
    interactions: Sequence[Path] = (),
    *,
    split: Mapping[str, Path] | None = None,
    items: Path | None = None,
    users: Path | None = None,
    columns: Mapping[str, str] | None = None,
    filters: Mapping[str, Any] | None = None,
    encoding: str | None = None,
) -> str:
    """The card as YAML text.

    Parameters
    ----------
    name
        Of the data set.
    interactions
        Tables of interactions with the same columns, one behind the other.
    split
        Instead of them, those of a published split: ``train``, ``test`` and perhaps ``valid``.
    items, users
        Tables of texts.
    columns
        What is known of the columns of the interactions: names by ``user``, ``item``, ``time`` and ``rating``.
    filters
        Fields of :class:`bench.data.catalog.Filters`.
    encoding
        Of all text files.

    Raises
    ------
    ConfigError
        If the name or a filter is not allowed, or neither or both of ``interactions`` and ``split`` are given.
    DataError
        If a table cannot be read, lacks a column that is named, or none can be taken for the user or the item.
    """
    published = {role: path for role, path in (split or {}).items() if path is not None}
    if bool(interactions) == bool(published) or (published and not {"train", "test"} <= set(published)):
        raise ConfigError("give the interactions with --interactions, or a split with --train, --valid and --test")
    roles = {f"interactions-{i}" if i > 1 else "interactions": path for i, path in enumerate(interactions, 1)}
    tables = roles | published
    first = next(iter(tables.values()))
    found = guess_columns(column_names(first, encoding), first, columns or {})
    for table in tables.values():
        have = column_names(table, encoding)
        if lacks := [f"'{name}'" for name in found.values() if name not in have]:
            raise DataError(
                f"{table} has no column {' and '.join(lacks)}, which {first.name} has (there are {', '.join(have)}): "
                "all tables of interactions have the same columns"
            )
    options: dict[str, Any] = {"columns": found} | ({"encoding": encoding} if encoding else {})
    files = {role: {"name": str(path.absolute())} for role, path in tables.items()}
    for role, path, meaning in (("items", items, "item"), ("users", users, "user")):
        if path is not None:
            options[role] = _text_columns(column_names(path, encoding), meaning, found[meaning], path)
            files[role] = {"name": str(path.absolute())}
    texts = {
        role: {"parts": [f"{field} {{{field}}}" for field in options[plural] if field != "id"]}
        for role, plural in (("item", "items"), ("user", "users"))
        if len(options.get(plural, ())) > 1
    }
    card = {
        "title": name,
        "sources": [{"reader": "table", "files": files, "options": options}],
        "filters": {"k_core": 0, **{key: value for key, value in (filters or {}).items() if value is not None}},
        **({"texts": texts} if texts else {}),
        "protocol": "published" if published else "random",
        "long_tail": {"rule": "least-active-share", "value": 0.2},
    }
    return _text(name, card)


def _text(name: str, card: dict[str, Any]) -> str:
    """The card as YAML, if it is a valid one."""
    try:
        Card.model_validate({"name": name, **card})
    except ValidationError as error:
        problem = error.errors()[0]
        raise ConfigError(f"{'.'.join(map(str, problem['loc']))} = {problem['input']!r}: {problem['msg']}") from error
    return yaml.safe_dump({name: card}, sort_keys=False, allow_unicode=True)


def _lowered(names: Sequence[str]) -> dict[str, str]:
    """Columns by their names in lower case, with underscores for blanks, and by these without an ending or a type."""
    plain = {re.sub(r"\W+", "_", _TYPE.sub("", name).lower().strip()).strip("_"): name for name in names}
    return {_ENDING.sub("", low): name for low, name in reversed(plain.items())} | plain


def guess_columns(names: Sequence[str], path: Path, known: Mapping[str, str]) -> dict[str, str]:
    """The columns of the table ``path`` that look like ``user``, ``item``, ``time`` and ``rating``, by meaning.

    ``known`` are those that need no guess.

    Raises
    ------
    DataError
        If a known one is not there, or none looks like the user or the item.
    """
    have = ", ".join(names)
    for meaning, name in known.items():
        if name not in names:
            raise DataError(f"{path} has no column '{name}' (--{meaning}-column): there are {have}")
    lowered = _lowered([name for name in names if name not in known.values()])
    found = {}
    for meaning, stems in _STEMS.items():
        usual = known.get(meaning) or next((lowered[stem] for stem in stems if stem in lowered), None)
        if usual is not None:
            found[meaning] = usual
    missing = [meaning for meaning in ("user", "item") if meaning not in found]
    if missing:
        options = " and ".join(f"--{meaning}-column" for meaning in missing)
        raise DataError(
            f"no column of {path} looks like the {' or the '.join(missing)} (there are {have}): "
            f"name it with {options}, or write a line of names above the first row if there is none"
        )
    return found


def _text_columns(names: Sequence[str], meaning: str, key: str, path: Path) -> dict[str, str]:
    lowered = _lowered(names)
    wanted = [re.sub(r"\W+", "_", _TYPE.sub("", key).lower()).strip("_"), *_STEMS[meaning], "id"]
    own = key if key in names else next((lowered[name] for name in wanted if name in lowered), None)
    if own is None:
        raise DataError(f"no column of {path} looks like the {meaning} (there are {', '.join(names)}): call it '{key}'")
    return {**{_field(name): name for name in names if name != own}, "id": own}


def _field(column: str) -> str:
    """A name for the column that a template can hold."""
    name = re.sub(r"\W+", "_", _TYPE.sub("", column).lower())
    return name if name[:1].isalpha() else f"_{name}"
