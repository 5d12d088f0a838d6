"""Lists and splits as files of other tools, with original ids."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.errors import ConfigError, DataError, ResultsError, plain
from bench.files import new_file, new_folder, write_json
from bench.interactions import UNFILLED, Interactions
from bench.messages.cell import Result
from bench.runs.evaluate import read_lists, read_scores
from bench.runs.store import Store
from bench.runs.task import Task

Format = Literal["csv", "lenskit", "recbole", "trec"]

ENDINGS: dict[Format, str] = {"csv": "csv", "lenskit": "parquet", "recbole": "inter", "trec": "run"}
_COLUMNS: dict[Format, dict[str, str]] = {
    "csv": {},
    "lenskit": {"user": "user_id", "item": "item_id", "time": "timestamp"},
    "recbole": {"user": "user_id:token", "item": "item_id:token", "time": "timestamp:float", "score": "score:float"},
    "trec": {},
}
"""What each format calls the columns, where it does not call them as we do."""

_NOT_IN_RECBOLE = r"[\t\r\n\"]|^(?:#?N/?A|<NA>|n/a|-?nan|-?NaN|null|NULL|None)$"
"""Signs that break its lines, and ids that it reads as missing."""


def export_lists(result: Result, task: Task, store: Store, path: Path, form: Format) -> int:
    """Write the lists of a run: a row for each filled slot with user, item, score and rank.

    Returns how many slots before a filled one are unfilled, since what stood there broke the contract: in the file the
    items behind them move up.

    Raises
    ------
    BenchError
        If the file exists, the lists are damaged, or the format cannot hold an id.
    """
    refuse_existing(path)
    source = store.path(result.cell_id) / "lists.parquet"
    users, items = read_lists(source)
    if len(users) and int(users.max()) >= task.dataset.n_users:
        raise ResultsError(f"{source} is of other data than '{task.card.name}': run the cell again")
    filled = items != UNFILLED
    row, _ = np.nonzero(filled)
    ranks = np.cumsum(filled, axis=1)
    lost = int((ranks[:, -1:] - ranks)[~filled].astype(bool).sum())
    named = _names(task)
    frame = pd.DataFrame({
        "user": named["user"][users[row]],
        "item": named["item"][items[filled]],
        "score": read_scores(source)[filled],
        "rank": ranks[filled],
    })  # fmt: skip
    if form == "trec":
        _refuse_signs(frame, r"\s", "TREC runs")
        frame = pd.DataFrame({"user": frame["user"], "Q0": "Q0", "item": frame["item"], "rank": frame["rank"],
                              "score": frame["score"], "run": result.cell.model})  # fmt: skip
    elif form == "recbole":
        frame = frame.drop(columns="rank")
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(frame, path, form)
    return lost


def export_split(task: Task, fold: int | None, folder: Path, form: Format, with_test: bool) -> dict[str, int]:
    """Write the parts of a split into the new folder ``folder``, and ``split.json``; interactions by part.

    The test part is among them only ``with_test``. RecBole's files are those of its ``benchmark_filename``, beside one
    of all items, so that the catalogue is the same.

    Raises
    ------
    BenchError
        If the folder exists or the format cannot hold an id.
    """
    refuse_existing(folder)
    split = task.folds[fold].split
    parts = {name: split.visible.load(name) for name in split.visible.part_names}
    if with_test:
        parts["test"] = split.hidden.test
    named = _names(task)
    timed = any((part.times != part.times[:1]).any() for part in parts.values())
    stem = f"{folder.name}." if form == "recbole" else ""
    with new_folder(folder) as draft:
        for name, part in parts.items():
            _write(_interactions(part, named, timed), draft / f"{stem}{name}.{ENDINGS[form]}", form)
        if form == "recbole":
            _write(pd.DataFrame({"item": named["item"]}), draft / f"{stem}item", form)
        counts = {name: len(part) for name, part in parts.items()}
        write_json(draft / "split.json", _facts(task, fold, counts))
    return counts


def refuse_existing(path: Path) -> None:
    """Leave what is there already as it is.

    Raises
    ------
    ConfigError
        If there is something.
    """
    if path.exists():
        raise ConfigError(f"{path} exists already: remove it or give another --output")


def _names(task: Task) -> dict[str, Any]:
    """Original ids of users and items by number, arrays of text."""
    data = task.dataset
    return {"user": data.user_texts()["id"].to_numpy(object), "item": data.item_texts()["id"].to_numpy(object)}


def _interactions(part: Interactions, named: Mapping[str, Any], timed: bool) -> pd.DataFrame:
    """A row for each interaction, by user and in time order; ``time`` in seconds since 1970 where there are times."""
    frame = pd.DataFrame({"user": named["user"][part.users], "item": named["item"][part.items]})
    return frame.assign(time=part.times) if timed else frame


def _facts(task: Task, fold: int | None, counts: dict[str, int]) -> dict[str, Any]:
    data = task.dataset
    return {
        "dataset": task.card.name,
        "protocol": task.protocol.model_dump(mode="json"),
        "fingerprint": task.fingerprint,
        "fold": fold,
        "users": data.n_users,
        "items": data.n_items,
        "interactions": counts,
    }


def _write(frame: pd.DataFrame, path: Path, form: Format) -> None:
    if form == "recbole":
        _refuse_signs(frame, _NOT_IN_RECBOLE, "RecBole's files")
    frame = frame.rename(columns=_COLUMNS[form])
    with new_file(path) as draft:
        if form == "lenskit":
            # Plain strings and nothing of pandas: LensKit 2025 refuses the large strings that pandas 3 writes.
            pq.write_table(pa.table({name: pa.array(column.tolist()) for name, column in frame.items()}), draft)
        else:
            separator = {"csv": ",", "recbole": "\t", "trec": " "}[form]
            frame.to_csv(draft, index=False, sep=separator, header=form != "trec", lineterminator="\n")


def _refuse_signs(frame: pd.DataFrame, signs: str, what: str) -> None:
    for column in ("user", "item"):
        if column not in frame:
            continue
        unfit = [one for one in frame[column].unique() if re.search(signs, one)]
        if unfit:
            raise DataError(f"{what} cannot hold the {column} '{plain(unfit[0], 60)}': choose another --format")
