"""Processor seconds of ``bench leaderboard`` in a results folder of 10,000 cells.

    python benchmarks/many_cells.py [--cells 10000] [--keep FOLDER]

The cells are the published ones again and again, under other seeds, configs and data: their results are as large, and
their values per user are the same files. Ten tables of a hundred rows, ten seeds each. Timed are, each in a process of
its own: the first call, a second one, and one after a cell of a new table has come; what one of an old table costs is
a tenth of the first call. Writes ``benchmarks/records/many_cells.json``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.files import content_hash, write_json
from bench.messages.cell import Cell, Result
from bench.runs import environment
from bench.runs.store import Store

PUBLISHED = Path(__file__).parent.parent / "results" / "published"
RECORD = Path(__file__).parent / "records" / "many_cells.json"
TABLES = 10
SEEDS = 10


def make(root: Path, wanted: int) -> None:
    """Fill the results folder ``root``."""
    source, target = Store(PUBLISHED), Store(root)
    found = [result for result in source.results() if result.cell.dataset == "ml-100k"]
    for number in range(wanted):
        row, seed = divmod(number // TABLES, SEEDS)
        copy = made_up(found[row % len(found)], number % TABLES, row, seed + 1)
        folder = target.cells / copy.cell_id
        folder.mkdir(parents=True)
        target.write(copy)
        per_user = source.path(found[row % len(found)].cell_id) / "per_user.parquet"
        with contextlib.suppress(FileExistsError):
            (folder / "per_user.parquet").symlink_to(per_user)


def made_up(result: Result, table: int, row: int, seed: int) -> Result:
    """The result as that of another data set, config and seed."""
    change = {
        "dataset": f"{result.cell.dataset}-{table}",
        "fingerprint": content_hash([result.cell.fingerprint, table]),
        "config": {**result.cell.config, "row": row},
        "deterministic": False,
        "seed": seed,
    }
    cell = Cell.model_validate({**result.cell.model_dump(), **change})
    return result.model_copy(update={"cell": cell, "cell_id": cell.id})


def timed(root: Path) -> float:
    """Processor seconds of the command, its start included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "bench", "leaderboard", "--results", str(root)], check=True, stdout=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2)


def measure(root: Path, cells: int) -> dict[str, Any]:
    make(root, cells)
    first, again = timed(root), timed(root)
    make_one_more = next(iter(Store(PUBLISHED).results()))
    Store(root).write(made_up(make_one_more, 0, 0, SEEDS + 1))
    return {"cells": cells, "first": first, "again": again, "after a cell of a new table": timed(root)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="An empty folder for the cells.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = measure(options.keep or Path(scratch) / "results", options.cells)
    write_json(RECORD, {"processor seconds": found, "hardware": environment.hardware()})
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
