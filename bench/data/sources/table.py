"""A user's own tables: CSV in its usual dialects, JSON or Parquet, with column names given by the card."""

from __future__ import annotations

import datetime
import io
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.contract import RawData
from bench.data.sources.csv import NO_UTF8, find_layout, read_csv, to_frame
from bench.data.sources.files import limit, open_raw, open_text, too_large
from bench.data.sources.rows import add_problem, no_users, normalize_text, validate_interactions, written_id
from bench.data.splits import TEST, TRAIN, VALID
from bench.errors import DataError, UnknownName

_COLUMNS = ("user", "item", "time", "rating")
"""What ``options.columns`` may name of interactions."""
_SCALARS = frozenset({*_COLUMNS, "id"})
_PARTS = {"interactions": None, "train": TRAIN, "valid": VALID, "test": TEST}


def read(
    files: Mapping[str, Path],
    columns: Mapping[str, str],
    items: Mapping[str, str] | None = None,
    users: Mapping[str, str] | None = None,
    encoding: str | None = None,
) -> RawData:
    """Read the interactions and, if they are there, roles ``items`` and ``users``.

    Interactions are all of role ``interactions`` and of ``interactions-2``, ``interactions-3``, …, one behind the
    other; or, of a published split, ``train``, ``valid`` and ``test``. ``columns`` maps ``user``, ``item`` and perhaps
    ``time`` and ``rating`` to their columns; ``items`` and ``users`` map ``id`` and text fields to columns of theirs.
    Without ``time`` the order of the rows counts. ``encoding`` is that of text files, UTF-8 or, by its first bytes,
    UTF-16 if left out.
    """
    problems: dict[str, int] = {}
    if missing := sorted({"user", "item"} - set(columns)):
        raise DataError(f"the card names no column for {' and '.join(missing)}: add it to options.columns")
    for name in columns:
        if name not in _COLUMNS:
            raise UnknownName("entry of options.columns", name, _COLUMNS, f"what there is: {', '.join(_COLUMNS)}")
    return RawData(
        interactions=_interactions(files, columns, encoding, problems),
        items=_texts(files.get("items"), items, encoding, problems),
        users=_texts(files.get("users"), users, encoding, problems),
        problems=problems,
    )


def _interactions(
    files: Mapping[str, Path], columns: Mapping[str, str], encoding: str | None, problems: dict[str, int]
) -> pd.DataFrame:
    tables = []
    for role, path in files.items():
        kind = role.partition("-")[0]
        if kind not in _PARTS:
            continue
        table = read_columns(path, columns, encoding, problems, ("time", "rating"))
        if "time" not in columns:
            table["time"] = 0
        if (part := _PARTS[kind]) is not None:
            table["part"] = part
        tables.append(table)
    if not tables:
        raise DataError("the card names no file of interactions")
    # Of all files together: one form of dates holds for the whole column.
    return validate_interactions(pd.concat(tables, ignore_index=True) if len(tables) > 1 else tables[0], problems)


def column_names(path: Path, encoding: str | None = None) -> list[str]:
    """The columns of a table of any of these forms; of JSON lines, the fields of the first thousand.

    Raises
    ------
    DataError
        If it is no such table.
    """
    kind = _kind(path, encoding)
    if kind == "parquet":
        try:
            return [str(name) for name in pq.read_schema(path).names]
        except (OSError, pa.ArrowException) as error:
            raise _no_parquet(path, error) from error
    if kind == "csv":
        names = find_layout(path, encoding).names
        if not any(names):
            raise DataError(f"{path} is empty, or its first line names no columns")
        return names
    with open_text(path, encoding) as file:
        objects = itertools.islice(_objects(file, path), 1000)
        return list(dict.fromkeys(name for row in objects if isinstance(row, dict) for name in row))


def _kind(path: Path, encoding: str | None) -> str:
    """``parquet``, ``json`` or ``csv``, by the first bytes."""
    with open_raw(path) as file:
        if file.read(4) == b"PAR1":
            return "parquet"
    with open_text(path, encoding) as file:
        return "json" if re.match(rb"\s*(\[\s*)?\{", file.read(64)) else "csv"


def _objects(file: IO[bytes], path: Path) -> Iterator[Any]:
    """What the lines of a file hold, or the elements of the one array that it holds; None for what is no JSON."""
    if cast(io.BufferedReader, file).peek(1).lstrip()[:1] == b"[":
        try:
            yield from json.load(file)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path} is no JSON: {error}") from error
        return
    for line in file:
        if not line.isspace():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                yield None


