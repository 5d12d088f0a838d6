"""RecBole's atomic files: tab-separated with a typed header such as ``user_id:token``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bench.data.sources import RawData, seconds
from bench.errors import BenchError

_NAMES = {"user_id": "user", "item_id": "item", "timestamp": "time"}
_TEXT_NAMES = {"user_id": "id", "item_id": "id", "movie_title": "title", "release_year": "year", "class": "genres"}


def read(files: Mapping[str, Path]) -> RawData:
    """Read roles ``interactions``, ``items`` and ``users``. Zip codes are left out."""
    interactions = _table(files["interactions"]).rename(columns=_NAMES)
    missing = {"user", "item", "time"} - set(interactions.columns)
    if missing:
        raise BenchError(f"{files['interactions']} has no column for {', '.join(sorted(missing))}")
    users = _table(files["users"]).rename(columns=_TEXT_NAMES)
    items = _table(files["items"]).rename(columns=_TEXT_NAMES)
    return RawData(
        interactions=interactions[["user", "item"]].assign(time=seconds(interactions["time"], files["interactions"])),
        items=items.assign(genres=items["genres"].str.replace(" ", ", ")),
        users=users.drop(columns="zip_code", errors="ignore"),
    )


def _table(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, quoting=3, encoding="utf-8")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise BenchError(f"{path}: {error}: install recbole again") from error
    return table.rename(columns=lambda name: name.split(":")[0])
