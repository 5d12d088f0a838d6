"""Files of recommendation lists, as other tools write them: tables of user, item and score, and TREC runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from bench.data.infer_card import guess_columns
from bench.data.sources.files import open_text
from bench.data.sources.table import column_names, read_columns
from bench.errors import DataError, plain
from bench.files import file_hash

_FIELDS = 6
"""Of a line of a TREC run: user, ``Q0``, item, rank, score, name of the run."""


class ListsFile(NamedTuple):
    """What a file of lists says."""

    rows: pd.DataFrame
    """Columns ``user`` and ``item`` (original ids, text) and ``score`` (float64, finite), in the order of the file."""
    form: str
    """``TREC run``, or which columns of a table were read."""
    sha256: str
    """Of the file, in hex."""


def read_lists_file(path: Path, columns: Mapping[str, str] | None = None) -> ListsFile:
    """Read a table (CSV, JSON lines, Parquet; also packed) or a TREC run, told apart by the first line.

    Parameters
    ----------
    columns
        Names of columns of a table by ``user``, ``item`` and ``score``; what is not named is guessed. A column ``rank``
        may stand for the score: its lowest number comes first.

    Raises
    ------
    DataError
        If the file is no such file or a row of it cannot be used: a row left out would raise those below it.
    """
    if not path.is_file():
        raise DataError(f"{path} is no file: give a file of lists")
    sha256 = file_hash(path)
    rows, form, rising = (_trec(path), "TREC run", False) if _is_trec(path) else _table(path, columns or {})
    if not len(rows):
        raise DataError(f"{path} has no lists: it has no rows")
    if unnamed := int(((rows["user"] == "") | (rows["item"] == "")).sum()):
        raise DataError(f"{path} has {unnamed:,} rows without a user or an item: fix or remove them")
    scores = pd.to_numeric(rows["score"], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    if len(bad := np.flatnonzero(~np.isfinite(scores))):
        raise DataError(
            f"{path} has {len(bad):,} scores that are missing or no finite number, the first in its row "
            f"{bad[0] + 1:,}: fix them or leave these rows out"
        )
    return ListsFile(rows.assign(score=-scores if rising else scores), form, sha256)


def _is_trec(path: Path) -> bool:
    with open_text(path) as file:
        fields = file.readline(2**16).split()
    return len(fields) == _FIELDS and fields[1].upper() == b"Q0"


def _trec(path: Path) -> pd.DataFrame:
    """Each id is kept once: a run has as many lines as all lists have items."""
    texts: dict[bytes, str] = {}
    users: list[str] = []
    items: list[str] = []
    scores: list[float] = []
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            fields = line.split()
            if not fields:
                continue
            if len(fields) != _FIELDS:
                raise DataError(
                    f"{path} is a TREC run, but its line {number:,} has {len(fields)} fields instead of {_FIELDS} "
                    "(user Q0 item rank score name): fix it"
                )
            for ids, field in ((users, fields[0]), (items, fields[2])):
                if field not in texts:
                    texts[field] = _text(field, path, number)
                ids.append(texts[field])
            scores.append(_number(fields[4]))
    return pd.DataFrame({"user": users, "item": items, "score": scores})


def _text(field: bytes, path: Path, number: int) -> str:
    try:
        return field.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 in line {number:,}: recode it") from error


def _number(field: bytes) -> float:
    try:
        return float(field)
    except ValueError:
        return math.nan


def _table(path: Path, known: Mapping[str, str]) -> tuple[pd.DataFrame, str, bool]:
    """The rows, the names of the columns that they come from, and whether the lowest score is the best."""
    names = column_names(path)
    ids = {meaning: name for meaning, name in known.items() if meaning != "score"}
    found = guess_columns([name for name in names if name != known.get("score")], path, ids)
    rank = next((name for name in names if name.lower() == "rank"), None)
    usual = found.get("rating") or rank
    score = known.get("score", usual)
    if score is None or score not in names:
        what = f"no column '{plain(score, 60)}'" if score else "no column 'score' or 'rank'"
        raise DataError(f"{path} has {what} (there are {plain(', '.join(names), 200)}): name it with --score-column")
    columns = {"user": found["user"], "item": found["item"], "score": score}
    problems: dict[str, int] = {}
    if rank is not None and rank != score and "score" not in known:
        columns["rank"] = rank
    rows = read_columns(path, columns, None, problems, ["score", "rank"])
    if problems:
        reasons = {reason.partition(" (")[0].replace(f" of {path.name}", ""): n for reason, n in problems.items()}
        said = ", ".join(f"{number:,} {reason}" for reason, number in reasons.items())
        raise DataError(f"{path} has {said}: fix them, since a row left out would raise those below it")
    if columns.pop("rank", None) and _contradict(rows["user"], rows["score"], rows.pop("rank")):
        raise DataError(f"{path}: order by '{score}' is not that of '{rank}': name the right one with --score-column")
    return rows, f"columns {', '.join(columns.values())}", score.lower() == "rank"


def _contradict(users: pd.Series, scores: pd.Series, ranks: pd.Series) -> bool:
    """Whether a user has a better score at a worse rank."""
    both = pd.DataFrame({"user": users, "score": scores, "rank": pd.to_numeric(ranks, errors="coerce")}).dropna()
    both = both.sort_values(["user", "score", "rank"], ascending=[True, False, True], kind="stable")
    return bool((both.groupby("user")["rank"].diff() < 0).any())
