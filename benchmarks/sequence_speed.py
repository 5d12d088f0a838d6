"""An epoch of ``sasrec-fast`` against one of RecBole's ``sasrec``: same data, length, width, layers and thread.

    python benchmarks/sequence_speed.py --raw-dir DIR [--epochs 3]

Leave-one-out Beauty, one thread, the two take turns in one run, each in a process of its own. Writes
benchmarks/records/sequence_speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.data.catalog import card
from bench.data.prepare import prepare
from bench.data.protocol import protocol
from bench.data.split import split
from bench.files import write_json
from bench.plugins import load_model
from bench.testing import LocalContext

RECORD = Path(__file__).parent / "records" / "sequence_speed.json"
LENGTH, SIZE, LAYERS, HEADS = 50, 64, 2, 2
OPTIONS: dict[str, dict[str, Any]] = {
    "sasrec-fast": {"max_length": LENGTH, "embedding_size": SIZE, "layers": LAYERS, "heads": HEADS},
    "sasrec": {"max_seq_length": LENGTH, "hidden_size": SIZE, "n_layers": LAYERS, "n_heads": HEADS},
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--raw-dir", type=Path, default=os.environ.get("BENCH_RAW_DIR"))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--one", choices=OPTIONS, help="what each process does")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(epoch(options.one, options.raw_dir)))
        return
    seconds: dict[str, list[float]] = {name: [] for name in OPTIONS}
    for _ in range(options.epochs):
        for name in OPTIONS:
            command = [sys.executable, __file__, "--one", name, "--raw-dir", str(options.raw_dir)]
            done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr)
            seconds[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(name, f"{seconds[name][-1]:.1f} s of processor time", flush=True)
    ratio = statistics.median(seconds["sasrec"]) / statistics.median(seconds["sasrec-fast"])
    print(f"{ratio:.1f} times")
    write_json(RECORD, {"options": OPTIONS, "processor seconds an epoch": seconds, "ratio": round(ratio, 1)})


def epoch(name: str, raw_dir: Path) -> float:
    """Processor seconds of the second epoch, without its validation."""
    parts = split(prepare(card("beauty"), raw_dir), protocol("loo"))
    model_class: Any = load_model(name)
    model = model_class(model_class.Config(**OPTIONS[name], epochs=2))
    began: list[float] = []

    class Timed(LocalContext):
        def validate(self) -> Any:
            began.append(time.process_time())
            found = super().validate()
            began.append(time.process_time())
            return found

    with tempfile.TemporaryDirectory() as folder:
        model.fit(parts.visible.train, parts.visible.valid, Timed(model, parts.visible, Path(folder)))
    return began[2] - began[1]


if __name__ == "__main__":
    main()
