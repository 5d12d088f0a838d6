"""A user's own tables: CSV (any of the usual separators) or Parquet, with column names given by the card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.data.sources import RawData, no_users, sound
from bench.data.sources.csv import read_csv
from bench.errors import BenchError


def read(
    files: Mapping[str, Path],
    columns: Mapping[str, str],
    items: Mapping[str, str] | None = None,
    users: Mapping[str, str] | None = None,
) -> RawData:
    """Read roles ``interactions`` and, if they are there, ``items`` and ``users``.

    ``columns`` maps ``user``, ``item`` and perhaps ``time`` and ``rating`` to columns of the interactions; ``items``
    and ``users`` map ``id`` and text fields to columns of theirs. Without ``time`` the order of the rows counts.
    """
    problems: dict[str, int] = {}
    missing = {"user", "item"} - set(columns)
    if missing:
        raise BenchError(f"the card names no column for {' and '.join(sorted(missing))}: add it to options.columns")
    interactions = _table(files["interactions"], columns, problems)
    if "time" not in columns:
        interactions["time"] = 0
    return RawData(
        interactions=sound(interactions, problems),
        items=_texts(files.get("items"), items, problems),
        users=_texts(files.get("users"), users, problems),
        problems=problems,
    )


def _texts(path: Path | None, columns: Mapping[str, str] | None, problems: dict[str, int]) -> pd.DataFrame:
    if path is None or columns is None:
        return no_users()
    table = _table(path, columns, problems)
    fields = [name for name in table.columns if name != "id"]
    return table.assign(**{name: table[name].fillna("").astype("str").str.split().str.join(" ") for name in fields})


def _table(path: Path, columns: Mapping[str, str], problems: dict[str, int]) -> pd.DataFrame:
    wanted = list(columns.values())
    if path.suffix == ".parquet":
        table = _parquet(path, wanted)
    else:
        numbers = [columns[key] for key in ("time", "rating") if key in columns]
        table = read_csv(path, wanted, problems, numbers)
    table = table.rename(columns={name: key for key, name in columns.items()})
    ids = [key for key in ("user", "item", "id") if key in columns]
    return table.assign(**{key: table[key].astype("str").where(table[key].notna(), "") for key in ids})


def _parquet(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        lost = [name for name in columns if name not in pq.read_schema(path).names]
        if lost:
            raise BenchError(f"{path} has no column {', '.join(lost)}: mend options in the card")
        table: pd.DataFrame = pq.read_table(path, columns=columns).to_pandas()
        return table
    except (OSError, pa.ArrowInvalid) as error:
        raise BenchError(f"{path} is no readable Parquet file: {str(error).splitlines()[0]}") from error