def _texts(
    path: Path | None, columns: Mapping[str, str] | None, encoding: str | None, problems: dict[str, int]
) -> pd.DataFrame:
    if path is None or columns is None:
        return no_users()
    table = read_columns(path, columns, encoding, problems)
    fields = [name for name in table.columns if name != "id"]
    return table.assign(**{name: table[name].map(_text) for name in fields})


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple, np.ndarray)):
        return normalize_text(", ".join(written_id(part) for part in value))
    return normalize_text(written_id(value)) if np.isscalar(value) or value is None else ""


def read_columns(
    path: Path,
    columns: Mapping[str, str],
    encoding: str | None,
    problems: dict[str, int],
    numbers: Sequence[str] = (),
) -> pd.DataFrame:
    """``columns``, names in the file by what they are called here, of a table of any form; rows keep their order.

    Ids (``user``, ``item``, ``id``) come as text, those in ``numbers`` as numbers where all of them are. Rows that
    cannot be read are counted in ``problems`` and left out.

    Raises
    ------
    DataError
        If it is no such table or lacks a column.
    """
    wanted = list(dict.fromkeys(columns.values()))
    named = [columns[key] for key in numbers if key in columns]
    kind = _kind(path, encoding)
    if kind == "parquet" or path.suffix.lower() == ".parquet":
        table = _parquet(path, wanted, named)
    elif kind == "json":
        table = _json(path, wanted, encoding, problems)
    else:
        table = _csv(path, wanted, encoding, problems, named)
    table = pd.DataFrame({key: table[name] for key, name in columns.items()})
    table = table.assign(
        **{key: table[key].map(_scalar) for key in _SCALARS & set(columns) if table[key].dtype == object}
    )
    return table.assign(**{key: _ids(table[key]) for key in ("user", "item", "id") if key in columns})


def _scalar(value: Any) -> Any:
    """The value, if it can be an id, a time or a rating."""
    return value if isinstance(value, (str, int, float, datetime.date)) and not isinstance(value, bool) else None


def _csv(
    path: Path, columns: list[str], encoding: str | None, problems: dict[str, int], numbers: Sequence[str]
) -> pd.DataFrame:
    own: dict[str, int] = {}
    table = read_csv(path, columns, own, numbers, encoding)
    for reason, number in own.items():
        hint = f"{NO_UTF8} (if they are Latin-1, set options.encoding to latin-1)" if reason == NO_UTF8 else reason
        add_problem(problems, hint, number)
    return table


def _ids(column: pd.Series) -> pd.Series:
    """Ids as text, missing ones as ``""``. Where all are written as 7.0, which pandas does, they are 7."""
    if pd.api.types.is_float_dtype(column) or not pd.api.types.is_string_dtype(column):
        codes, unique = pd.factorize(column)
        texts = np.array([*(written_id(value) for value in unique), ""], dtype=object)
        column = pd.Series(texts[codes])  # -1, missing, is the last
    column = column.fillna("").astype("str")
    pointed = column.str.fullmatch(r"\d+\.0") | (column == "")
    return column.str.removesuffix(".0") if pointed.all() else column


def _parquet(path: Path, columns: list[str], numbers: Sequence[str]) -> pd.DataFrame:
    """The columns; those that are neither numbers nor nested as text, floats left to :func:`written_id`."""
    try:
        with pq.ParquetFile(path) as file:
            if lost := [name for name in columns if name not in file.schema_arrow.names]:
                raise DataError(f"{path} has no column {', '.join(lost)}: fix the options in the card")
            if 8 * file.metadata.num_rows * len(columns) > limit():
                raise too_large(path)
            table = file.read(columns=columns)
        for at, field in enumerate(table.schema):
            kept = pa.types.is_nested(field.type) or pa.types.is_floating(field.type) or field.name in numbers
            if not kept:
                table = table.set_column(at, field.name, table.column(at).cast(pa.string()))
            elif pa.types.is_decimal(field.type):
                table = table.set_column(at, field.name, table.column(at).cast(pa.float64()))
        return to_frame(table)
    except (OSError, pa.ArrowException) as error:
        raise _no_parquet(path, error) from error


def _no_parquet(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is no readable Parquet file: {str(error).splitlines()[0]}")


def _json(path: Path, columns: list[str], encoding: str | None, problems: dict[str, int]) -> pd.DataFrame:
    rows, bad, seen = [], 0, set[str]()
    with open_text(path, encoding) as file:
        for row in _objects(file, path):
            try:
                wanted = [row.get(name) for name in columns]
                json.dumps(wanted, ensure_ascii=False).encode()  # JSON can hold halves of characters
            except (ValueError, AttributeError):
                bad += 1
                continue
            rows.append(wanted)
            seen.update(row)
    if lost := [name for name in columns if name not in seen]:
        raise DataError(f"{path} has no field {', '.join(lost)}: fix the options in the card")
    add_problem(problems, f"rows of {path.name} that are no JSON object", bad)
    return pd.DataFrame({name: pd.Series([row[i] for row in rows], dtype="object") for i, name in enumerate(columns)})
