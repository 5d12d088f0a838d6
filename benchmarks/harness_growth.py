"""How seconds and memory of the harness grow: prepare, evaluate, rank, leaderboard and estimate, four sizes each.

    python benchmarks/harness_growth.py [--only rank evaluate]

Made-up ratings in the shape of ML-20M (:mod:`prepare_speed`) are prepared and split; random lists of them are measured
with all metrics and groups; users are ranked over 10,000 and over a million items by products of vectors; folders of
made-up cells (:mod:`many_cells`), a table of a hundred rows and ten seeds for each thousand, get their leaderboards and
are what ``bench estimate`` learns from. Each measurement is a process of its own, one thread, start included.
``exponent`` is that of the last step, from the second largest size to the largest: 1 is linear. Writes
``benchmarks/records/harness_growth.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RECORD = Path(__file__).parent / "records" / "harness_growth.json"
SIZES = {
    "prepare": ("interactions", [500_000, 1_500_000, 4_500_000, 13_500_000]),
    "evaluate": ("interactions", [500_000, 1_500_000, 4_500_000, 13_500_000]),
    "rank": ("users", [25_000, 75_000, 225_000, 675_000]),
    "rank, a million items": ("users", [1_000, 2_000, 4_000, 8_000]),
    "leaderboard, first": ("cells", [1000, 2000, 4000, 8000]),
    "leaderboard, again": ("cells", [1000, 2000, 4000, 8000]),
    "estimate": ("cells", [1000, 2000, 4000, 8000]),
}
ITEMS, MANY_ITEMS, FACTORS, K = 10_000, 1_000_000, 64, 20


def prepare(folder: Path, n: int) -> None:
    """Read, filter, split and write."""
    from bench.data.catalog import card
    from bench.data.prepare import prepare as prepare_data
    from bench.data.protocol import protocol
    from bench.data.split import split

    split(prepare_data(card(str(folder / f"{n}.yaml"))), protocol("random"))


def evaluate(folder: Path, n: int) -> None:
    """Check, keep and measure lists of 100 of all test users."""
    from bench.interactions import Recommendations, save_array
    from bench.messages.spec import RunSpec
    from bench.runs import evaluate as evaluation
    from bench.runs.task import make_task

    fold = make_task(RunSpec(models=["pop"], dataset=str(folder / f"{n}.yaml"), protocol="random")).folds[None]
    users, train = evaluation.test_users(fold.split), fold.split.visible.train
    rng = np.random.default_rng(0)
    start, step = rng.integers(0, train.n_items, len(users)), rng.integers(1, train.n_items // 100, len(users))
    items = ((start[:, None] + np.arange(100) * step[:, None]) % train.n_items).astype(np.int32)
    scores = np.tile(-np.arange(100, dtype=np.float32), (len(users), 1))
    with tempfile.TemporaryDirectory() as out:
        save_array(Path(out) / "items.npy", items)
        save_array(Path(out) / "scores.npy", scores)
        lists, _ = evaluation.check(Path(out), users, train.select(users), 100)
        assert isinstance(lists, Recommendations)
        evaluation.keep_lists(Path(out) / "lists.parquet", users, lists)
        evaluation.measure(Path(out), fold.split, fold.groups, [5, 10, 20])
        evaluation.beyond_accuracy(Path(out), fold.split, [5, 10, 20])


def rank(n: int, n_items: int) -> None:
    """Lists of ``n`` users."""
    from bench.interactions import Interactions
    from bench.topk import rank as rank_users

    rng = np.random.default_rng(0)
    users, items = (rng.standard_normal((size, FACTORS), np.float32) for size in (n, n_items))
    seen = np.sort(rng.integers(0, n_items // 5, (n, 5)) + np.arange(5) * (n_items // 5)).astype(np.int32).reshape(-1)
    exclude = Interactions(np.arange(0, 5 * n + 1, 5), seen, np.zeros(len(seen), np.int64), n_items)
    rank_users(lambda rows: users[rows] @ items.T, exclude, K)


def command(*words: str) -> Callable[[Path, int], None]:
    """A command on the folder of so many cells."""

    def call(folder: Path, n: int) -> None:
        from bench.cli import main as bench

        try:
            bench([*words, "--results", str(folder / f"cells-{n}")])
        except SystemExit as ended:
            if ended.code:
                raise RuntimeError(f"{' '.join(words)} ended with {ended.code}") from ended

    return call


TASKS: dict[str, Callable[[Path, int], None]] = {
    "prepare": prepare,
    "evaluate": evaluate,
    "rank": lambda _, n: rank(n, ITEMS),
    "rank, a million items": lambda _, n: rank(n, MANY_ITEMS),
    "leaderboard, first": command("leaderboard"),
    "leaderboard, again": command("leaderboard"),
    "estimate": command("estimate", "--models", "pop,ease,itemknn,mf", "--dataset", "synthetic"),
}


def make(folder: Path, task: str, n: int) -> None:
    """What the task needs, if it is not there yet."""
    if SIZES[task][0] == "interactions" and not (folder / f"{n}.yaml").exists():
        import prepare_speed

        prepare_speed.synthetic(folder / f"{n}.csv", n)
        (folder / f"{n}.yaml").write_text(prepare_speed.CARD.format(n=n, path=folder / f"{n}.csv"))
    if SIZES[task][0] == "cells" and not (folder / f"cells-{n}").exists():
        import many_cells

        many_cells.TABLES = n // 1000
        many_cells.make(folder / f"cells-{n}", n)


def measured(folder: Path, task: str, n: int) -> dict[str, float]:
    """Processor seconds and peak MiB of a process that does the task."""
    variables = {**os.environ, "BENCH_CACHE_DIR": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, __file__, "--task", task, "--folder", str(folder), "--size", str(n)]
    done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    choice = parser.parse_args()
    if choice.task:
        TASKS[choice.task](choice.folder, choice.size)
        used = resource.getrusage(resource.RUSAGE_SELF)
        # Not ru_maxrss, which a process has from the one that started it.
        peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
        print(json.dumps({"seconds": used.ru_utime + used.ru_stime, "peak_mib": peak}))
        return
    from bench.runs import environment

    record: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    with tempfile.TemporaryDirectory(prefix="growth-") as name:
        folder = Path(name)
        for task in choice.only:
            unit, sizes = SIZES[task]
            rows = []
            for n in sizes:
                make(folder, task, n)
                found = measured(folder, task, n)
                rows.append({unit: n, "seconds": round(found["seconds"], 2), "peak_mib": round(found["peak_mib"])})
                print(task, rows[-1], flush=True)
            before, last = rows[-2:]
            exponent = math.log(last["seconds"] / before["seconds"]) / math.log(last[unit] / before[unit])
            record[task] = {"exponent": round(exponent, 2), "sizes": rows}
    record["hardware"] = environment.hardware()
    RECORD.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps({task: record[task]["exponent"] for task in choice.only}, indent=2))


if __name__ == "__main__":
    main()
