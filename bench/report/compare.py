"""Is A better than B? Paired over users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tabulate import tabulate

from bench.data.catalog import card
from bench.data.protocol import Protocol
from bench.errors import BenchError, unknown
from bench.evaluation.intervals import bootstrap
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
    BenchError
        If there is no such table or row, more than one, or no metric at ``k``.
    """
    table = _table(store, dataset, protocol, split_seed)
    rows = [_row(table, name) for name in (a, b)]
    metrics = [name for name in table.metrics if name.endswith(f"@{k}")]
    if not metrics:
        raise BenchError(f"no metric at {k} in the results: run the models again with --k {k}")
    first, second = (_per_user(store, row, metrics) for row in rows)
    membership = _read(store, rows[0].first.cell_id, [f"group/{group}" for group in table.groups])
    records = []
    for group, (_, n) in table.groups.items():
        inside = membership[f"group/{group}"].to_numpy()
        left, right = first.to_numpy()[inside], second.to_numpy()[inside]
        interval = bootstrap(left - right)
        for i, metric in enumerate(metrics):
            records.append(
                {
                    "group": group,
                    "n": n,
                    "metric": metric,
                    "a": left[:, i].mean(),
                    "b": right[:, i].mean(),
                    "difference": interval.mean[i],
                    "low": interval.low[i],
                    "high": interval.high[i],
                }
            )
    seeds = " and ".join(f"{row.seeds} of {row.model}" for row in rows)
    head = f"A = {a}, B = {b} on {dataset} ({table.name}); seeds: {seeds}; * interval without 0"
    return Comparison(head, pd.DataFrame(records))


def _table(store: Store, dataset: str, protocol: str | None, split_seed: int | None) -> Table:
    name = protocol or card(dataset).protocol
    found = [table for table in tables(store.results()) if table.dataset == dataset]
    if not found:
        raise BenchError(f"no results of '{dataset}' in {store.cells}: make some with 'bench run --dataset {dataset}'")
    rules = [(table, Protocol.model_validate(table.rows[0].first.cell.protocol)) for table in found]
    chosen = [t for t, rule in rules if rule.name == name and split_seed in (None, rule.split.seed)]
    if len(chosen) != 1:
        which = ", ".join(f"{rule.name} with split seed {rule.split.seed}" for _, rule in rules)
        raise BenchError(
            f"{len(chosen)} tables of '{dataset}' fit; there are {which}: give --protocol and --split-seed"
        )
    return chosen[0]


def _row(table: Table, name: str) -> Row:
    known = {row.name: row for row in table.rows if not row.failed}
    model, _, preset = name.partition("@")
    fitting = [row for row in known.values() if name == row.name or (row.first.cell.model == model and not preset)]
    if not fitting:
        raise unknown(f"row of {table.dataset}", name, known, "'bench leaderboard'")
    if len(fitting) > 1:
        raise BenchError(f"'{name}' could be {' or '.join(repr(row.name) for row in fitting)}: give one of these names")
    return fitting[0]


def _per_user(store: Store, row: Row, metrics: Sequence[str]) -> pd.DataFrame:
    """(n_users, metrics), averaged over seeds."""
    frames = [_read(store, result.cell_id, metrics) for result in row.results]
    return pd.DataFrame(np.mean([frame.to_numpy(np.float64) for frame in frames], axis=0), columns=list(metrics))


def _read(store: Store, cell_id: str, columns: Sequence[str]) -> pd.DataFrame:
    path = store.path(cell_id) / "per_user.parquet"
    try:
        return pd.read_parquet(path, columns=list(columns))
    except (OSError, ValueError) as error:
        raise BenchError(
            f"{path} cannot be read ({error}): delete the folder {path.parent} and run it again"
        ) from error
