"""Do a few beams find what an enumeration of all items finds? ``tiger`` on leave-one-out, by validation.

    python benchmarks/tiger_beams.py --raw-dir DIR [--dataset beauty] [--epochs 10] [--users 200] [--folder DIR]
    python benchmarks/tiger_beams.py --show

The validation items of a sample of users are ranked by beams of several numbers, and exactly, by the log-probability
of every item of the catalogue. Train is history and excluded. The model is trained first, or read from a folder that it
was saved in. The record is benchmarks/records/tiger_beams.json. One thread.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from bench_semid.tiger.model import Tiger
from bench_semid.tiger.search import search
from bench_semid.tiger.tokens import one_a_row
from bench_torchkit.codesearch import exact_scores

from bench import Interactions, rank
from bench.data.catalog import card
from bench.data.prepare import prepare
from bench.data.protocol import protocol
from bench.data.split import split
from bench.data.visible import Visible
from bench.evaluation.metrics import per_user
from bench.files import write_json
from bench.testing import LocalContext

RECORD = Path(__file__).parent / "records" / "tiger_beams.json"
BEAMS = (10, 20, 40, 80)
_USERS_AT_ONCE = 4


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--raw-dir", type=Path, default=os.environ.get("BENCH_RAW_DIR"))
    parser.add_argument("--dataset", default="beauty")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="of a trained tiger, in place of a training")
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    if not options.show:
        torch.set_num_threads(1)
        visible = split(prepare(card(options.dataset), options.raw_dir), protocol("loo")).visible
        model = Tiger(Tiger.Config(epochs=options.epochs))
        if options.folder is None:
            with tempfile.TemporaryDirectory() as folder:
                model.fit(visible.train, visible.valid, LocalContext(model, visible, Path(folder)))
        else:
            model.load(options.folder, "cpu")
        users = np.random.default_rng(0).permutation(np.flatnonzero(visible.valid.lengths))[: options.users]
        ways: dict[str, Any] = {f"{beams} beams": figures(model, visible, users, beams) for beams in BEAMS}
        ways["all items"] = figures(model, visible, users, None)
        write_json(RECORD, {"dataset": options.dataset, "users": len(users), "ways": ways})
    print(table())


def figures(model: Tiger, visible: Visible, users: Any, beams: int | None) -> dict[str, float]:
    """Recall and NDCG at 10 by so many beams, or exactly; and milliseconds of the processor for each user."""
    known, began = visible.train.select(users), time.process_time()
    network, tree, most = model._network, model._tree, model.config.max_length
    with torch.inference_mode():
        if beams is None:
            items = rank(lambda rows: scores(model, known.select(rows)), known, 10).items
        else:
            items = search(network, tree, most, known, known, beams, "cpu")[0][:, :10]
    seconds = time.process_time() - began
    values = per_user(items, visible.valid.select(users), [10], ["recall", "ndcg"])
    told = {metric: round(float(value.mean()), 5) for metric, value in values.items()}
    return {**told, "milliseconds a user": round(1000 * seconds / len(users), 1)}


def scores(model: Tiger, known: Interactions) -> Any:
    """(n, n_items): of all items, a few users at a time."""
    found = np.empty(known.shape, np.float32)
    for begin in range(0, known.n_users, _USERS_AT_ONCE):
        rows = np.arange(begin, min(begin + _USERS_AT_ONCE, known.n_users))
        histories = one_a_row(known.select(rows), model._tree, model.config.max_length)
        found[rows] = exact_scores(model._network.decoder(histories), model._tree).numpy()
    return found


def table() -> str:
    """A row for each way."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    return pd.DataFrame(record["ways"]).T.to_markdown()


if __name__ == "__main__":
    main()
