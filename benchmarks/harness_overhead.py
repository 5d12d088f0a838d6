"""What the harness itself costs: answering ``bench --help``, and everything around a ``pop`` cell on ml-100k.

    python benchmarks/harness_overhead.py

The share of a cell is the wall time of running it in a parent that has its data prepared (spawn, confine,
import, load, evaluate, write) less what the model itself takes to fit and recommend. Targets: 0.1 s and 0.45 s.
Needs recbole or BENCH_RAW_DIR for ml-100k. Writes ``benchmarks/records/harness_overhead.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.messages.spec import RunSpec
from bench.runs import environment
from bench.runs.execute import run_cells
from bench.runs.plan import make_plan
from bench.runs.store import Store

RECORD = Path(__file__).parent / "records" / "harness_overhead.json"


def help_seconds() -> float:
    """Wall time of ``bench --help``."""
    start = time.perf_counter()
    subprocess.run([Path(sys.executable).parent / "bench", "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def cell_seconds(folder: Path) -> tuple[float, float]:
    """Wall time of one ``pop`` cell in a new results folder, and the model's own part of it."""
    planned = make_plan(RunSpec(models=["pop"], dataset="ml-100k"))
    start = time.perf_counter()
    [result] = run_cells(planned, Store(folder), lambda cell, event: None)
    wall = time.perf_counter() - start
    assert result.status == "finished", result.reason
    return wall, result.phases["fit"].seconds + result.phases["recommend"].seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = range(parser.parse_args().rounds)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BENCH_CACHE_DIR"] = f"{folder}/cache"
        cell_seconds(Path(folder, "first"))  # prepares the data
        cells = [cell_seconds(Path(folder, str(i))) for i in rounds]
    shares = [wall - own for wall, own in cells]
    helps = [help_seconds() for _ in rounds]
    record = {
        "help_median_seconds": round(statistics.median(helps), 3),
        "target_help_seconds": 0.1,
        "pop_cell_overhead_median_seconds": round(statistics.median(shares), 3),
        "pop_cell_wall_median_seconds": round(statistics.median(wall for wall, _ in cells), 3),
        "target_pop_cell_overhead_seconds": 0.45,
        "all_help_seconds": [round(value, 3) for value in helps],
        "all_pop_cell_overhead_seconds": [round(value, 3) for value in shares],
        "hardware": environment.hardware(),
        "git_revision": environment.git_revision(),
    }
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({key: record[key] for key in list(record)[:5]}, indent=2))


if __name__ == "__main__":
    main()
