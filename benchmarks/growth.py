"""Seconds and memory of an epoch against the number of interactions, 0.1 to 20 million, on made-up data.

    python benchmarks/growth.py [--models mf gcn sasrec-fast hstu] [--millions 0.1 1 5 20] [--steps 200]
                                [--batch-size N]

Users have 10 interactions each on average (geometric), items are drawn from a Zipf law over a tenth as many items as
users, and times rise. Each size and model runs in a process of its own, one thread: everything that ``fit`` does before
training, then an epoch. Where an epoch has more than ``--steps`` steps, so many are timed and scaled up, and the record
says so. ``--batch-size`` is that of the model's config: a step moves all vectors, so that a large catalogue wants large
batches. Each is added to benchmarks/records/growth.json when it is over, in place of an older one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench import Interactions
from bench.files import write_json
from bench.plugins import load_model
from bench.testing import LocalContext, MemorySplit, interactions_from

RECORD = Path(__file__).parent / "records" / "growth.json"
PER_USER = 10


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="+", default=["mf", "gcn", "sasrec-fast", "hstu"])
    parser.add_argument("--millions", nargs="+", type=float, default=[0.1, 1, 5, 20])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch-size", type=int, help="instead of the model's own")
    parser.add_argument("--one", nargs=2, metavar=("MODEL", "MILLIONS"), help="what each process does")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one[0], float(options.one[1]), options.steps, options.batch_size)))
        return
    for model in options.models:
        for millions in options.millions:
            command = [sys.executable, __file__, "--one", model, str(millions), "--steps", str(options.steps)]
            command += ["--batch-size", str(options.batch_size)] if options.batch_size else []
            done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr)
            found = json.loads(done.stdout.splitlines()[-1])
            print(found, flush=True)
            keep(found)


def keep(found: dict[str, Any]) -> None:
    """Put a row into the record."""
    rows = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else []
    key = ("model", "interactions", "batch size")
    others = [row for row in rows if any(row[part] != found[part] for part in key)]
    write_json(RECORD, sorted([*others, found], key=lambda row: [row[part] for part in key]))


def made_up(millions: float) -> Interactions:
    """Rows without repetitions, (n_users, n_items) = (n / 10, n / 100)."""
    rng = np.random.default_rng(0)
    n_users = int(millions * 1e6 / PER_USER)
    n_items = max(1000, n_users // 10)
    lengths = 2 + rng.geometric(1 / (PER_USER - 1), n_users)
    users = np.repeat(np.arange(n_users), lengths)
    items = np.minimum((n_items + 1) ** rng.random(len(users)) - 1, n_items - 1).astype(np.int64)  # 1 / rank
    keys, first = np.unique(users * n_items + items, return_index=True)
    order = np.lexsort((first, keys // n_items))
    users, items = np.divmod(keys[order], n_items)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(users, minlength=n_users))]).astype(np.int64)
    return Interactions(indptr, items.astype(np.int32), 10**9 + first[order], n_items)


class Enough(Exception):
    """So many steps are over."""


class Timed(LocalContext):
    """Counts steps, and ends training behind the last one that is to be timed."""

    def __init__(self, *arguments: Any, steps: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._steps, self.done, self.total, self.began, self.ended = steps, 0, 0, 0.0, 0.0

    def progress(self, done: int, total: int | None, unit: str) -> None:
        if unit != "step" or total is None:
            return
        self.done, self.total, self.ended = done, total, time.process_time()
        if done == 1:
            self.began = self.ended
        if done > self._steps:
            raise Enough


def measure(name: str, millions: float, steps: int, batch_size: int | None = None) -> dict[str, Any]:
    """Of one model on data of one size."""
    train = made_up(millions)
    data = MemorySplit.__new__(MemorySplit)  # without its made-up titles of every item
    data._parts = {"train": train, "valid": interactions_from([[]] * train.n_users, train.n_items)}
    model_class: Any = load_model(name)
    options = {} if batch_size is None else {"batch_size": batch_size}
    model = model_class(model_class.Config(epochs=1, **options))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        context = Timed(model, data, Path(folder), steps=steps)
        began = time.process_time()
        with contextlib.suppress(Enough):
            model.fit(train, data.valid, context)
    timed = max(1, context.done - 1)
    return {
        "model": name,
        "interactions": len(train),
        "users": train.n_users,
        "items": train.n_items,
        "batch size": model.config.batch_size,
        "seconds before training": round(context.began - began, 2),
        "steps": context.total,
        "steps timed": timed,
        "seconds an epoch": round((context.ended - context.began) / timed * context.total, 1),
        "data MiB": round(before / 1024),
        "peak MiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


if __name__ == "__main__":
    main()
