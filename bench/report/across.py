"""Rows that several tables share, by their mean rank over data sets: metrics of different data have no mean."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from bench.errors import ResultsError, plain
from bench.evaluation.intervals import LEAST_USERS
from bench.report.leaderboard import WIDTH, blocks, pipe
from bench.report.row import Row
from bench.report.table import Table
from bench.report.verdict import Standing, verdict
from bench.runs.store import Store

_DRAWS = 10_000
_LEAST = 2
"""Data sets, and rows, below which there is nothing to compare."""
_ENOUGH = 6
"""Data sets of which all have to agree for a two-sided sign test of 5 %: 2 / 2 ** 6 is the first below it."""


@dataclass(frozen=True)
class Across:
    """R rows over T tables."""

    tables: list[Table]
    """Each with the shared rows alone."""
    rows: list[str]
    """Their names, the lowest mean rank first."""
    ranks: NDArray[np.float64]
    """(T, R): by the mean of the first main metric among these rows, ties halved."""
    standings: list[list[Standing]]
    """By table and row: the ranks that the row may have."""
    mean: NDArray[np.float64]
    """(R,): over data sets, of the means over the tables of each."""
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    """(R,): ends of a 95 % interval, see :func:`across`."""

    @property
    def datasets(self) -> list[str]:
        """Names of the data sets: tables of one are no independent evidence."""
        return list(dict.fromkeys(table.dataset for table in self.tables))

    @property
    def names(self) -> list[str]:
        """What each table is called: its data set, with the protocol and the fingerprint where others have the same."""
        cells = [table.cell for table in self.tables]
        names = [plain(cell.dataset) for cell in cells]
        for part in ([plain(cell.protocol.name) for cell in cells], [cell.fingerprint[:8] for cell in cells]):
            names = [f"{name} {own}" * (names.count(name) > 1) or name for name, own in zip(names, part, strict=True)]
        return names

    def text(self) -> str:
        """For a terminal."""
        columns = [("mean rank", [f"{mean:.2f}" for mean in self.mean])]
        columns.append(("95 %", [f"{low:.2f}–{high:.2f}" for low, high in zip(self.low, self.high, strict=True)]))
        columns += [(name, list(map(str, own))) for name, own in zip(self.names, self.standings, strict=True)]
        left = max(map(len, self.rows)) + 8
        parts = []
        for some in blocks(dict(enumerate(head for head, _ in columns)), WIDTH - left):
            lines = [[name, *(columns[at][1][row] for at in some)] for row, name in enumerate(self.rows)]
            parts.append(pipe(lines, ["row", *(columns[at][0] for at in some)], text_columns=1))
        n, t = len(self.datasets), len(self.tables)
        reading = (
            "Rank 1 is the best of these rows; the columns of data sets have the ranks that a row may have there, by "
            f"Holm's rule over all pairs of these rows. The interval has 95 % of {_DRAWS:,} draws of data sets with "
            "replacement, and of a rank among those that a row may have in each."
        )
        if n < _ENOUGH:
            reading += f" Fewer than {_ENOUGH} data sets do not show that a row is better on others (sign test, 5 %)."
        legend = [
            f"{name}: protocol {plain(table.cell.protocol.name)} ({table.cell.fingerprint[:8]}), "
            f"by {table.main_metrics[0]}"
            for name, table in zip(self.names, self.tables, strict=True)
        ]
        return "\n\n".join([
            f"Mean rank over {n} data sets ({t} tables)",
            *parts,
            "\n".join(legend),
            textwrap.fill(reading, WIDTH),
        ])  # fmt: skip

    def document(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "datasets": self.datasets,
            "tables": [table.name for table in self.tables],
            "rows": [
                {
                    "row": name,
                    "mean_rank": float(self.mean[row]),
                    "low": float(self.low[row]),
                    "high": float(self.high[row]),
                    "ranks": [
                        {"rank": float(ranks[row]), "first": standing[row].first, "last": standing[row].last}
                        for ranks, standing in zip(self.ranks, self.standings, strict=True)
                    ],
                }
                for row, name in enumerate(self.rows)
            ],
        }


def across(tables: Sequence[Table], store: Store, names: Sequence[str] = ()) -> Across:
    """Compare the rows that all of ``tables`` have; or those of ``names``, over the tables that have all of them.

    The interval of a mean rank is that of a bootstrap over data sets, in which the rank of a row in a table is any of
    those that it may have there, each as likely as the others.

    Raises
    ------
    ResultsError
        If fewer than two data sets share two rows, or values per user cannot be read.
    """
    usable = [(table, rows) for table in tables if (rows := _usable(table))]
    if unknown := [name for name in names if not any(name in rows for _, rows in usable)]:
        raise ResultsError(f"no table has a finished row '{plain(unknown[0])}': see 'bench leaderboard' for its names")
    if names:
        usable = [(table, rows) for table, rows in usable if set(names) <= set(rows)]
    shared = set(names) or (set.intersection(*(set(rows) for _, rows in usable)) if usable else set())
    count = len({table.dataset for table, _ in usable})
    if count < _LEAST or len(shared) < _LEAST:
        what = f"{len(shared)} rows are" if len(shared) != 1 else "1 row is"
        raise ResultsError(
            f"{what} shared by tables of {count} data sets, and a mean rank takes two rows and two data sets: "
            "run the same models on more data, or name rows by --models"
        )
    parts = [Table([row for name, row in rows.items() if name in shared]) for _, rows in usable]
    return _ranked(parts, sorted(shared), [_standings(part, store) for part in parts])


def _usable(table: Table) -> dict[str, Row]:
    """The rows by name that have ranks; a table of few users has none."""
    metric = table.main_metrics[0]
    enough = (row for row in table.rows if row.users("all") >= LEAST_USERS)
    return {row.name: row for row in enough if row.has("all", metric) and not row.ablation}


def _standings(table: Table, store: Store) -> dict[str, Standing]:
    judged = verdict(table, store)
    found = {name: standing for (name, group), standing in judged.standings.items() if group == "all"}
    if len(found) < len(table.rows):
        raise ResultsError(f"{table.name}: {' '.join(judged.notes)}")
    return found


def _ranked(tables: list[Table], names: list[str], found: list[dict[str, Standing]]) -> Across:
    means = [{row.name: row.mean("all", table.main_metrics[0]) for row in table.rows} for table in tables]
    ranks = np.stack([rankdata([-one[name] for name in names]) for one in means])
    bounds = np.array([[one[name][1:] for name in names] for one in found])
    datasets = np.unique([table.dataset for table in tables], return_inverse=True)[1]
    mean = _over_datasets(ranks, datasets).mean(axis=0)
    low, high = np.percentile(_drawn(bounds, datasets), [2.5, 97.5], axis=0)
    order = np.argsort(mean, kind="stable")
    ordered = [names[row] for row in order]
    standings = [[one[name] for name in ordered] for one in found]
    return Across(tables, ordered, ranks[:, order], standings, mean[order], low[order], high[order])


def _over_datasets(values: NDArray[Any], datasets: NDArray[np.int64]) -> NDArray[np.float64]:
    """(D, …): means over the tables of each data set, of ``values`` (T, …)."""
    return np.stack([values[datasets == one].mean(axis=0) for one in range(datasets.max() + 1)])


def _drawn(bounds: NDArray[np.int64], datasets: NDArray[np.int64]) -> NDArray[np.float64]:
    """(draws, R): mean ranks of a bootstrap, of ``bounds`` (T, R, 2): first and last rank that a row may have."""
    random = np.random.default_rng(0)
    shape = (_DRAWS, bounds.shape[1])
    drawn = np.stack([random.integers(own[:, 0], own[:, 1], shape, endpoint=True) for own in bounds])
    by_dataset = _over_datasets(drawn, datasets)
    n = len(by_dataset)
    weights = random.multinomial(n, np.full(n, 1 / n), _DRAWS) / n
    return np.asarray(np.einsum("nd,dnr->nr", weights, by_dataset))
