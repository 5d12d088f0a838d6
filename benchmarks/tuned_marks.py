"""Does 'bench tune' reach what others tuned? EASE on the ready splits of Epinions, which have no validation part.

    python benchmarks/tuned_marks.py --raw-dir DIR [--trials 20] [--results DIR]

The splits are two of the five of github.com/Faisalse/RecSys2023_hyperparameter_tuning (80 % of the interactions for
train). Trials are judged on a tenth of train, the best config is trained on all of train and tested once. The study
prints, as means over its five splits, NDCG@10 .1643 and Recall@10 .1560 for a tuned EASE and .0454 for popularity.
"""

from __future__ import annotations

import argparse
import gzip
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import bench
from bench.api import make_spec
from bench.files import write_json
from bench.runs.tune import tune

RECORD = Path(__file__).parent / "records" / "tuned_marks.json"
PRINTED = {"ndcg@10": 0.1643, "recall@10": 0.1560}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--raw-dir", type=Path, default=os.environ.get("BENCH_RAW_DIR"))
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = [one_split(number, options, Path(scratch)) for number in (0, 1)]
    means = {metric: float(np.mean([row["tuned"][metric] for row in rows])) for metric in PRINTED}
    ratios = {metric: means[metric] / printed for metric, printed in PRINTED.items()}
    write_json(RECORD, {"trials": options.trials, "splits": rows, "means": means, "printed": PRINTED, "ratios": ratios})
    for metric, printed in PRINTED.items():
        print(f"EASE {metric}: {means[metric]:.4f} here, {printed:.4f} printed, {ratios[metric] - 1:+.1%}")


def one_split(number: int, options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Tune and test on one of the splits."""
    card, results = str(_card(number, options.raw_dir, scratch)), options.results or scratch / "results"
    spec = make_spec(models="ease", dataset=card)
    study = tune(spec, options.trials, 1, results, lambda cell, event: None, lambda study, trial: print(trial))
    table = bench.run("pop,ease,ease@tuned", card, results=results).set_index(["model", "preset"])
    found = {"split": number, "best": study.best and study.best.options, "seconds": round(study.seconds)}
    curve = sorted((trial.options.get("l2", study.space["l2"]["low"]), trial.score) for trial in study.trials[1:])
    for name, row in (("tuned", ("ease", "tuned")), ("default", ("ease", "default")), ("pop", ("pop", "default"))):
        found[name] = {metric: round(float(table.loc[row, f"all/{metric}"]), 4) for metric in PRINTED}
    return {**found, "validation ndcg@10 by l2": curve}


def _card(number: int, raw: Path, scratch: Path) -> Path:
    """A card of the split; its files get the line of names that they lack."""
    files = {}
    for part in ("train", "test"):
        source = raw / "epinions" / f"split{number}_{part}.tsv.gz"
        target = scratch / f"epinions{number}-{part}.tsv"
        target.write_bytes(b"user\titem\tone\torder\n" + gzip.decompress(source.read_bytes()))
        files[part] = {"name": str(target)}
    reader = {"reader": "table", "files": files, "options": {"columns": {"user": "user", "item": "item"}}}
    card = {"title": f"Epinions, ready split {number}", "sources": [reader], "protocol": "published"}
    path = scratch / f"epinions-{number}.yaml"
    path.write_text(yaml.safe_dump({path.stem: card}))
    return path


if __name__ == "__main__":
    main()
