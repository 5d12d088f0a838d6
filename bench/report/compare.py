"""Is A better than B? Paired over users, beside the spread of seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tabulate import tabulate

from bench.data.catalog import card, cards
from bench.data.protocol import PROTOCOLS
from bench.data.protocol import protocol as find_protocol
from bench.errors import ResultsError, UnknownName, plain
from bench.evaluation.intervals import ERRORS, LEAST_USERS, Estimate, Sample, Spread, holm
from bench.evaluation.metrics import cut_offs, main_cut_off
from bench.report.per_user import common_users, kept_columns, per_user, sample
from bench.report.row import Row
from bench.report.table import Table, tables
from bench.report.verdict import judged
from bench.runs.store import Store


@dataclass(frozen=True)
class Comparison:
    """Differences of two rows."""

    head: str
    notes: list[str]
    """How to read it, what is not compared, and what other data there are, a line each."""
    frame: pd.DataFrame
    """Columns group, n, metric, a, b, difference, low, high, p, p_holm, and family, which says what p_holm is adjusted
    for: all pairs of the ``table``, by which it ranks, or the other ``lines``. A row per group and metric."""

    def text(self) -> str:
        """The table for a terminal."""
        lines = [
            [
                plain(r["group"]),
                f"{r['n']:,}",
                r["metric"],
                f"{r['a']:.4f}",
                f"{r['b']:.4f}",
                f"{r['difference']:+.4f}",
                f"[{r['low']:+.4f}, {r['high']:+.4f}]" if r["n"] >= LEAST_USERS else "",
                "*" if r["p_holm"] < ERRORS else "",
            ]
            for r in self.frame.to_dict("records")
        ]
        heads = ["group", "n", "metric", "A", "B", "A − B", "95 % interval", ""]
        align = ["left", "right", "left", "right", "right", "right", "right", "left"]
        table = tabulate(lines, headers=heads, colalign=align, disable_numparse=True)
        return "\n\n".join([self.head, table, *(["\n".join(self.notes)] if self.notes else [])])


def compare(
    store: Store,
    a: str,
    b: str,
    dataset: str,
    k: int | None = None,
    protocol: str | None = None,
    split_seed: int | None = None,
    fingerprint: str | None = None,
) -> Comparison:
    """Compare the rows ``a`` and ``b`` of one table of ``store`` in all groups that both have.

    Parameters
    ----------
    k
        Cut-off of the metrics; by default 10, or the largest that both rows have.
    protocol, split_seed, fingerprint
        Which table, if there are several: by default that of the data set's own protocol, and of several versions of
        the data the newest. ``fingerprint`` may be its beginning.

    Raises
    ------
    ResultsError
        If there is no such table or row, more than one, or nothing that both rows were measured by.
    """
    found = find_tables(store, dataset, protocol, split_seed, fingerprint)
    table, others = found[0], found[1:]
    rows = (find_row(table, a, others), find_row(table, b, others))
    if rows[0] is rows[1]:
        raise ResultsError(f"{plain(a)} and {plain(b)} are one row: name two")
    for row in rows:
        if row.lacks:
            raise ResultsError(f"{row.name} lacks {row.lacks}, so that it cannot be compared: 'bench run' makes them")
    notes = [f"other data of the same name: --fingerprint {other.cell.fingerprint[:8]}" for other in others]
    cut = _cut_off(table, rows, k)
    wanted = [name for name in table.metrics if name.endswith(f"@{cut}")]
    unknown: dict[str, None] = {}
    records = []
    for group in table.groups:
        metrics = [metric for metric in wanted if all(row.has(group, metric) for row in rows)]
        if not metrics:
            owners = [letter for letter, row in zip("AB", rows, strict=True) if any(row.has(group, m) for m in wanted)]
            notes += [f"{plain(group)} is not compared: only {owner} was measured by it" for owner in owners]
            continue
        kept = kept_columns(store, rows, group)
        gone = [metric for metric in metrics if kept and f"{group}/{metric}" not in kept]
        unknown |= dict.fromkeys(gone)
        metrics = [metric for metric in metrics if metric not in gone]
        if not metrics:
            continue
        spread = table.seed_spread(group, metrics)
        pair = paired(store, *rows, [f"{group}/{metric}" for metric in metrics], spread)
        lines = _records(pair, group, metrics)
        if table.main_metrics[0] in metrics:
            lines[metrics.index(table.main_metrics[0])] |= _of_table(table, store, group, rows)
        records += lines
    if unknown:
        notes.append(f"{', '.join(unknown)} not compared: values per user are not among published records")
    runs = " and ".join(f"{len(row.results)} of {row.title}" for row in rows)
    frame = pd.DataFrame(records)
    if records:
        own = frame["family"] == "lines"
        frame.loc[own, "p_holm"] = holm(frame.loc[own, "p"].to_numpy(np.float64))
    head = f"A = {plain(a)}, B = {plain(b)} on {plain(dataset)} ({table.name}); runs: {runs}"
    return Comparison(head, [_meaning(table, frame), *_of_one_seed(table, rows), *notes], frame)


def _records(pair: Paired, group: str, metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Lines of a comparison, without what they are adjusted for."""
    interval, p_values = pair.difference.interval(), pair.difference.p_values()
    columns = (pair.a, pair.b, *interval, p_values)
    names = ("a", "b", "difference", "low", "high", "p")
    return [
        {"group": group, "n": pair.n, "metric": metric}
        | {name: column[i] for name, column in zip(names, columns, strict=True)}
        | {"p_holm": np.nan, "family": "lines"}
        for i, metric in enumerate(metrics)
    ]


