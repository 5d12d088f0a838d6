"""Which engine reads and orders interactions best? The same job by pandas, pyarrow with numpy, polars and DuckDB.

    pip install polars duckdb
    python benchmarks/engines.py [--millions 5]

The job: read a CSV of ratings with ids as text, number users and items by sorted id, order by user, time and row. Each
engine runs in a process of its own, three times in turn; median wall seconds and peak MiB go to
benchmarks/records/engines.json. The harness uses pyarrow with numpy (bench/data/sources/csv.py, bench/data/prepare.py).
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from prepare_speed import synthetic

RECORD = Path(__file__).parent / "records" / "engines.json"


def pandas(path: str) -> tuple[int, int]:
    import pandas as pd

    table = pd.read_csv(path, dtype={"userId": str, "movieId": str}, usecols=["userId", "movieId", "timestamp"])
    table["user"] = pd.factorize(table["userId"], sort=True)[0]
    table["item"] = pd.factorize(table["movieId"], sort=True)[0]
    table = table.sort_values(["user", "timestamp"], kind="stable")
    return len(table), int(table["item"].iloc[0])


def arrow(path: str) -> tuple[int, int]:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.csv as pc

    from bench.data.splits import by_user

    text = pa.dictionary(pa.int32(), pa.string())
    convert = pc.ConvertOptions(
        include_columns=["userId", "movieId", "timestamp"], column_types={"userId": text, "movieId": text}
    )
    table = pc.read_csv(path, convert_options=convert).to_pandas()
    numbers = []
    for column in ("userId", "movieId"):
        codes, ids = pd.factorize(table[column])
        rank = np.empty(len(ids), np.int64)
        rank[np.argsort(ids.to_numpy(object))] = np.arange(len(ids))
        numbers.append(rank[codes])
    order = by_user(numbers[0], table["timestamp"].to_numpy())
    return len(order), int(numbers[1][order[0]])


def polars(path: str) -> tuple[int, int]:
    import polars as pl

    text = {"userId": pl.String, "movieId": pl.String}
    table = pl.read_csv(path, columns=[*text, "timestamp"], schema_overrides=text)
    for column, name in (("userId", "user"), ("movieId", "item")):
        ids = table.select(pl.col(column).unique().sort()).with_row_index(name)
        table = table.join(ids, on=column, how="left", maintain_order="left")
    table = table.sort("user", "timestamp", maintain_order=True)
    return len(table), int(table["item"][0])


def duckdb(path: str) -> tuple[int, int]:
    import duckdb as db

    found = db.sql(f"""
        with rows as (
            select userId, movieId, timestamp, row_number() over () as row
            from read_csv('{path}', types={{'userId': 'VARCHAR', 'movieId': 'VARCHAR'}})
        ),
        users as (
            select userId, row_number() over (order by userId) - 1 as user from (select distinct userId from rows)
        ),
        items as (
            select movieId, row_number() over (order by movieId) - 1 as item from (select distinct movieId from rows)
        )
        select "user", item, timestamp from rows join users using (userId) join items using (movieId)
        order by "user", timestamp, row
    """).fetchnumpy()
    return len(found["item"]), int(found["item"][0])


ENGINES = {"pandas": pandas, "pyarrow + numpy": arrow, "polars": polars, "DuckDB": duckdb}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--millions", type=float, default=5)
    parser.add_argument("--run", nargs=2)
    options = parser.parse_args()
    if options.run:
        start = time.perf_counter()
        answer = ENGINES[options.run[0]](options.run[1])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": time.perf_counter() - start, "peak_mib": peak, "answer": answer}))
        return
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in ENGINES}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "ratings.csv"
        synthetic(path, int(options.millions * 1e6))
        for _ in range(3):
            for name in ENGINES:
                command = [sys.executable, __file__, "--run", name, str(path)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                runs[name].append(json.loads(done.stdout.splitlines()[-1]))
    answers = {json.dumps(run["answer"]) for found in runs.values() for run in found}
    if len(answers) != 1:
        raise SystemExit(f"the engines disagree: {answers}")
    record = {
        name: {key: round(statistics.median(run[key] for run in found), 2) for key in ("seconds", "peak_mib")}
        for name, found in runs.items()
    }
    for name, cost in record.items():
        print(f"{name:18} {cost['seconds']:7.2f} s {cost['peak_mib']:8,.0f} MiB")
    RECORD.write_text(json.dumps({"millions": options.millions, **record}, indent=2) + "\n")


if __name__ == "__main__":
    main()
