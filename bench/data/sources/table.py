"""A user's own tables: CSV (any of the usual separators) or Parquet, with column names given by the card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.contract import RawData
from bench.data.sources.csv import read_csv
from bench.data.sources.rows import no_users, normalize_text, validate_interactions
from bench.errors import DataError


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
        raise DataError(f"the card names no column for {' and '.join(sorted(missing))}: add it to options.columns")
    interactions = _table(files["interactions"], columns, problems, ("time", "rating"))
    if "time" not in columns:
        interactions["time"] = 0
    return RawData(
        interactions=validate_interactions(interactions, problems),
        items=_texts(files.get("items"), items, problems),
        users=_texts(files.get("users"), users, problems),
        problems=problems,
    )


def _texts(path: Path | None, columns: Mapping[str, str] | None, problems: dict[str, int]) -> pd.DataFrame:
    if path is None or columns is None:
        return no_users()
    table = _table(path, columns, problems)
    fields = [name for name in table.columns if name != "id"]
    return table.assign(**{name: table[name].map(_text) for name in fields})


def _text(value: Any) -> str:
    if isinstance(value, (list, np.ndarray)):
        return normalize_text(", ".join(str(part) for part in value))
    return normalize_text(value) if isinstance(value, str) else ""


def _table(
    path: Path, columns: Mapping[str, str], problems: dict[str, int], numbers: Sequence[str] = ()
) -> pd.DataFrame:
    wanted = list(columns.values())
    named = [columns[key] for key in numbers if key in columns]
    table = _parquet(path, wanted, named) if path.suffix == ".parquet" else read_csv(path, wanted, problems, named)
    table = table.rename(columns={name: key for key, name in columns.items()})
    ids = [key for key in ("user", "item", "id") if key in columns]
    return table.assign(**{key: table[key].fillna("").astype("str") for key in ids})


def _parquet(path: Path, columns: list[str], numbers: list[str]) -> pd.DataFrame:
    """The columns, those that are neither numbers nor nested as text: 7 is "7", beside a missing value too."""
    try:
        lost = [name for name in columns if name not in pq.read_schema(path).names]
        if lost:
            raise DataError(f"{path} has no column {', '.join(lost)}: fix the options in the card")
        table = pq.read_table(path, columns=columns)
        kept = [field.name in numbers or pa.types.is_nested(field.type) for field in table.schema]
        kinds = [
            field if keep else pa.field(field.name, pa.string()) for field, keep in zip(table.schema, kept, strict=True)
        ]
        frame: pd.DataFrame = table.cast(pa.schema(kinds)).to_pandas()
        return frame
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is no readable Parquet file: {str(error).splitlines()[0]}") from error
