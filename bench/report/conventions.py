"""One row under the conventions of several tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.errors import ResultsError, plain
from bench.evaluation.conventions import CONVENTIONS, GAIN, OURS, Convention, means
from bench.report.leaderboard import pipe
from bench.report.numbers import number
from bench.report.row import Row
from bench.runs.evaluate import read_lists, read_scores, test_users
from bench.runs.store import Store
from bench.runs.task import Task


@dataclass(frozen=True)
class Scores:
    """Means over the runs of a row."""

    row: str
    task: Task
    users: int
    """Users with a test item, of the first fold."""
    values: Mapping[Convention, Mapping[str, float]]
    """By ``metric@k``."""

    def text(self) -> str:
        """The numbers, and below them the conventions."""
        head = f"{plain(self.row)} on {self.task.card.name}, protocol {self.task.protocol.name} "
        head += f"({self.task.fingerprint[:8]}), {self.users:,} users with a test item"
        ours = self.values[OURS]
        lines = [
            [name, *(_marked(values[name], ours[name]) for values in self.values.values())] for name in ours
        ]  # fmt: skip
        numbers = pipe(lines, ["", *(one.tool for one in self.values)], text_columns=1)
        rules = [
            [one.tool, one.map_divisor, one.mrr_within, one.users, one.ties, one.duplicates] for one in self.values
        ]
        heads = ["", "MAP over", "MRR within", "users", "ties", "duplicates"]
        marks = "\n\n≠ marks numbers that are not ours." if len(self.values) > 1 else ""
        return f"{head}\n\n{numbers}{marks}\n\n{pipe(rules, heads, text_columns=6)}\n\ngain: {GAIN}"


def _marked(value: float, ours: float) -> str:
    return ("" if np.isclose(value, ours, rtol=0, atol=1e-9) else "≠ ") + number(value)


def scores(row: Row, task: Task, store: Store, ks: Sequence[int], every: bool) -> Scores:
    """Measure the stored lists of a row by our convention, or by ``every`` one.

    Raises
    ------
    ResultsError
        If the lists are damaged or those of another split, or shorter than each of ``ks``.
    """
    ids = task.dataset.item_texts()["id"].map(str.encode).to_numpy(object)
    order = np.empty(len(ids), np.int64)
    order[np.argsort(ids, kind="stable")] = np.arange(len(ids))
    reached = row.first.cell.reached(ks)
    if not reached:
        raise ResultsError(f"the lists of {row.name} have {row.first.cell.list_length} items: give a smaller --k")
    found = {}
    for convention in CONVENTIONS if every else (OURS,):
        runs = []
        for result in row.results:
            folder = store.path(result.cell_id)
            split = task.folds[result.cell.fold].split
            users, items = read_lists(folder / "lists.parquet")
            values = read_scores(folder / "lists.parquet")
            if not np.array_equal(users, test_users(split)):
                raise ResultsError(f"{folder} has lists for other users than the split: remove it")
            runs.append(means(convention, items, values, split.hidden.test.select(users), order, reached))
        found[convention] = {name: float(np.mean([run[name] for run in runs])) for name in runs[0]}
    first = next(iter(task.folds.values())).split
    return Scores(row.name, task, len(test_users(first)), found)
