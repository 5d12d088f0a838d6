"""``mf`` against RecBole's ``bpr`` and ``gcn`` against its ``lightgcn``: quality, and processor seconds of ``fit``.

    python benchmarks/baseline_speed.py [--results DIR]

Defaults and seed 1 of both, under the protocols of the data sets' cards, one thread, in turn. Runs are those
of ``bench run``, so that what the folder of results holds already is not made again. Writes
benchmarks/records/baseline_speed.json. The raw files are those of BENCH_RAW_DIR.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from bench.api import run
from bench.files import write_json
from bench.runs.store import Store

RECORD = Path(__file__).parent / "records" / "baseline_speed.json"
PAIRS = {
    ("mf", "bpr"): ["recipe-slice", "ml-100k", "colarec-phone", "beauty", "sports"],
    ("gcn", "lightgcn"): ["colarec-phone", "beauty"],
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", type=Path, help="A folder of results to go on with.  [a new one]")
    given = parser.parse_args().results
    with tempfile.TemporaryDirectory() as new:
        results = given or Path(new)
        for (ours, theirs), datasets in PAIRS.items():
            for dataset in datasets:
                run([ours, theirs], dataset, results=results, threads=1)
        store = Store(results)
        rows = [compared(store, *pair, dataset) for pair, datasets in PAIRS.items() for dataset in datasets]
    write_json(RECORD, rows)


def compared(store: Store, ours: str, theirs: str, dataset: str) -> dict[str, str | float]:
    """NDCG@10 and seconds of both, and the share of theirs that ours takes."""
    found = {result.cell.model: result for result in store.results(dataset)}
    seconds = {name: found[name].phases["fit"].cpu_seconds for name in (ours, theirs)}
    quality = {f"{name} ndcg@10": round(found[name].groups["all"].metrics["ndcg@10"], 4) for name in seconds}
    told = {f"{name} seconds": round(value, 1) for name, value in seconds.items()}
    row = {"dataset": dataset, **quality, **told, "share": round(seconds[ours] / seconds[theirs], 3)}
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