def _of_table(table: Table, store: Store, group: str, rows: tuple[Row, Row]) -> dict[str, Any]:
    """What the table says of two of its rows, by its first main metric; empty where it says nothing."""
    found, names = judged(table, store, group), tuple(row.name for row in rows)
    a, b = (found.samples.get(name) for name in names)
    if a is None or b is None or a is b:
        return {}
    [record] = _records(Paired.of(found.n, a, b, found.spread), group, table.main_metrics[:1])
    [p_holm] = [pair.p for pair in found.pairs if {pair.a, pair.b} == set(names)]
    return record | {"p_holm": p_holm, "family": "table"}


def _meaning(table: Table, frame: pd.DataFrame) -> str:
    text = "95 % intervals over users and seeds, one by one; * differs, by Holm's rule"
    families = [] if frame.empty else list(frame["family"])
    if "table" not in families:
        return f"{text} over all lines"
    lines = families.count("lines")
    others = f"; of other metrics, over these {lines} lines" if lines else ""
    return f"{text}:\nof {table.main_metrics[0]} over all pairs of rows, as in the table{others}"


def _of_one_seed(table: Table, rows: Sequence[Row]) -> list[str]:
    names = " and ".join(row.title for row in rows if row.one_of_many_seeds)
    spread = table.seed_spread("all", table.main_metrics[:1])
    return [f"{names}: one seed, {spread} is assumed; --seeds 1-3 measures it"] if names else []


class Paired(NamedTuple):
    """Two rows over the users that both have."""

    n: int
    a: NDArray[np.float64]
    """(m,) means of the first row, one per column."""
    b: NDArray[np.float64]
    difference: Estimate
    """a − b; its errors are not numbers below :data:`LEAST_USERS` users."""

    @classmethod
    def of(cls, n: int, a: Sample, b: Sample, spread: Spread) -> Paired:
        """Of samples of the same ``n`` users, in a table whose rows tell this ``spread`` over seeds."""
        found = a.minus(b, spread)
        if n < LEAST_USERS:
            found = replace(found, users=np.full_like(found.users, np.nan))
        return cls(n, a.mean, b.mean, found)


def paired(store: Store, a: Row, b: Row, columns: Sequence[str], spread: Spread) -> Paired:
    """Differences of two rows in ``columns``, metrics of one group such as ``all/ndcg@10``.

    ``spread`` over seeds is what their table tells of these metrics.

    Raises
    ------
    ResultsError
        If the per-user values of a cell cannot be read.
    """
    values = [per_user(store, row, columns) for row in (a, b)]
    users = common_users(*values)
    first, second = (sample(row, found, users) for row, found in zip((a, b), values, strict=True))
    return Paired.of(len(users), first, second, spread)


