"""BPR on ml-100k against RecBole's published figure, and against RecBole's own trainer and evaluator on the same split.

All ratings, per-user random 8:1:1, full ranking, train and validation masked: RecBole's README gives R@10 .2368 for BPR
with 64 dimensions. Checked are

- the mean R@10 over five split seeds, within .015 of the published one (another split, so not the same number);
- for every seed, R@10 of ``Trainer.fit`` and ``Trainer.evaluate``, within .005 of ours.

Writes ``benchmarks/records/recbole_reference.json``. About three minutes; on a machine with other work, threads that
wait for each other make it ten times as long, but for ``OMP_NUM_THREADS=1``::

    python benchmarks/recbole_reference.py
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from bench_recbole.models import BPR
from bench_recbole.setup import build
from bench_recbole.training import get_state, set_state
from recbole.data.utils import create_samplers, get_dataloader
from recbole.utils import get_trainer
from tabulate import tabulate

from bench.data.catalog import card
from bench.data.hidden import Split
from bench.data.prepare import prepare
from bench.data.protocol import protocol
from bench.data.split import split
from bench.evaluation.metrics import per_user
from bench.messages.spec import Stopping
from bench.testing import LocalContext

PUBLISHED = {"recall@10": 0.2368, "ndcg@10": 0.2768, "mrr@10": 0.4519, "hit@10": 0.7614, "precision@10": 0.1901}
"""BPR, https://github.com/RUCAIBox/RecBole, ml-100k, general recommendation."""

SPLIT_SEEDS = (1, 2, 3, 4, 5)
MODEL_SEED = 1
STOPPING = Stopping(users=sys.maxsize)
PUBLISHED_BAND, TRAINER_BAND = 0.015, 0.005
RECORD = Path(__file__).parent / "records" / "recbole_reference.json"


def ours(data: Split, folder: Path) -> dict[str, float]:
    """The benchmark's way: its plugin, its stopping rule, its metrics."""
    visible, test = data.visible, data.hidden.test
    model = BPR(BPR.Config())
    context = LocalContext(model, visible, folder, MODEL_SEED, stopping=STOPPING)
    model.fit(visible.train, visible.valid, context)
    users = np.flatnonzero(test.lengths)
    found = model.recommend(users, visible.train.select(users), visible.union("train+valid").select(users), 10)
    measured = per_user(found.items, test.select(users), [10])
    return {name: float(measured[name].mean()) for name in PUBLISHED} | {"epochs": len(context.scores)}


def recbole_itself(data: Split, folder: Path) -> dict[str, float]:
    """RecBole's way, from the loaders to the metrics, but for the best state, which it would unpickle from a file."""
    parts = [data.visible.train, data.visible.valid, data.hidden.test]
    built = build(BPR.recbole_class, BPR.Config(), parts, MODEL_SEED, "cpu")
    options = built.options
    for name, value in {
        "checkpoint_dir": str(folder),
        "valid_metric": "NDCG@10",
        "stopping_step": STOPPING.patience - 1,  # RecBole stops when its patience is exceeded, not reached
        "metric_decimal_place": 6,
        "eval_batch_size": parts[0].n_users * (parts[0].n_items + 1),
    }.items():
        options[name] = value
    datasets = built.data.build()
    samplers = create_samplers(options, built.data, datasets)
    loaders = [
        get_dataloader(options, phase)(options, dataset, sampler, shuffle=phase == "train")
        for phase, dataset, sampler in zip(("train", "valid", "test"), datasets, samplers, strict=True)
    ]
    trainer = get_trainer(options["MODEL_TYPE"], options["model"])(options, built.model)
    scores: list[float] = []
    best: dict[str, Any] = {}

    def keep_best(_epoch: int, score: float) -> None:
        if score >= max(scores, default=score):
            best.update(get_state(built.model))
        scores.append(score)

    trainer.fit(loaders[0], loaders[1], verbose=False, saved=False, callback_fn=keep_best)
    set_state(built.model, best)
    measured = trainer.evaluate(loaders[2], load_best_model=False)
    return {name: float(measured[name]) for name in PUBLISHED} | {"epochs": len(scores)}


def main() -> None:
    rows, results = [], []
    for seed in SPLIT_SEEDS:
        data = split(prepare(card("ml-100k")), protocol("random", split_seed=seed))
        for name, way in (("ours", ours), ("recbole", recbole_itself)):
            started = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                measured = way(data, Path(folder))
            seconds = round(time.perf_counter() - started, 1)
            results.append({"split_seed": seed, "way": name, "seconds": seconds, **measured})
            rows.append([seed, name, *(f"{measured[metric]:.4f}" for metric in PUBLISHED), measured["epochs"], seconds])
            print(*rows[-1], flush=True)
    means = {
        way: {metric: float(np.mean([r[metric] for r in results if r["way"] == way])) for metric in PUBLISHED}
        for way in ("ours", "recbole")
    }
    rows += [["mean", way, *(f"{value:.4f}" for value in mean.values()), "", ""] for way, mean in means.items()]
    rows.append(["", "published", *(f"{value:.4f}" for value in PUBLISHED.values()), "", ""])
    print(tabulate(rows, headers=["split seed", "way", *PUBLISHED, "epochs", "seconds"], disable_numparse=True))
    by_seed = [[r["recall@10"] for r in results if r["split_seed"] == seed] for seed in SPLIT_SEEDS]
    checks = {
        "published": abs(means["ours"]["recall@10"] - PUBLISHED["recall@10"]),
        "own_trainer": max(abs(first - second) for first, second in by_seed),
    }
    passed = checks["published"] <= PUBLISHED_BAND and checks["own_trainer"] <= TRAINER_BAND
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps({
        "about": "BPR on ml-100k, all ratings, per-user random 8:1:1, full ranking, train and validation masked",
        "config": BPR.Config().model_dump(),
        "model_seed": MODEL_SEED,
        "stopping": {"metric": STOPPING.name, "patience": STOPPING.patience, "users": "all with validation items"},
        "published": PUBLISHED,
        "results": results,
        "means": means,
        "differences_of_recall@10": checks,
        "bands": {"published": PUBLISHED_BAND, "own_trainer": TRAINER_BAND},
        "passed": passed,
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in ("recbole", "torch", "numpy", "scipy", "pandas")},
        "machine": {"platform": platform.platform(), "cpus": os.cpu_count()},
    }, indent=2) + "\n")  # fmt: skip
    print({name: round(value, 6) for name, value in checks.items()}, "passed" if passed else "FAILED")
    sys.exit(not passed)


if __name__ == "__main__":
    main()
