"""From the lists of a cell to its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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

    Its columns are ``user``, one per ``metric@k``, and for each group the boolean ``group/NAME``.
    """
    lists = pq.read_table(folder / "lists.parquet", columns=["user", "item"])
    users = lists["user"].to_numpy()
    items = lists["item"].combine_chunks()
    values = items.flatten().to_numpy().reshape(len(users), -1)
    scores = metrics.per_user(values, split.hidden.test.select(users), ks)
    columns = {name: column.astype(np.float32) for name, column in scores.items()}
    membership = {f"group/{group.name}": group.members[users] for group in groups}
    table = pa.table({"user": users, **columns, **membership})
    pq.write_table(table, folder / ".per_user.parquet")
    (folder / ".per_user.parquet").replace(folder / "per_user.parquet")
    results = {}
    for group in groups:
        inside = group.members[users]
        n = int(inside.sum())
        means = {name: float(column[inside].mean()) for name, column in scores.items()} if n else {}
        errors = {name: float(column[inside].std(ddof=1) / n**0.5) for name, column in scores.items()} if n > 1 else {}
        results[group.name] = GroupResult(rule=group.rule, n=n, metrics=means, errors=errors)
    return results
