"""Do two versions of this project give the same numbers? Compare two results folders, cell by cell.

    python benchmarks/same_numbers.py BEFORE AFTER

Both hold the cells of ``bench run --models pop,itemknn,ease,bpr,gpt2rec-ids,lightgcn,colarec --threads 1 --dataset …``
for ml-100k, beauty and colarec-phone. Cells are matched by data set, model, preset and seed. Written down for each:
whether all lists are identical, NDCG@10 of all and of long-tail users on both sides, and the paired 95 % interval of
the difference.
Writes ``benchmarks/records/same_numbers.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from bench.evaluation.intervals import over_users
from bench.runs import environment

RECORD = Path(__file__).parent / "records" / "same_numbers.json"
GROUPS = ("all", "long tail")


def cells(folder: Path) -> dict[tuple[str, str, str, int], Path]:
    """Folders of finished cells by data set, model, preset and seed; any version of ``result.json`` will do."""
    found = {}
    for path in folder.glob("cells/*/result.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        if result["status"] == "finished":
            cell = result["cell"]
            found[cell["dataset"], cell["model"], cell["preset"], cell["seed"]] = path.parent
    return found


def lists(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Users (n,) and items (n, k)."""
    table = pq.read_table(folder / "lists.parquet")
    users = table["user"].to_numpy()
    return users, table["item"].combine_chunks().flatten().to_numpy().reshape(len(users), -1)


def compare(before: Path, after: Path) -> dict[str, Any]:
    """One cell on both sides."""
    (users, first), (others, second) = lists(before), lists(after)
    same_users = np.array_equal(users, others)
    width = min(first.shape[1], second.shape[1])
    equal = (first[:, :width] == second[:, :width]).all(axis=1) if same_users else np.zeros(1, bool)
    found: dict[str, Any] = {"same_users": same_users, "users_with_identical_lists": round(float(equal.mean()), 6)}
    frames = [pd.read_parquet(folder / "per_user.parquet").set_index("user") for folder in (before, after)]
    for group in GROUPS:
        one, other = (frame[f"{group}/ndcg@10"].dropna() for frame in frames)
        both = one.index.intersection(other.index)
        interval = over_users((other[both] - one[both]).to_numpy(float)[:, None])
        found[group] = {
            "before": round(float(one.mean()), 5),
            "after": round(float(other.mean()), 5),
            "difference": round(float(interval.mean[0]), 5),
            "interval": [round(float(interval.low[0]), 5), round(float(interval.high[0]), 5)],
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    named = parser.parse_args()
    before, after = cells(named.before), cells(named.after)
    rows = {" ".join(map(str, key)): compare(before[key], after[key]) for key in sorted(before.keys() & after.keys())}
    record = {
        "cells": rows,
        "only_before": [" ".join(map(str, key)) for key in sorted(before.keys() - after.keys())],
        "hardware": environment.hardware(),
        "git_revision": environment.git_revision(),
    }
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for name, row in rows.items():
        told = ", ".join(f"{group} {row[group]['before']:.4f} → {row[group]['after']:.4f}" for group in GROUPS)
        print(f"{name:40} identical lists {row['users_with_identical_lists']:.2%}; {told}")
    for name in record["only_before"]:
        print(f"{name:40} missing after")


if __name__ == "__main__":
    main()
