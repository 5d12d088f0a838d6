"""Is a row what it was? Its numbers, and those of the same row run again."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from tabulate import tabulate

from bench.errors import ResultsError, plain
from bench.messages.cell import Result
from bench.report.leaderboard import WIDTH
from bench.report.per_user import common_users, kept_columns, per_user, sample
from bench.report.row import Row
from bench.report.table import Table
from bench.runs.again import what_differs
from bench.runs.store import Store

EQUAL, WITHIN, DIFFERENT = "equal", "within", "different"


@dataclass(frozen=True)
class Verification:
    """A row, and the same row run again."""

    row: Row
    frame: pd.DataFrame
    """Columns group, n, metric, stored, again, half_width (half of the stored row's 95 % interval), state; one row per
    group and metric."""
    differences: list[str]
    """What differs beside the numbers, a line each."""

    @property
    def state(self) -> str:
        """The worst of all numbers: ``equal`` to four digits, ``within`` the stored interval, or ``different``."""
        found = set(self.frame["state"])
        return next(state for state in (DIFFERENT, WITHIN, EQUAL) if state in found)

    def text(self) -> str:
        """For a terminal: the main metrics of all users, and of groups where they differ; the verdict; what differs."""
        main = self.frame[self.frame["metric"].isin(Table([self.row]).main_metrics)]
        shown = main[(main["group"] == "all") | (main["state"] != EQUAL)]
        lines = [
            [
                plain(r["group"]),
                f"{r['n']:,}",
                r["metric"],
                _four(r["stored"]),
                _four(r["again"]),
                f"{r['again'] - r['stored']:+.4f}",
                f"±{_four(r['half_width'])}",
                r["state"],
            ]
            for r in shown.to_dict("records")
        ]
        heads = ["group", "n", "metric", "stored", "again", "difference", "stored 95 %", ""]
        align = ["left", "right", "left", "right", "right", "right", "right", "left"]
        table = tabulate(lines, headers=heads, colalign=align, disable_numparse=True)
        differs = self.differences or ["nothing: code, config, packages, data and machine are the same"]
        wrapped = [textwrap.fill(line, WIDTH, initial_indent="  ", subsequent_indent="    ") for line in differs]
        return "\n".join([table, "", self._verdict(), "", "What differs beside the numbers:", *wrapped])

    def _verdict(self) -> str:
        counts, total = self.frame["state"].value_counts(), len(self.frame)
        what = {
            EQUAL: f"equal to the digit, all {total} numbers",
            WITHIN: f"within its interval; {counts.get(EQUAL, 0)} of {total} numbers are equal to the digit",
            DIFFERENT: f"different; {counts.get(DIFFERENT, 0)} of {total} numbers lie outside their intervals",
        }
        return f"{self.row.name}: {what[self.state]}"


def verify(row: Row, store: Store, again: Sequence[Result]) -> Verification:
    """Compare a stored row with its cells run again, in all numbers of which the store has values per user.

    Raises
    ------
    ResultsError
        If a cell failed this time, or there is no number that both have.
    """
    if failed := next((result for result in again if result.status == "failed"), None):
        raise ResultsError(f"{plain(failed.cell.label)} failed when it was run again: {failed.reason}")
    rerun = Row(list(again), [])
    pairs = _pairs(row, again)
    records = []
    for group in row.first.groups:
        same = all(a.groups[group].members == b.groups[group].members for a, b in pairs if group in b.groups)
        names = [m for m in row.first.groups[group].metrics if row.has(group, m) and rerun.has(group, m)]
        kept = kept_columns(store, [row], group) if names else set()
        columns = [f"{group}/{metric}" for metric in names if f"{group}/{metric}" in kept]
        if not columns or not same:
            continue
        values = per_user(store, row, columns)
        widths = sample(row, values, common_users(values)).estimate.half_width()
        for column, width in zip(columns, widths, strict=True):
            metric = column.rpartition("/")[2]
            old, new = row.mean(group, metric), rerun.mean(group, metric)
            state = EQUAL if _four(old) == _four(new) else WITHIN if abs(new - old) <= width else DIFFERENT
            n = row.first.groups[group].n
            records.append((group, n, metric, old, new, float(width), state))
    if not records:
        raise ResultsError(f"{row.name} has no values per user of what is measured now: 'bench run' measures it again")
    frame = pd.DataFrame(records, columns=["group", "n", "metric", "stored", "again", "half_width", "state"])
    differences = dict.fromkeys(line for a, b in pairs for line in what_differs(a, b))
    return Verification(row, frame, list(differences))


def _pairs(row: Row, again: Sequence[Result]) -> list[tuple[Result, Result]]:
    """The stored result and the new one, for each fold and seed."""
    now = {(result.cell.fold, result.cell.seed): result for result in again}
    return [(result, now[result.cell.fold, result.cell.seed]) for result in row.results]


def _four(value: float) -> str:
    return f"{value:.4f}".removeprefix("0")
