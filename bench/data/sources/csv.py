"""CSV files, plain or gzip, as text columns: fast where they are sound, row by row accounted for where they are not."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc

from bench.data.sources import count, opened
from bench.errors import BenchError

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
    BenchError
        If the file is damaged or empty or lacks a column.
    """
    kinds: dict[str, Any] = {name: pa.string() for name in columns if name not in numbers}
    kinds |= {name: pa.dictionary(pa.int32(), pa.string()) for name in ids}
    try:
        table, bad = _parse(path, columns, kinds)
    except pa.ArrowInvalid:  # some value is no text or no number: read everything as bytes and look at each
        try:
            table, bad = _parse(path, columns, dict.fromkeys(columns, pa.binary()))
        except pa.ArrowInvalid as error:
            raise BenchError(f"{path}: {str(error).splitlines()[0]}: mend the file or fetch it again") from error
        table = _decoded(table, problems)
    count(problems, f"rows of {path.name} with too few or too many fields", bad)
    return table


def _parse(path: Path, columns: list[str], kinds: dict[str, Any]) -> tuple[pd.DataFrame, int]:
    bad = 0

    def skip(row: Any) -> str:
        nonlocal bad
        bad += 1
        return "skip"

    parse = pc.ParseOptions(delimiter=delimiter(path), newlines_in_values=True, invalid_row_handler=skip)
    convert = pc.ConvertOptions(include_columns=columns, column_types=kinds, strings_can_be_null=False)
    try:
        with opened(path) as file:
            table = pc.read_csv(file, parse_options=parse, convert_options=convert)
    except KeyError as error:
        raise BenchError(f"{path}: {str(error).strip(chr(34))}: is it another file?") from error
    return table.to_pandas(), bad


def _decoded(table: pd.DataFrame, problems: dict[str, int]) -> pd.DataFrame:
    def text(value: bytes) -> str | None:
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return None

    decoded = table.map(text)
    sound = decoded.notna().all(axis=1)
    count(problems, "rows that are no UTF-8", int((~sound).sum()))
    return decoded[sound].astype("str").reset_index(drop=True)


def delimiter(path: Path) -> str:
    """The one of comma, tab, semicolon and bar that is most frequent in the first line."""
    with opened(path) as file:
        header = file.readline().decode("utf-8", "replace")
    return max(_DELIMITERS, key=header.count)
