"""How much does not recommending known items bring a sequential model? Leave-one-out Beauty, SASRec, one training.

    python benchmarks/loo_exclusion.py --raw-dir DIR [--epochs 4]

Papers and RecBole rank all items for the next one, those of the history among them; the protocol ``loo`` leaves train
and validation items out. The same model, trained for a few epochs, is measured both ways. Writes
benchmarks/records/loo_exclusion.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench import Interactions
from bench.data.catalog import card
from bench.data.prepare import prepare
from bench.data.protocol import protocol
from bench.data.split import split
from bench.evaluation.metrics import per_user
from bench.plugins import load_model
from bench.testing import LocalContext

RECORD = Path(__file__).parent / "records" / "loo_exclusion.json"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--raw-dir", type=Path, default=os.environ.get("BENCH_RAW_DIR"))
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    parts = split(prepare(card("beauty"), options.raw_dir), protocol("loo"))
    model_class: Any = load_model("sasrec")
    model = model_class(model_class.Config(epochs=options.epochs, max_seq_length=20, train_batch_size=512))
    with tempfile.TemporaryDirectory() as folder:
        context = LocalContext(model, parts.visible, Path(folder))
        model.fit(parts.visible.train, parts.visible.valid, context)
    print("validation", *(f"{score:.4f}" for score in context.scores))
    users = np.flatnonzero(parts.hidden.test.lengths)
    history = parts.visible.union("train+valid").select(users)
    nothing = Interactions(np.zeros(len(users) + 1, np.int64), history.items[:0], history.times[:0], history.n_items)
    test = parts.hidden.test.select(users)
    record: dict[str, Any] = {"epochs": options.epochs}
    for name, exclude in (("history excluded", history), ("nothing excluded", nothing)):
        scores = per_user(model.recommend(users, history, exclude, 10).items, test, [10], ["recall", "ndcg"])
        record[name] = {metric: round(float(values.mean()), 4) for metric, values in scores.items()}
        print(name, record[name])
    RECORD.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
