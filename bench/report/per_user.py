"""Values per user of the runs of a row, as the core stored them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench.errors import ResultsError, one_line, plain
from bench.evaluation.intervals import Sample
from bench.files import regular
from bench.messages.cell import Result
from bench.report.row import Row
from bench.runs import evaluate
from bench.runs.store import Store

FILE = "per_user.parquet"
_ROUNDING = 1e-5
"""Values per user are kept with seven digits."""


def per_user(store: Store, row: Row, columns: Sequence[str]) -> dict[int, pd.DataFrame]:
    """By seed, a row per user of a group, index the user.

    Where there are several folds, the mean over users is that of the folds' means: a user whose test items are in each
    of them has the average, and what one has in some counts for as much as one of so many users does there.

    ``columns`` are metrics of one group, such as ``all/ndcg@10``.

    Raises
    ------
    ResultsError
        If the values of a cell cannot be read.
    """
    frames: dict[int, list[pd.DataFrame]] = {}
    for result in row.results:
        frames.setdefault(result.cell.seed, []).append(_read(store, result, columns))
    return {seed: _mean(found, list(columns)) for seed, found in frames.items()}


def _mean(frames: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    if len(frames) == 1:
        return frames[0].set_index("user")[columns].sort_index()
    some = [frame.set_index("user")[columns] / len(frame) for frame in frames if len(frame)]
    sums = pd.concat(some).groupby("user").sum()
    return sums * (len(sums) / len(some))


def common_users(*rows: dict[int, pd.DataFrame]) -> NDArray[np.int64]:
    """Users that all seeds of all rows have."""
    users, *others = [frame.index for row in rows for frame in row.values()]
    for other in others:
        users = users.intersection(other)
    return users.to_numpy(np.int64)


def sample(row: Row, values: dict[int, pd.DataFrame], users: NDArray[np.int64]) -> Sample:
    """What intervals need of a row, over these users."""
    stacked = np.stack([frame.loc[users].to_numpy(np.float64) for frame in values.values()])
    return Sample(stacked, row.first.cell.deterministic)


def kept_columns(store: Store, rows: Sequence[Row], group: str) -> set[str]:
    """``GROUP/METRIC@K`` that all runs with users in the group keep per user; published records keep the main ones."""
    runs = [result for row in rows for result in row.results if result.groups[group].n]
    return set.intersection(*(evaluate.columns(store.path(run.cell_id) / FILE) for run in runs))


def _read(store: Store, result: Result, columns: Sequence[str]) -> pd.DataFrame:
    """Values per user in ``columns``, whose means are those of the result."""
    path = store.path(result.cell_id) / FILE
    if not any(result.groups[column.rpartition("/")[0]].n for column in columns):
        return pd.DataFrame({name: np.empty(0, np.float64) for name in columns} | {"user": np.empty(0, np.int64)})
    try:
        with pq.ParquetFile(regular(path)) as file:
            read = file.read(["user", *columns], use_threads=False)
        if missing := {"user", *columns} - set(read.column_names):
            raise ValueError(f"it has no column {min(missing)}")
        frame: pd.DataFrame = read.to_pandas().dropna()
        for column in columns:
            group, _, metric = column.rpartition("/")
            told = result.groups[group]
            same = abs(float(frame[column].mean()) - told.metrics[metric]) < _ROUNDING
            if len(frame) != told.n or not same:
                raise ValueError(f"its means of {column} are not those of the result")
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
        raise ResultsError(
            f"{path} cannot be read ({plain(one_line(error), 200)}): run the model again, "
            "its lists are measured again without training"
        ) from error
    return frame
