"""Splits as released with NGCF and LightGCN: a line a user, ``user item item …``, one file for each part."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bench.contract import RawData
from bench.data.sources.files import open_text
from bench.data.sources.rows import add_problem, no_users, validate_interactions
from bench.data.splits import TEST, TRAIN, VALID
from bench.errors import DataError

_PARTS = {"train": TRAIN, "valid": VALID, "test": TEST}


def read(files: Mapping[str, Path]) -> RawData:
    """Read roles ``train``, ``test`` and perhaps ``valid``. There are no times, and no texts."""
    problems: dict[str, int] = {}
    tables = [_part(path, _PARTS[role], problems) for role, path in files.items()]
    whole = validate_interactions(pd.concat(tables, ignore_index=True), problems)
    return RawData(whole, no_users(), no_users(), problems)


def _part(path: Path, part: int, problems: dict[str, int]) -> pd.DataFrame:
    users: list[str] = []
    items: list[str] = []
    with open_text(path) as file:
        for line in file:
            try:
                user, *some = line.decode("utf-8").split() or [""]
            except UnicodeDecodeError:
                add_problem(problems, "lines that are no UTF-8")
                continue
            users += [user] * len(some)  # a user without items has a line too
            items += some
    if not users:
        raise DataError(f"{path} holds no line 'user item item …': fetch it again")
    return pd.DataFrame({"user": users, "item": items, "time": 0, "part": part})
