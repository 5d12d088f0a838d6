"""CSV files, plain or gzip, as text columns: fast where they are sound, row by row accounted for where they are not."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc

from bench.data.sources.files import open_raw
from bench.data.sources.rows import add_problem
from bench.errors import DataError

_DELIMITERS = (",", "\t", ";", "|")


def read_csv(
    path: Path, columns: list[str], problems: dict[str, int], numbers: Collection[str] = (), ids: Collection[str] = ()
) -> pd.DataFrame:
    """The named columns of a CSV file with a header line; missing values are ``""``.

    Columns in ``numbers`` come as numbers where all of them are, those in ``ids`` as categories of text, others as
    text. Rows with too few or too many fields and rows that are no UTF-8 are counted in ``problems`` and left out. The
    delimiter is the one of comma, tab, semicolon and bar that is most frequent in the header.

    Raises
    ------
    DataError
        If the file is damaged or empty or lacks a column.
    """
    kinds: dict[str, Any] = {name: pa.string() for name in columns if name not in numbers}
    kinds |= {name: pa.dictionary(pa.int32(), pa.string()) for name in ids}
    try:
        return _parse(path, columns, kinds)
    except pa.ArrowInvalid:  # some row is bad: look at each
        try:
            return _salvaged(path, columns, problems)
        except pa.ArrowInvalid as error:
            raise DataError(f"{path}: {str(error).splitlines()[0]}: fix the file or fetch it again") from error


def _parse(
    path: Path, columns: list[str], kinds: dict[str, Any], encoding: str = "utf8", skip: Any = None
) -> pd.DataFrame:
    read = pc.ReadOptions(encoding=encoding)
    parse = pc.ParseOptions(delimiter=delimiter(path), newlines_in_values=True, invalid_row_handler=skip)
    convert = pc.ConvertOptions(include_columns=columns, column_types=kinds, strings_can_be_null=False)
    try:
        with open_raw(path) as file:
            table: pd.DataFrame = pc.read_csv(file, read, parse, convert).to_pandas()
    except KeyError as error:
        raise DataError(f"{path}: {str(error).strip(chr(34))}: is it another file?") from error
    return table


def _salvaged(path: Path, columns: list[str], problems: dict[str, int]) -> pd.DataFrame:
    """All columns as text, without bad rows."""
    bad = 0

    def skip(row: Any) -> str:
        nonlocal bad
        bad += 1
        return "skip"

    # As Latin-1 any bytes are text, which is turned back to see whether it is UTF-8.
    names = {name.encode().decode("latin-1"): name for name in columns}
    table = _parse(path, list(names), dict.fromkeys(names, pa.string()), "latin-1", skip)
    decoded = table.rename(columns=names).map(_decoded)
    sound = decoded.notna().all(axis=1)
    add_problem(problems, f"rows of {path.name} with too few or too many fields", bad)
    add_problem(problems, "rows that are no UTF-8", int((~sound).sum()))
    return decoded[sound].astype("str").reset_index(drop=True)


def _decoded(text: str) -> str | None:
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return None


def delimiter(path: Path) -> str:
    """The one of comma, tab, semicolon and bar that is most frequent in the first line."""
    with open_raw(path) as file:
        header = file.readline().decode("utf-8", "replace")
    return max(_DELIMITERS, key=header.count)