def _cut_off(table: Table, rows: tuple[Row, Row], k: int | None) -> int:
    """``k``, or the best one, if both rows were measured at it."""
    cuts = [
        cut_offs(name for name in table.metrics if any(row.has(group, name) for group in table.groups)) for row in rows
    ]
    both = cuts[0] & cuts[1]
    if both and (k in both or k is None):
        return k or main_cut_off(both)
    told = [", ".join(map(str, sorted(own))) or "nothing" for own in cuts]
    way = f"--k {', --k '.join(map(str, sorted(both)))} can be compared" if both else "both have none in common"
    raise ResultsError(
        f"no metric at {k or 10} in both rows (A was measured at {told[0]}, B at {told[1]}): {way}; "
        f"'bench run --models … --k {k or 10}' measures both from their lists, without training"
    )


def find_tables(
    store: Store, dataset: str, protocol: str | None, split_seed: int | None, fingerprint: str | None
) -> list[Table]:
    """The tables that fit, newest first: all have the same rules, on data of one name that was changed."""
    known = cards()
    own = card(dataset) if dataset.endswith((".yaml", ".yml")) else known.get(dataset)
    dataset = own.name if own else dataset
    found = tables(store.results(dataset))
    if not found and own is None:
        raise UnknownName("data set", dataset, known, "'bench datasets list'")
    if not found:
        raise ResultsError(
            f"no results of '{dataset}' in {store.cells}: make some with 'bench run --dataset {dataset}'"
        )
    fitting = [
        table
        for table in found
        if protocol in (None, table.cell.protocol.name)
        and split_seed in (None, getattr(table.cell.protocol.split, "seed", None))
        and table.cell.fingerprint.startswith(fingerprint or "")
    ]
    if len({_rules(table) for table in fitting}) > 1:
        default = protocol or (own.protocol if own else "")
        meant = find_protocol(default, split_seed) if default.partition(":")[0] in PROTOCOLS else None
        fitting = [table for table in fitting if table.cell.protocol == meant]
    if not fitting:
        which = ", ".join(_said(table) for table in found)
        raise ResultsError(
            f"no table of '{dataset}' fits, or several do; there are {which}: "
            "give --protocol, --split-seed or --fingerprint"
        )
    return sorted(fitting, key=_newest, reverse=True)


def _rules(table: Table) -> str:
    return table.cell.protocol.model_dump_json()


def _said(table: Table) -> str:
    rule = table.cell.protocol
    return f"{rule.name} ({rule.split.describe()}, fingerprint {table.cell.fingerprint[:8]})"


def _newest(table: Table) -> str:
    return max(result.created for row in table.rows for result in (*row.results, *row.failures))


def find_row(table: Table, name: str, others: Sequence[Table]) -> Row:
    """The row of that name; ``others`` are tables of the same rules on other data.

    Raises
    ------
    BenchError
        If there is none, several fit, or it failed.
    """
    known = {row.name: row for row in table.rows if not row.failed}
    fitting = _fitting(table, name)
    if not fitting:
        for other in others:
            if _fitting(other, name):
                raise ResultsError(
                    f"'{name}' has not been run on the newest data of {table.dataset}: run it, or compare on other "
                    f"data with --fingerprint {other.cell.fingerprint[:8]}"
                )
        if any(row.failed and name in (row.name, row.model) for row in table.rows):
            raise ResultsError(f"'{name}' failed on {table.dataset}: 'bench leaderboard' says why; run it again")
        raise UnknownName(f"row of {table.dataset}", name, known, "'bench leaderboard'")
    if len(fitting) > 1:
        raise ResultsError(
            f"'{name}' could be {' or '.join(repr(row.name) for row in fitting)}: give one of these names"
        )
    return fitting[0]


def _fitting(table: Table, name: str) -> list[Row]:
    """The row that is called so, or the finished rows of that model and preset."""
    rows = [row for row in table.rows if not row.failed]
    model, _, preset = name.partition("@")
    meant = [row for row in rows if row.first.cell.model == model and not row.ablation]
    return (
        [row for row in rows if row.name == name]
        or [row for row in rows if row.model == name]
        or [row for row in meant if not preset or row.first.cell.preset == preset]
    )
