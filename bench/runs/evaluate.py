"""From the lists of a cell to its metrics."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from bench.data.groups import Group, popularity_groups
from bench.data.hidden import Split
from bench.data.protocol import Protocol
from bench.data.visible import Visible, VisibleSplit
from bench.errors import ResultsError, one_line, plain
from bench.evaluation import metrics, violations
from bench.evaluation.beyond import beyond
from bench.evaluation.diversity import CATEGORIES, category_vectors, diversity, text_vectors
from bench.files import new_file, regular
from bench.interactions import Recommendations
from bench.messages.cell import GroupResult
from bench.messages.job import USERS_AT_ONCE
from bench.runs.outputs import read_array


def test_users(split: Split) -> NDArray[np.int64]:
    """(n,) ids of the users that have a test item."""
    return np.flatnonzero(split.hidden.test.lengths)


def lists_of(output: Path, n_users: int, k: int) -> Recommendations:
    """What is in a worker's ``items.npy`` and ``scores.npy``.

    Raises
    ------
    PluginError
        If there are no lists.
    """
    return Recommendations(*(read_array(output / f"{name}.npy", n_users * k) for name in ("items", "scores")))


def checked(
    found: Recommendations, visible: Visible, protocol: Protocol, users: NDArray[np.int64], k: int
) -> tuple[Recommendations, dict[str, int]]:
    """The lists (n, k) of ``users`` (n,) without slots that break the contract, and the number of these by kind.

    Raises
    ------
    PluginError
        If they have the wrong shape.
    """
    violations.check_form(found, (len(users), k))
    clean = Recommendations(np.empty((len(users), k), np.int32), np.empty((len(users), k), np.float32))
    counted, begin = Counter[str](), 0
    for some in visible.chunks(users, USERS_AT_ONCE):
        exclude, part = visible.inputs(protocol, some).exclude, slice(begin, begin + len(some))
        lists = Recommendations(np.asarray(found[0])[part], np.asarray(found[1])[part])
        (clean.items[part], clean.scores[part]), kinds = violations.check(lists, exclude, k)
        counted.update(kinds)
        begin += len(some)
    return clean, dict(counted)


def keep_lists(path: Path, users: NDArray[np.int64], lists: Recommendations) -> None:
    """Write ``lists.parquet``: columns ``user`` int32, ``item`` and ``score``, a list each."""
    columns: dict[str, Any] = {"user": users.astype(np.int32)}
    for name, array in (("item", lists.items), ("score", lists.scores)):
        columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), array.shape[1])
    with new_file(path) as draft:
        pq.write_table(pa.table(columns), draft)


def read_lists(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Users (n,) and items (n, k) of ``lists.parquet``.

    Raises
    ------
    ResultsError
        If it is damaged.
    """
    return _read(path, "item", pa.types.is_integer)


def read_scores(path: Path) -> NDArray[np.float32]:
    """Scores (n, k) of ``lists.parquet``, minus infinity where a slot is unfilled; see :func:`read_lists`."""
    scores: NDArray[np.float32] = _read(path, "score", pa.types.is_floating)[1]
    return scores


