"""Delimited text, however packed and encoded, as columns: fast where it is regular, row by row where it is not.

Quotes have a meaning only where they are used as in CSV. In files with tabs or bars a quote is a letter, unless all
cells of a column that begin with one also end with one. In files with commas or semicolons every quoted field has to
begin behind a delimiter and end before one; where one does not, quotes are looked at line by line.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as arrow
import pyarrow.csv as pc

from bench.data.sources.files import open_text
from bench.data.sources.rows import add_problem
from bench.errors import DataError, plain

_DELIMITERS = (",", "\t", ";", "|")
_BLOCK = 2**24
"""Bytes."""
_LONGEST = 2**20
"""Bytes of a header."""
_QUOTE = ord('"')

NO_UTF8 = "rows that are no UTF-8"


class Layout(NamedTuple):
    """How a file is written."""

    delimiter: str
    quotes: str
    """``csv`` as in RFC 4180, ``letters`` if they are data, ``broken`` if they open or close within fields."""
    skip: int
    """Lines before the header."""
    header: tuple[str, ...]
    """Names of the columns as they stand in the file; with quotes, where these are letters."""

    @property
    def names(self) -> list[str]:
        """Names of the columns, without quotes around them."""
        return [name[1:-1] if len(name) > 1 and name[0] == name[-1] == '"' else name for name in self.header]

    def in_file(self, columns: list[str]) -> dict[str, str]:
        """The wanted columns by their names in the file."""
        quoted = self.quotes == "letters"
        return {f'"{c}"' if quoted and c not in self.header and f'"{c}"' in self.header else c: c for c in columns}


def read_csv(
    path: Path,
    columns: list[str],
    problems: dict[str, int],
    numbers: Collection[str] = (),
    encoding: str | None = None,
) -> pd.DataFrame:
    """The named columns of a CSV file with a header line; missing values are ``""``.

    Columns in ``numbers`` come as numbers or dates where all of them are, others as text. Rows with too few or too many
    fields and rows that are no UTF-8 are counted in ``problems`` and left out.

    Raises
    ------
    DataError
        If the file is damaged or empty or lacks a column.
    """
    layout = find_layout(path, encoding)
    if twice := [name for name in columns if layout.names.count(name) > 1]:
        raise DataError(f"{path} has more than one column {', '.join(twice)}: rename one in its header")
    if layout.quotes == "broken":
        return _line_by_line(path, columns, problems, layout, encoding)
    names = layout.in_file(columns)
    kinds: dict[str, Any] = {name: pa.string() for name, column in names.items() if column not in numbers}
    try:
        return _parse(path, names, kinds, layout, encoding)
    except pa.ArrowInvalid:  # some row is bad: look at each
        try:
            return _salvaged(path, columns, problems, layout, encoding)
        except pa.ArrowInvalid as error:
            raise DataError(f"{path}: {str(error).splitlines()[0]}: fix the file or fetch it again") from error


def find_layout(path: Path, encoding: str | None = None) -> Layout:
    """The delimiter, the one of comma, tab, semicolon and bar that is most frequent in the header, and the quotes."""
    with open_text(path, encoding) as file:
        first, second = (*re.split(rb"\r\n|\n|\r", file.read(_LONGEST), maxsplit=2), b"", b"")[:2]
    header, skip = first.decode("utf-8", "replace"), 0
    if re.fullmatch(r"(?i)sep=.", header):  # a note for spreadsheets
        header, skip = second.decode("utf-8", "replace"), 1
    delimiter = max(_DELIMITERS, key=header.count)
    if delimiter in "\t|":
        return Layout(delimiter, "letters", skip, tuple(header.split(delimiter)))
    with open_text(path, encoding) as file:
        quotes = "csv" if _as_in_csv(file, ord(delimiter)) else "broken"
    return Layout(delimiter, quotes, skip, tuple(_fields(header, delimiter)))


def _as_in_csv(file: IO[bytes], delimiter: int) -> bool:
    """Whether each quote, opening and closing in turn, stands at the edge of a field or beside another quote."""
    edges = np.array([delimiter, ord("\n"), ord("\r"), _QUOTE], np.uint8)
    before, is_open = ord("\n"), False
    while block := file.read(_BLOCK):
        content = np.frombuffer(block, np.uint8)
        places = np.flatnonzero(content == _QUOTE)
        if not len(places):
            before = int(content[-1])
            continue
        padded = np.concatenate([[before], content, np.frombuffer(_peek(file) or b"\n", np.uint8)])
        opening, closing = (places[1::2], places[::2]) if is_open else (places[::2], places[1::2])
        if not (np.isin(padded[opening], edges).all() and np.isin(padded[closing + 2], edges).all()):
            return False
        is_open ^= len(places) % 2 == 1
        before = int(content[-1])
    return not is_open


def _peek(file: IO[bytes]) -> bytes:
    assert isinstance(file, io.BufferedReader)
    return file.peek(1)[:1]


def _parse(
    path: Path,
    names: dict[str, str],
    kinds: dict[str, Any],
    layout: Layout,
    encoding: str | None,
    read_as: str = "utf8",
    skip: Any = None,
) -> pd.DataFrame:
    """The columns ``names``, by their names in the file, under the names wanted."""
    quote = False if layout.quotes == "letters" else '"'
    read = pc.ReadOptions(encoding=read_as, skip_rows=layout.skip, block_size=_BLOCK)
    parse = pc.ParseOptions(
        delimiter=layout.delimiter, quote_char=quote, newlines_in_values=bool(quote), invalid_row_handler=skip
    )
    convert = pc.ConvertOptions(include_columns=list(names), column_types=kinds, strings_can_be_null=False)
    try:
        with open_text(path, encoding) as file:
            table = pc.read_csv(file, read, parse, convert)
    except KeyError as error:
        missing = ", ".join(f"'{name}'" for name in names if name not in layout.names)
        there = plain(", ".join(layout.names), 200)
        raise DataError(f"{path} has no column {missing}, but {there}: is it another file?") from error
    if any(pa.types.is_binary(column.type) for column in table.columns):
        raise pa.ArrowInvalid("some cells are no UTF-8")
    columns = [_unquoted(column) if layout.quotes == "letters" else column for column in table.columns]
    return to_frame(pa.table(columns, names=list(names.values())))


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Whole numbers stay whole beside missing ones."""
    whole = {pa.int64(): pd.Int64Dtype()} if any(column.null_count for column in table.columns) else {}
    frame: pd.DataFrame = table.to_pandas(types_mapper=whole.get, date_as_object=False)
    return frame


