"""From the lists of a cell to its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench.contract import Interactions, Recommendations
from bench.data.dataset import Split
from bench.data.groups import VERSION as GROUPS_VERSION
from bench.data.groups import Group
from bench.evaluation import metrics, violations
from bench.runs.cell import GroupResult

VERSIONS = {"metrics": metrics.VERSION, "groups": GROUPS_VERSION}


def test_users(split: Split) -> NDArray[np.int64]:
    """(n,) ids of the users that have a test item."""
    return np.flatnonzero(split.hidden.test.lengths)


def check(folder: Path, users: NDArray[np.int64], exclude: Interactions, k: int) -> dict[str, int]:
    """Count the violations in the worker's ``items.npy`` and ``scores.npy`` and keep sound lists as ``lists.parquet``.

    ``exclude`` has one row per user of ``users``. The arrays are deleted.
    """
    raw = [folder / f"{name}.npy" for name in ("items", "scores")]
    found = Recommendations(*(np.load(path, allow_pickle=False) for path in raw))
    counted = violations.count(found, exclude, k)
    sound = violations.repaired(found, exclude)
    columns = {"user": users.astype(np.int32)}
    for name, array in (("item", sound.items), ("score", sound.scores)):
        columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), k)
    pq.write_table(pa.table(columns), folder / "lists.parquet")
    for path in raw:
        path.unlink()
    return counted


def measure(folder: Path, split: Split, groups: Sequence[Group], ks: Sequence[int]) -> dict[str, GroupResult]:
    """Metrics by group from ``lists.parquet``; per-user values go to ``per_user.parquet``.

    Its columns are ``user`` and, for each group, ``GROUP/METRIC@K``, empty where the user is not in the group.
    """
    lists = pq.read_table(folder / "lists.parquet", columns=["user", "item"])
    users = lists["user"].to_numpy()
    values = lists["item"].combine_chunks().flatten().to_numpy().reshape(len(users), -1)
    test = split.hidden.test.select(users)
    scores = metrics.per_user(values, test, ks)
    columns: dict[str, Any] = {"user": users}
    results = {}
    for group in groups:
        if group.of == "users":
            inside, own = group.members[users], scores
        else:
            relevant = test.where(group.members[test.items])
            inside = relevant.lengths > 0
            found = (
                metrics.per_user(values[inside], relevant.select(np.flatnonzero(inside)), ks) if inside.any() else {}
            )
            own = {name: _spread(column, inside) for name, column in found.items()}
        results[group.name] = _summary(group, inside, own)
        if inside.any():
            columns |= {
                f"{group.name}/{name}": pa.array(column, pa.float32(), mask=~inside) for name, column in own.items()
            }
    path = folder / "per_user.parquet"
    if path.is_file():  # groups that were asked for before
        before = pq.read_table(path)
        columns |= {name: before[name] for name in before.column_names if name not in columns}
    pq.write_table(pa.table(columns), folder / ".per_user.parquet")
    (folder / ".per_user.parquet").replace(path)
    return results


def _spread(values: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Values of those inside, at their places among all users."""
    column = np.zeros(len(inside))
    column[inside] = values
    return column


def _summary(group: Group, inside: NDArray[np.bool_], scores: dict[str, NDArray[np.float64]]) -> GroupResult:
    n = int(inside.sum())
    chosen = {name: column[inside] for name, column in scores.items()} if n else {}
    return GroupResult(
        rule=group.rule,
        n=n,
        metrics={name: float(column.mean()) for name, column in chosen.items()},
        errors={name: float(column.std(ddof=1) / n**0.5) for name, column in chosen.items()} if n > 1 else {},
    )
