"""Values per user of the runs of a row, as the core stored them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
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


@dataclass(frozen=True)
class PerUser:
    """Values of the users of a group."""

    users: NDArray[np.int64]
    """(n,), ascending."""
    values: NDArray[np.float64]
    """(n, m), a column per metric."""

    def of(self, users: NDArray[np.int64]) -> NDArray[np.float64]:
        """(len(users), m) values of some of them, ascending."""
        same = np.array_equal(users, self.users)
        return self.values if same else self.values[np.searchsorted(self.users, users)]


def per_user(store: Store, row: Row, columns: Sequence[str]) -> dict[int, PerUser]:
    """By seed, the values of the users of a group.

    Where there are several folds, the mean over users is that of the folds' means: a user whose test items are in each
    of them has the average, and what one has in some counts for as much as one of so many users does there.

    ``columns`` are metrics of one group, such as ``all/ndcg@10``.

    Raises
    ------
    ResultsError
        If the values of a cell cannot be read.
    """
    folds: dict[int, list[PerUser]] = {}
    for result in row.results:
        folds.setdefault(result.cell.seed, []).append(_read(store, result, columns))
    return {seed: _mean(found) for seed, found in folds.items()}


def _mean(folds: list[PerUser]) -> PerUser:
    some = [fold for fold in folds if len(fold.users)]
    if len(some) < 2:
        return (some or folds)[0]
    users, number = np.unique(np.concatenate([fold.users for fold in some]), return_inverse=True)
    sums = np.zeros((len(users), some[0].values.shape[1]))
    np.add.at(sums, number, np.concatenate([fold.values / len(fold.users) for fold in some]))
    return PerUser(users, sums * (len(users) / len(some)))


def common_users(*rows: dict[int, PerUser]) -> NDArray[np.int64]:
    """Users that all seeds of all rows have, ascending."""
    users, *others = [found.users for row in rows for found in row.values()]
    for other in others:
        if not np.array_equal(users, other):
            users = np.intersect1d(users, other, assume_unique=True)
    return users


def sample(row: Row, values: dict[int, PerUser], users: NDArray[np.int64]) -> Sample:
    """What intervals need of a row, over these users."""
    return Sample(np.stack([found.of(users) for found in values.values()]), row.first.cell.deterministic)


def kept_columns(store: Store, rows: Sequence[Row], group: str) -> set[str]:
    """``GROUP/METRIC@K`` that all runs with users in the group keep per user; published records keep the main ones."""
    runs = [result for row in rows for result in row.results if result.groups[group].n]
    return set.intersection(*(evaluate.columns(store.path(run.cell_id) / FILE) for run in runs))


def _read(store: Store, result: Result, columns: Sequence[str]) -> PerUser:
    """Values per user in ``columns``, whose means are those of the result."""
    path = store.path(result.cell_id) / FILE
    if not any(result.groups[column.rpartition("/")[0]].n for column in columns):
        return PerUser(np.empty(0, np.int64), np.empty((0, len(columns))))
    try:
        with pq.ParquetFile(regular(path)) as file:
            read = file.read(["user", *columns], use_threads=False)
        if missing := {"user", *columns} - set(read.column_names):
            raise ValueError(f"it has no column {min(missing)}")
        users = read["user"].cast(pa.int64()).to_numpy()
        values = np.stack([read[column].cast(pa.float64()).to_numpy() for column in columns], axis=1)
        kept = ~np.isnan(values).any(axis=1)
        users, values = users[kept], values[kept]
        for column, mean in zip(columns, values.sum(axis=0) / max(len(users), 1), strict=True):
            group, _, metric = column.rpartition("/")
            told = result.groups[group]
            if len(users) != told.n or not abs(float(mean) - told.metrics[metric]) < _ROUNDING:
                raise ValueError(f"its means of {column} are not those of the result")
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
        raise ResultsError(
            f"{path} cannot be read ({plain(one_line(error), 200)}): run the model again, "
            "its lists are measured again without training"
        ) from error
    order = np.argsort(users, kind="stable")
    return PerUser(users[order], values[order])
