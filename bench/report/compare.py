"""Is A better than B? Paired over users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tabulate import tabulate

from bench.data.catalog import card, cards
from bench.data.protocol import Protocol
from bench.errors import ResultsError, UnknownName
from bench.evaluation.intervals import Interval, bootstrap
from bench.report.table import Row, Table, tables
from bench.runs.store import Store


@dataclass(frozen=True)
class Comparison:
    """Differences of two rows."""

    head: str
    frame: pd.DataFrame
    """Columns group, n, metric, a, b, difference, low, high; one row per group and metric."""

    def text(self) -> str:
        """The table for a terminal."""
        lines = [
            [
                r["group"],
                f"{r['n']:,}",
                r["metric"],
                f"{r['a']:.4f}",
                f"{r['b']:.4f}",
                f"{r['difference']:+.4f}",
                f"[{r['low']:+.4f}, {r['high']:+.4f}]",
                "*" if r["low"] > 0 or r["high"] < 0 else "",
            ]
            for r in self.frame.to_dict("records")
        ]
        heads = ["group", "n", "metric", "A", "B", "A − B", "95 % interval", ""]
        align = ["left", "right", "left", "right", "right", "right", "right", "left"]
        return f"{self.head}\n\n{tabulate(lines, headers=heads, colalign=align, disable_numparse=True)}"


def compare(
    store: Store, a: str, b: str, dataset: str, k: int = 10, protocol: str | None = None, split_seed: int | None = None
) -> Comparison:
    """Compare the rows ``a`` and ``b`` of one table of ``store``.

    Raises
    ------
    ResultsError
        If there is no such table or row, more than one, or no metric at ``k``.
    """
    table = _table(store, dataset, protocol, split_seed)
    rows = (_row(table, a), _row(table, b))
    metrics = [name for name in table.metrics if name.endswith(f"@{k}")]
    if not metrics:
        raise ResultsError(f"no metric at {k} in the results: run the models again with --k {k}")
    records = []
    for group in table.groups:
        found = paired(store, *rows, [f"{group}/{metric}" for metric in metrics])
        for i, metric in enumerate(metrics):
            numbers = {"a": found.a[i], "b": found.b[i], "difference": found.interval.mean[i]}
            bounds = {"low": found.interval.low[i], "high": found.interval.high[i]}
            records.append({"group": group, "n": found.n, "metric": metric, **numbers, **bounds})
    runs = " and ".join(f"{len(row.results)} of {row.title}" for row in rows)
    head = f"A = {a}, B = {b} on {dataset} ({table.name}); runs: {runs}; * interval without 0"
    return Comparison(head, pd.DataFrame(records))


class Paired(NamedTuple):
    """Two rows over the users that both have."""

    n: int
    a: NDArray[np.float64]
    """(m,) means of the first row, one per column."""
    b: NDArray[np.float64]
    interval: Interval
    """Of the m differences a − b."""


def paired(store: Store, a: Row, b: Row, columns: Sequence[str]) -> Paired:
    """Differences of two rows in ``columns``, such as ``all/ndcg@10``; runs of a row are averaged per user first.

    Raises
    ------
    ResultsError
        If the per-user values of a cell cannot be read.
    """
    first, second = (_per_user(store, row, columns) for row in (a, b))
    both = first.index.intersection(second.index)
    left, right = first.loc[both].to_numpy(), second.loc[both].to_numpy()
    return Paired(len(both), left.mean(axis=0), right.mean(axis=0), bootstrap(left - right))


def _table(store: Store, dataset: str, protocol: str | None, split_seed: int | None) -> Table:
    """The one table that fits; the data set's own protocol is meant where several do."""
    known = cards()
    own = card(dataset) if dataset.endswith((".yaml", ".yml")) else known.get(dataset)
    dataset = own.name if own else dataset
    found = [table for table in tables(store.results()) if table.dataset == dataset]
    if not found and own is None:
        raise UnknownName("data set", dataset, known, "'bench datasets list'")
    if not found:
        raise ResultsError(
            f"no results of '{dataset}' in {store.cells}: make some with 'bench run --dataset {dataset}'"
        )
    rules = [(table, table.cell.protocol) for table in found]
    fitting = [(t, rule) for t, rule in rules if protocol in (None, rule.name) and split_seed in (None, _seed(rule))]
    if len(fitting) > 1 and protocol is None and own:
        fitting = [(table, rule) for table, rule in fitting if rule.name == own.protocol]
    if len(fitting) != 1:
        which = ", ".join(f"{rule.name} ({rule.split.describe()})" for _, rule in rules)
        raise ResultsError(
            f"{len(fitting)} tables of '{dataset}' fit; there are {which}: give --protocol and --split-seed"
        )
    return fitting[0][0]


def _seed(rule: Protocol) -> int | None:
    return getattr(rule.split, "seed", None)


def _row(table: Table, name: str) -> Row:
    known = {row.name: row for row in table.rows if not row.failed}
    model, _, preset = name.partition("@")
    meant = [row for row in known.values() if row.first.cell.model == model and not row.ablation]
    fitting = [row for row in meant if not preset or row.first.cell.preset == preset]
    exact = [row for row in known.values() if row.name == name]
    fitting = exact or [row for row in known.values() if row.model == name] or fitting
    if not fitting:
        raise UnknownName(f"row of {table.dataset}", name, known, "'bench leaderboard'")
    if len(fitting) > 1:
        raise ResultsError(
            f"'{name}' could be {' or '.join(repr(row.name) for row in fitting)}: give one of these names"
        )
    return fitting[0]


def _per_user(store: Store, row: Row, columns: Sequence[str]) -> pd.DataFrame:
    """One row per user of a group, index the user: averages over the runs in which the user has test items."""
    frames = [_read(store, result.cell_id, ["user", *columns]).dropna() for result in row.results]
    return pd.concat(frames).groupby("user")[list(columns)].mean()


def _read(store: Store, cell_id: str, columns: Sequence[str]) -> pd.DataFrame:
    path = store.path(cell_id) / "per_user.parquet"
    try:
        return pd.read_parquet(path, columns=list(columns))
    except (OSError, ValueError) as error:
        raise ResultsError(
            f"{path} cannot be read ({error}): delete the folder {path.parent} and run it again"
        ) from error
