"""How fast raw files become a prepared split: ours beside plain pandas and RecBole's data set loading, in one run.

    python benchmarks/prepare_speed.py --raw-dir DIR [--sizes 1,5,20]
    BENCH_MAX_RAW_GIB=8 python benchmarks/prepare_speed.py --only-synthetic --sizes 100

Beauty (read, 5-core, split, written) by all three; synthetic ratings in the shape of ML-20M by ours, at several sizes.
Each measurement is a process of its own; memory is its peak resident set. Writes benchmarks/records/prepare_speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RECORD = Path(__file__).parent / "records" / "prepare_speed.json"


def ours(card_file: str, raw_dir: str) -> None:
    from bench.data.catalog import card
    from bench.data.prepare import prepare
    from bench.data.protocol import protocol
    from bench.data.split import split

    found = card(card_file)
    split(prepare(found, Path(raw_dir)), protocol("random"))


def pandas(raw_dir: str) -> None:
    """What one writes in a notebook: read_json, loops of groupby for the k-core, a split by sampled groups."""
    import ast
    import gzip

    import pandas as pd

    folder = Path(raw_dir)
    table = pd.read_json(folder / "reviews_Beauty_5.json.gz", lines=True)
    with gzip.open(folder / "meta_Beauty.json.gz", "rt") as file:
        items = pd.DataFrame([ast.literal_eval(line) for line in file])
    while True:
        before = len(table)
        table = table[table.groupby("reviewerID")["asin"].transform("size") >= 5]
        table = table[table.groupby("asin")["reviewerID"].transform("size") >= 5]
        if len(table) == before:
            break
    table = table.sample(frac=1, random_state=0)
    rank = table.groupby("reviewerID").cumcount()
    size = table.groupby("reviewerID")["asin"].transform("size")
    tenth = (size // 10).clip(lower=1)
    with tempfile.TemporaryDirectory() as out:
        table[rank >= 2 * tenth].to_parquet(f"{out}/train.parquet")
        table[(rank >= tenth) & (rank < 2 * tenth)].to_parquet(f"{out}/valid.parquet")
        table[rank < tenth].to_parquet(f"{out}/test.parquet")
        items.to_parquet(f"{out}/items.parquet")


def recbole(raw_dir: str) -> None:
    """RecBole reads its own atomic files, so the conversion is not counted; it does not write the split either."""
    from bench_recbole.compat import patch
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation

    patch()
    sys.argv = sys.argv[:1]
    config = Config(
        model="BPR",
        dataset="beauty",
        config_dict={
            "data_path": raw_dir,
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            "user_inter_num_interval": "[5,inf)",
            "item_inter_num_interval": "[5,inf)",
            "eval_args": {"split": {"RS": [8, 1, 1]}, "order": "RO", "group_by": "user", "mode": "full"},
            "state": "ERROR",
        },
    )
    data_preparation(config, create_dataset(config))


def atomic(raw_dir: Path, folder: Path) -> None:
    """Beauty as RecBole's atomic file."""
    import gzip

    (folder / "beauty").mkdir()
    with (
        gzip.open(raw_dir / "reviews_Beauty_5.json.gz", "rt") as file,
        (folder / "beauty/beauty.inter").open("w") as out,
    ):
        out.write("user_id:token\titem_id:token\ttimestamp:float\n")
        for line in file:
            row = json.loads(line)
            out.write(f"{row['reviewerID']}\t{row['asin']}\t{row['unixReviewTime']}\n")


def synthetic(path: Path, n: int) -> None:
    """N ratings in the shape of ML-20M: 138,493 users and 26,744 items per 20 million, long-tailed, unique pairs."""
    import pandas as pd

    rng = np.random.default_rng(0)
    n_users, n_items = int(138_493 * n / 20e6), 26_744
    activity = rng.lognormal(4.2, 1.2, n_users)
    users = rng.choice(n_users, int(n * 1.25), p=activity / activity.sum())
    popularity = 1 / np.arange(10, n_items + 10) ** 0.9
    items = rng.choice(n_items, len(users), p=popularity / popularity.sum())
    keys = np.unique(users.astype(np.int64) * n_items + items)
    keys = rng.permutation(keys)[:n]
    table = pd.DataFrame(
        {
            "userId": keys // n_items + 1,
            "movieId": keys % n_items + 1,
            "rating": rng.integers(1, 11, len(keys)) / 2,
            "timestamp": rng.integers(789_652_009, 1_427_784_002, len(keys)),
        }
    )
    table.to_csv(path, index=False)


CARD = """\
synthetic-{n}:
  title: Ratings in the shape of ML-20M
  sources:
    - reader: table
      files: {{interactions: {{name: {path}}}}}
      options: {{columns: {{user: userId, item: movieId, rating: rating, time: timestamp}}}}
  filters: {{k_core: 5}}
"""


def measured(task: str, *arguments: str) -> dict[str, float]:
    """Wall seconds and peak MiB of ``python prepare_speed.py --task …``."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "BENCH_CACHE_DIR": cache}
        command = [sys.executable, __file__, "--task", task, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--raw-dir", type=Path, default=os.environ.get("BENCH_RAW_DIR"))
    parser.add_argument("--sizes", default="1,5,20", help="millions of synthetic interactions")
    parser.add_argument("--only-synthetic", action="store_true", help="keep the rest of the record")
    parser.add_argument("--task", nargs="+")
    options = parser.parse_args()
    if options.task:
        start = time.perf_counter()
        {"ours": ours, "pandas": pandas, "recbole": recbole}[options.task[0]](*options.task[1:])
        # Not ru_maxrss, which a process has from the one that started it.
        peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
        print(json.dumps({"seconds": round(time.perf_counter() - start, 2), "peak_mib": round(peak)}))
        return
    record: dict[str, dict[str, float]] = json.loads(RECORD.read_text()) if options.only_synthetic else {}
    with tempfile.TemporaryDirectory() as scratch:
        if not options.only_synthetic:
            found = next(path.parent for path in sorted(options.raw_dir.rglob("reviews_Beauty_5.json.gz")))
            atomic(found, Path(scratch))
            record["beauty, ours"] = measured("ours", "beauty", str(found))
            record["beauty, plain pandas"] = measured("pandas", str(found))
            record["beauty, RecBole (no conversion, no writing)"] = measured("recbole", scratch)
        for millions in options.sizes.split(","):
            n = int(float(millions) * 1e6)
            path, card = Path(scratch) / "ratings.csv", Path(scratch) / "card.yaml"
            synthetic(path, n)
            card.write_text(CARD.format(n=n, path=path))
            record[f"{millions} M synthetic, ours"] = measured("ours", str(card), scratch)
            path.unlink()
    for name, cost in record.items():
        print(f"{name:45} {cost['seconds']:8.2f} s {cost['peak_mib']:8,.0f} MiB")
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
