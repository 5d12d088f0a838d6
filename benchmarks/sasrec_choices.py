"""What makes SASRec's figures differ: the loss, the targets, and whether the ranking leaves the history out.

    python benchmarks/sasrec_choices.py --raw-dir DIR [--dataset beauty] [--seeds 1 2 3] [--targets packed prefixes]
    python benchmarks/sasrec_choices.py --show

Leave-one-out by time, one target a user, all items ranked. One network and one recipe, the defaults of ``sasrec-fast``;
the loss is binary cross-entropy with one negative for each target, softmax over 1,024 sampled items and the target, or
softmax over all items. A training is ended by its validation, train excluded, and ranked twice: without and with the
items of the history in the ranking. Each training is added to benchmarks/records/sasrec_choices.json when it is over;
those that are there are not run again. One thread each; run the script several times at once for several cores.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from bench_neural.sequences.models import SASRec

from bench import Interactions
from bench.data.catalog import card
from bench.data.hidden import Split
from bench.data.prepare import prepare
from bench.data.protocol import protocol
from bench.data.split import split
from bench.evaluation.metrics import per_user
from bench.files import write_json
from bench.testing import LocalContext

RECORD = Path(__file__).parent / "records" / "sasrec_choices.json"
LOSSES: dict[str, dict[str, Any]] = {
    "bce": SASRec.presets["bce"],
    "sampled_softmax": {},
    "softmax": SASRec.presets["softmax"],
}
KEY = ("dataset", "loss", "targets", "seed")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--raw-dir", type=Path, default=os.environ.get("BENCH_RAW_DIR"))
    parser.add_argument("--dataset", default="beauty")
    parser.add_argument("--losses", nargs="+", default=list(LOSSES), choices=LOSSES)
    parser.add_argument("--targets", nargs="+", default=["packed", "prefixes"], choices=["packed", "prefixes"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    if not options.show:
        torch.set_num_threads(1)
        parts = split(prepare(card(options.dataset), options.raw_dir), protocol("loo"))
        name = Path(options.dataset).stem
        for seed in options.seeds:
            for targets in options.targets:
                for loss in options.losses:
                    key = dict(zip(KEY, (name, loss, targets, seed), strict=True))
                    if claim(key):
                        keep(key, train(parts, loss, targets, seed))
    print(table())


def train(parts: Split, loss: str, targets: str, seed: int) -> dict[str, Any]:
    """Figures of one training."""
    model = SASRec(SASRec.Config(**LOSSES[loss], targets=targets))
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        context = LocalContext(model, parts.visible, Path(folder), seed)
        model.fit(parts.visible.train, parts.visible.valid, context)
    found: dict[str, Any] = {
        "cpu_seconds": round(time.process_time() - began),
        "epochs": len(context.scores),
        "best_epoch": int(np.argmax(context.scores)) + 1,
        "validation ndcg@10": round(max(context.scores), 4),
    }
    users = np.flatnonzero(parts.hidden.test.lengths)
    history, test = parts.visible.union("train+valid").select(users), parts.hidden.test.select(users)
    nothing = Interactions(np.zeros(len(users) + 1, np.int64), history.items[:0], history.times[:0], history.n_items)
    for ranking, exclude in (("out", history), ("in", nothing)):
        lists = model.recommend(users, history, exclude, 10).items
        for metric, values in per_user(lists, test, [10], ["recall", "ndcg"]).items():
            found[f"{metric} history {ranking}"] = round(float(values.mean()), 5)
    return found


def claim(key: dict[str, Any]) -> bool:
    """Whether nobody has run or is running this training; one that was broken off is claimed by the next start."""
    if any(all(row[part] == key[part] for part in KEY) for row in rows()):
        return False
    path = Path(tempfile.gettempdir()) / f"sasrec-choices-{'-'.join(str(part) for part in key.values())}.lock"
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    _held.append(file)  # until this process ends
    return True


_held: list[Any] = []


def rows() -> list[dict[str, Any]]:
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else []


def keep(key: dict[str, Any], found: dict[str, Any]) -> None:
    """Add a row to the record; several processes may."""
    with (Path(tempfile.gettempdir()) / "sasrec-choices.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        write_json(RECORD, sorted([*rows(), {**key, **found}], key=lambda row: [str(row[part]) for part in KEY]))


def table() -> str:
    """Means over seeds, with the standard deviation where there are several."""
    frame = pd.DataFrame(rows())
    figures = [f"{metric}@10 history {ranking}" for ranking in ("out", "in") for metric in ("recall", "ndcg")]
    shown = []
    for (dataset, loss, targets), group in frame.groupby(["dataset", "loss", "targets"]):
        row = {"data": dataset, "loss": loss, "targets": targets, "seeds": len(group)}
        for figure in figures:
            spread = f" ±{group[figure].std():.4f}" if len(group) > 1 else ""
            row[figure.replace("recall", "R").replace("ndcg", "N")] = f"{group[figure].mean():.4f}{spread}".lstrip("0")
        shown.append({**row, "minutes": round(group["cpu_seconds"].mean() / 60, 1)})
    return pd.DataFrame(shown).to_markdown(index=False, disable_numparse=True)


if __name__ == "__main__":
    main()
