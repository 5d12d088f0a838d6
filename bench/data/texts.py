"""Texts of items and users from their fields, for models that read."""

from __future__ import annotations

import string

import pandas as pd

from bench.data.catalog import Template
from bench.errors import DataError


def fill(template: Template, fields: pd.DataFrame) -> list[str]:
    """One text per row of ``fields``, whose columns are text, missing as ``""``.

    A part whose field is empty is left out with its label; without any part the text is ``""``.

    Raises
    ------
    DataError
        If a part names no field, or one that is not there.
    """
    columns = []
    for part in template.parts:
        try:
            names = [name for _, name, _, _ in string.Formatter().parse(part) if name is not None]
        except ValueError:  # a single brace
            names = []
        if len(names) != 1 or names[0] not in fields:
            known = ", ".join(str(column) for column in fields if column != "id")
            raise DataError(f"the text part '{part}' should name one of the fields {known} in braces: fix the card")
        columns.append([part.format(**{names[0]: value}) if value else "" for value in fields[names[0]]])
    rows = (template.separator.join(filter(None, row)) for row in zip(*columns, strict=True))
    return [f"{template.prefix}{row}{template.suffix}" if row else "" for row in rows]
