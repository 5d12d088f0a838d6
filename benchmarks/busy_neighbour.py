"""What waiting costs a training with several threads, alone and beside busy processes.

    python benchmarks/busy_neighbour.py [--steps 20] [--neighbours 3] [--rounds 2]

After each step of a matrix product, threads of OpenMP wait for the slowest one. By default they spin, so that on a busy
machine they take the processor from the very thread that they wait for. The same small training runs with each way of
waiting, in turn, in processes of its own. Needs torch and an otherwise quiet machine. Writes
``benchmarks/records/busy_neighbour.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from bench.runs import environment

RECORD = Path(__file__).parent / "records" / "busy_neighbour.json"

WAITING = {
    "spins (default)": {},
    "sleeps at once (OMP_WAIT_POLICY=passive)": {"OMP_WAIT_POLICY": "passive"},
    "spins a moment, as in workers (GOMP_SPINCOUNT=1000)": {"GOMP_SPINCOUNT": "1000"},
}

TRAINING = """
import sys, time, torch
torch.manual_seed(1)
users, items = torch.nn.Embedding(2000, 64), torch.nn.Embedding(3000, 64)
layer = torch.nn.TransformerEncoderLayer(64, 2, 128, batch_first=True)
learnt = [*users.parameters(), *items.parameters(), *layer.parameters()]
optimizer = torch.optim.Adam(learnt, 1e-3)

def step():
    history, user, wanted = torch.randint(3000, (256, 10)), torch.randint(2000, (256,)), torch.randint(3000, (256,))
    read = layer(items(history)).mean(1) + users(user)
    loss = torch.nn.functional.cross_entropy(read @ items.weight.T, wanted)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

for _ in range(20):
    step()
start = time.perf_counter()
for _ in range(int(sys.argv[1])):
    step()
print(time.perf_counter() - start)
"""


def seconds(steps: int, threads: int, waiting: dict[str, str]) -> float:
    """Wall time of the training, in a process of its own."""
    unset = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    given = {**unset, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), **waiting}
    words = [sys.executable, "-c", TRAINING, str(steps)]
    return float(subprocess.run(words, env=given, capture_output=True, text=True, check=True).stdout)


def rounds(count: int, steps: int, threads: int) -> dict[str, list[float]]:
    """Seconds by way of waiting; the ways take turns, so that a change of the machine meets all of them."""
    found: dict[str, list[float]] = {name: [] for name in WAITING}
    for _ in range(count):
        for name, waiting in WAITING.items():
            found[name].append(round(seconds(steps, threads, waiting), 2))
    return found


def beside(neighbours: int, count: int, steps: int, threads: int) -> dict[str, list[float]]:
    """The same beside so many processes that only compute."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbours)]
    try:
        return rounds(count, steps, threads)
    finally:
        for process in busy:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--neighbours", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    threads = environment.cores()
    load = os.getloadavg()[0]
    alone = rounds(options.rounds, options.steps, threads)
    together = beside(options.neighbours, options.rounds, options.steps, threads)
    record = {
        "steps": options.steps,
        "threads": threads,
        "neighbours": options.neighbours,
        "load_before": round(load, 2),
        "median_seconds": {
            name: {"alone": statistics.median(alone[name]), "beside": statistics.median(together[name])}
            for name in WAITING
        },
        "all_seconds": {name: {"alone": alone[name], "beside": together[name]} for name in WAITING},
        "hardware": environment.hardware(),
        "git_revision": environment.git_revision(),
    }
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({key: record[key] for key in list(record)[:5]}, indent=2))


if __name__ == "__main__":
    main()
