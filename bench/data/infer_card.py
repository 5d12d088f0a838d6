"""A card for a user's own tables, with a guess at what their columns are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from bench.data.sources.csv import delimiter
from bench.errors import DataError

_MEANINGS = {
    "user": ("user", "user_id", "userid", "uid", "reviewerid", "reviewer", "customer_id", "customerid", "visitorid"),
    "item": ("item", "item_id", "itemid", "iid", "asin", "parent_asin", "movieid", "movie_id", "product_id",
             "recipe_id", "track_id", "book_id", "business_id"),
    "time": ("time", "timestamp", "unixreviewtime", "date", "datetime", "ts", "created_at", "review_date"),
    "rating": ("rating", "ratings", "overall", "stars", "score"),
}  # fmt: skip
"""Usual names of columns, in lower case, by what they mean."""

_SAMPLE = 1000


def make_card(name: str, interactions: Path, items: Path | None, users: Path | None) -> str:
    """The card as YAML text.

    Raises
    ------
    DataError
        If no column can be taken for the user or the item.
    """
    columns = _guess(_head(interactions), interactions)
    options: dict[str, Any] = {"columns": columns}
    files = {"interactions": {"name": str(interactions.absolute())}}
    for role, path, meaning in (("items", items, "item"), ("users", users, "user")):
        if path is not None:
            options[role] = _text_columns(_head(path), meaning, columns[meaning], path)
            files[role] = {"name": str(path.absolute())}
    texts = {
        role: {"parts": [f"{field} {{{field}}}" for field in options[plural] if field != "id"]}
        for role, plural in (("item", "items"), ("user", "users"))
        if plural in options
    }
    card = {
        "title": name,
        "sources": [{"reader": "table", "files": files, "options": options}],
        "filters": {"k_core": 0},
        **({"texts": texts} if texts else {}),
        "protocol": "random",
        "long_tail": {"rule": "least-active-share", "value": 0.2},
    }
    return yaml.safe_dump({name: card}, sort_keys=False, allow_unicode=True)


def _head(path: Path) -> pd.DataFrame:
    """The first rows of a table."""
    try:
        if path.suffix == ".parquet":
            empty = pq.read_schema(path).empty_table()
            head: pd.DataFrame = next(pq.ParquetFile(path).iter_batches(_SAMPLE), empty).to_pandas()
            return head
        return pd.read_csv(path, sep=delimiter(path), nrows=_SAMPLE)
    except (OSError, ValueError, pa.ArrowInvalid) as error:
        raise DataError(f"{path} cannot be read as a table: {str(error).splitlines()[0]}") from error


def _lowered(table: pd.DataFrame) -> dict[str, str]:
    """Columns by their names in lower case, with underscores for blanks."""
    return {re.sub(r"\W+", "_", str(column).lower().strip()): str(column) for column in table}


def _guess(table: pd.DataFrame, path: Path) -> dict[str, str]:
    lowered = _lowered(table)
    found = {}
    for meaning, names in _MEANINGS.items():
        usual = next((lowered[name] for name in names if name in lowered), None)
        if usual is not None:
            found[meaning] = usual
    missing = [meaning for meaning in ("user", "item") if meaning not in found]
    if missing:
        have = ", ".join(str(column) for column in table)
        raise DataError(
            f"no column of {path} looks like the {' or the '.join(missing)} (there are {have}): rename one to "
            f"{' and one to '.join(missing)}"
        )
    return found


def _text_columns(table: pd.DataFrame, meaning: str, key: str, path: Path) -> dict[str, str]:
    lowered = _lowered(table)
    names = [key.lower(), *_MEANINGS[meaning], "id"]
    own = next((lowered[name] for name in names if name in lowered), None)
    if own is None:
        raise DataError(f"no column of {path} looks like the {meaning} (there are {', '.join(map(str, table))})")
    others = {_field(str(column)): str(column) for column in table if column != own}
    return {**others, "id": own}


def _field(column: str) -> str:
    """A name for the column that a template can hold."""
    name = re.sub(r"\W+", "_", column.lower())
    return name if name[:1].isalpha() else f"_{name}"