def _unquoted(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Cells without the quotes around them, if all that begin with one also end with one and hold no single one."""
    if not pa.types.is_string(column.type):
        return column
    marked = arrow.starts_with(column, '"')
    if not arrow.any(marked).as_py():
        return column
    whole = arrow.match_substring_regex(column, r'^"(?:[^"]|"")*"$')
    if not arrow.all(arrow.or_(arrow.invert(marked), whole)).as_py():
        return column
    inner = arrow.replace_substring(arrow.utf8_slice_codeunits(column, 1, -1), '""', '"')
    return arrow.if_else(marked, inner, column)


def _salvaged(
    path: Path, columns: list[str], problems: dict[str, int], layout: Layout, encoding: str | None
) -> pd.DataFrame:
    """All columns as text, without bad rows."""
    bad = 0

    def skip(row: Any) -> str:
        nonlocal bad
        bad += 1
        return "skip"

    # As Latin-1 any bytes are text, which is turned back to see whether it is UTF-8.
    names = {name.encode().decode("latin-1"): column for name, column in layout.in_file(columns).items()}
    kinds = dict.fromkeys(names, pa.string())
    decoded = _parse(path, names, kinds, layout, encoding, "latin-1", skip).map(_decoded)
    sound = decoded.notna().all(axis=1)
    add_problem(problems, f"rows of {path.name} with too few or too many fields", bad)
    add_problem(problems, NO_UTF8, int((~sound).sum()))
    return decoded[sound].astype("str").reset_index(drop=True)


def _decoded(text: str) -> str | None:
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return None


def _line_by_line(
    path: Path, columns: list[str], problems: dict[str, int], layout: Layout, encoding: str | None
) -> pd.DataFrame:
    """All columns as text, each line on its own: a quote that its line does not close is a letter."""
    with open_text(path, encoding) as file:
        lines = _lines(file, problems, layout.skip)
        header = _fields(next(lines, ""), layout.delimiter)
        if lost := [name for name in columns if name not in header]:
            raise DataError(f"{path}: no column {', '.join(lost)} in its header: is it another file?")
        at = [header.index(name) for name in columns]
        rows = []
        for line in lines:
            fields = _fields(line, layout.delimiter)
            if len(fields) == len(header):
                rows.append([fields[i] for i in at])
            else:
                add_problem(problems, f"rows of {path.name} with too few or too many fields")
    return pd.DataFrame(rows, columns=columns, dtype="str")


def _lines(file: IO[bytes], problems: dict[str, int], skip: int) -> Iterator[str]:
    for number, line in enumerate(file):
        text = line.rstrip(b"\r\n")
        if number >= skip and text:
            try:
                yield text.decode("utf-8")
            except UnicodeDecodeError:
                add_problem(problems, NO_UTF8)


def _fields(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return line.split(delimiter)
