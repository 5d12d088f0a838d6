"""What the small language model of ``titles`` learns under other choices, by validation alone.

    python benchmarks/titles_choices.py --raw-dir DIR --dataset recipe-slice [--set order=random --set epochs=12]
    python benchmarks/titles_choices.py --show

The default protocol of the data set, seed 1, one thread. Training is ended by the harness, by NDCG@10 of validation
users with lists of the trie (20 beams). Nothing of test is read. Each training is added to
benchmarks/records/titles_choices.json.
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
import yaml
from bench_titles.model import Titles

from bench.data.catalog import card
from bench.data.prepare import prepare
from bench.data.protocol import protocol
from bench.data.split import split
from bench.files import write_json
from bench.testing import LocalContext

RECORD = Path(__file__).parent / "records" / "titles_choices.json"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--raw-dir", type=Path, default=os.environ.get("BENCH_RAW_DIR"))
    parser.add_argument("--dataset", default="recipe-slice")
    parser.add_argument("--set", dest="options", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    if not given.show:
        torch.set_num_threads(1)
        options = {name: yaml.safe_load(value) for name, value in (one.split("=", 1) for one in given.options)}
        row = train(given.dataset, given.raw_dir, options)
        write_json(RECORD, [*rows(), row])
    print(pd.DataFrame(rows()).to_markdown(index=False))


def train(dataset: str, raw_dir: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Figures of one training."""
    data = card(dataset)
    visible = split(prepare(data, raw_dir), protocol(data.protocol)).visible
    model = Titles(Titles.Config(**options))
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        context = LocalContext(model, visible, Path(folder))
        model.fit(visible.train, visible.valid, context)
    seconds = time.process_time() - began
    return {
        "dataset": dataset,
        "options": " ".join(f"{name}={value}" for name, value in options.items()),
        "validation ndcg@10": round(max(context.scores), 4),
        "best epoch": int(np.argmax(context.scores)) + 1,
        "epochs": len(context.scores),
        "cpu seconds": round(seconds),
        "by epoch": " ".join(f"{score:.4f}"[1:] for score in context.scores),
        "last loss": context.messages[-1].split()[-1],
    }


def rows() -> list[dict[str, Any]]:
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else []


if __name__ == "__main__":
    main()