def _read(path: Path, column: str, is_kind: Callable[[Any], bool]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    if not os.path.lexists(path):
        raise ResultsError(f"{path} is not there: published records have no lists, run the row again to have them")
    try:
        table = pq.read_table(regular(path), columns=["user", column])
        kind = table.schema.field(column).type
        if not (pa.types.is_fixed_size_list(kind) and is_kind(kind.value_type)):
            raise ValueError(f"its {column}s are {kind}")
        users = table["user"].to_numpy()
        slots = table[column].combine_chunks().flatten().to_numpy().reshape(len(users), kind.list_size)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise ResultsError(f"{path} cannot be read ({plain(one_line(error), 200)}): remove {path.parent}") from error
    return users, slots


def measure(folder: Path, split: Split, groups: Sequence[Group], ks: Sequence[int]) -> dict[str, GroupResult]:
    """Metrics by group from ``lists.parquet``; per-user values go to ``per_user.parquet``.

    Its columns are ``user`` and, for each group, ``GROUP/METRIC@K``, empty where the user is not in the group.

    Raises
    ------
    ResultsError
        If the lists are damaged or those of another split.
    """
    users, values = read_lists(folder / "lists.parquet")
    if not np.array_equal(users, test_users(split)):
        raise ResultsError(f"{folder / 'lists.parquet'} has lists for other users than the split: remove {folder}")
    values = values[:, : max(ks)]
    test = split.hidden.test.select(users)
    scores = metrics.per_user(values, test, ks)
    columns: dict[str, Any] = {"user": users}
    results = {}
    for group in groups:
        if group.of == "users":
            inside, own = group.members[users], scores
        else:
            # Users without test items have no cases, so that these stand here as in the whole test part.
            relevant = test.where(group.members if group.of == "cases" else group.members[test.items])
            inside = relevant.lengths > 0
            rows = np.flatnonzero(inside)
            found = metrics.per_user(values[inside], relevant.select(rows), ks) if len(rows) else {}
            own = {name: _spread(column, inside) for name, column in found.items()}
        results[group.name] = _summary(group, inside, own)
        if inside.any():
            columns |= {
                f"{group.name}/{name}": pa.array(column, pa.float32(), mask=~inside) for name, column in own.items()
            }
    path = folder / "per_user.parquet"
    columns |= {name: column for name, column in _columns_before(path, users).items() if name not in columns}
    with new_file(path) as draft:
        pq.write_table(pa.table(columns), draft)
    return results


def item_vectors(visible: VisibleSplit) -> dict[str, csr_matrix]:
    """By the name of a diversity, what it compares of the items; nothing where the data set has no such field."""
    return _vectors(_Texts(visible.texts_hash, visible))


@dataclass(frozen=True)
class _Texts:
    """Those of a split, which all splits of a data set share."""

    content: str
    visible: VisibleSplit = field(compare=False)


@lru_cache(maxsize=2)
def _vectors(of: _Texts) -> dict[str, csr_matrix]:
    texts = of.visible.item_texts()
    found = {}
    if categories := next((name for name in CATEGORIES if name in texts), None):
        found["ild"] = category_vectors(texts[categories].tolist())
    if "text" in texts:
        found["ild-text"] = text_vectors(texts["text"].tolist())
    return {name: vectors for name, vectors in found.items() if vectors.nnz}


def beyond_accuracy(folder: Path, split: Split, ks: Sequence[int]) -> dict[str, float]:
    """What the lists in ``lists.parquet`` are like; see :data:`bench.evaluation.beyond.NAMES`.

    Raises
    ------
    ResultsError
        If they are damaged.
    """
    _, items = read_lists(folder / "lists.parquet")
    train = split.visible.union("train")
    counts = train.popularity
    niche = popularity_groups(counts)[1].members
    found = beyond(items, counts, int(np.count_nonzero(train.lengths)), niche, ks)
    for name, vectors in item_vectors(split.visible).items():
        found |= {f"{name}@{k}": value for k, value in diversity(items, vectors, ks).items()}
    return found


def columns(path: Path) -> set[str]:
    """Names of the columns of ``per_user.parquet``; none if it is missing or damaged."""
    try:
        return set(pq.read_schema(regular(path)).names)
    except (OSError, ValueError, pa.ArrowException):
        return set()


def _columns_before(path: Path, users: NDArray[np.int64]) -> dict[str, Any]:
    """Columns of groups that were asked for before; none if the file is damaged."""
    try:
        before = pq.read_table(regular(path))
        if np.array_equal(before["user"].to_numpy(), users):
            return {name: before[name] for name in before.column_names}
    except (OSError, ValueError, KeyError, pa.ArrowException):
        pass
    return {}


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
        members=group.content,
        n=n,
        metrics={name: float(column.mean()) for name, column in chosen.items()},
        errors={name: float(column.std(ddof=1) / n**0.5) for name, column in chosen.items()} if n > 1 else {},
    )
