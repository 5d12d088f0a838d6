"""Full ranking with all metrics and groups, against a bare matmul, mask and top-k in torch on the same threads.

    python benchmarks/ranking_speed.py

The size is that of Amazon Cell Phones: 27,879 users × 10,429 items, 64 factors. Both sides take turns several times in
one run. Targets: at most 1.4 times the bare seconds, and less than 1 GiB of extra memory. Writes
``benchmarks/records/ranking_speed.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

THREADS = len(os.sched_getaffinity(0))
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))

import numpy as np  # noqa: E402 (the number of threads is read at import)
import torch  # noqa: E402

from bench.data.catalog import LongTail  # noqa: E402
from bench.data.groups import find_groups  # noqa: E402
from bench.evaluation.metrics import per_user  # noqa: E402
from bench.interactions import Interactions, Recommendations  # noqa: E402
from bench.runs import environment  # noqa: E402
from bench.topk import chunk_size, rank  # noqa: E402

USERS, ITEMS, FACTORS, K = 27_879, 10_429, 64, 20
RECORD = Path(__file__).parent / "records" / "ranking_speed.json"


def random_rows(rng: np.random.Generator, low: int, high: int) -> Interactions:
    """From ``low`` to ``high`` distinct items for each user."""
    lengths = rng.integers(low, high + 1, USERS)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    start, step = rng.integers(0, ITEMS, USERS), rng.integers(1, ITEMS // high, USERS)
    position = np.arange(indptr[-1]) - np.repeat(indptr[:-1], lengths)
    items = (np.repeat(start, lengths) + position * np.repeat(step, lengths)) % ITEMS
    return Interactions(indptr, items.astype(np.int32), np.zeros(indptr[-1], np.int64), ITEMS)


rng = np.random.default_rng(0)
train, test = random_rows(rng, 3, 8), random_rows(rng, 1, 2)
user_factors, item_factors = (torch.from_numpy(rng.standard_normal((n, FACTORS), np.float32)) for n in (USERS, ITEMS))
everybody = np.arange(USERS)


def bare(size: int = chunk_size(ITEMS)) -> torch.Tensor:
    """Scores, mask, top-k: what nobody can do without."""
    lists = []
    for start in range(0, USERS, size):
        scores = user_factors[start : start + size] @ item_factors.T
        low, high = train.indptr[start], train.indptr[min(start + size, USERS)]
        rows = np.repeat(np.arange(len(scores)), train.lengths[start : start + size])
        scores[torch.from_numpy(rows), torch.from_numpy(train.items[low:high]).long()] = -torch.inf
        lists.append(scores.topk(K))
    return torch.cat([found.values for found in lists])


def ours() -> Recommendations:
    """What the harness does: lists, six metrics at three cut-offs per user, means and errors of seven groups."""
    found = rank(lambda rows: (user_factors[rows[0] : rows[-1] + 1] @ item_factors.T).numpy(), train, K)
    scores = per_user(found.items, test, [5, 10, 20])
    for group in find_groups(train, LongTail(rule="train-at-most", value=4)):
        for column in scores.values():
            values = column[group.members]
            if len(values) > 1:
                values.mean(), values.std(ddof=1)
    return found


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def memory_line(name: str) -> float:
    """A line of /proc/self/status in MiB."""
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) / 1024


def extra_mib(side: str) -> float:
    """Peak memory of one side above what its data takes, measured in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--peak", side], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peak", choices=["ours", "bare"], help=argparse.SUPPRESS)
    choice = parser.parse_args()
    torch.set_num_threads(THREADS)
    if choice.peak:
        before = memory_line("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")
        {"ours": ours, "bare": bare}[choice.peak]()
        print(memory_line("VmHWM") - before)
        return
    sides = {"ours": ours, "bare": bare, "bare in chunks of 1,024": lambda: bare(1024)}
    for work in sides.values():
        work()
    assert np.array_equal(ours().scores, bare().numpy()), "the lists differ"  # scores, for torch has no rule for ties
    times = {name: [] for name in sides}
    for _ in range(choice.rounds):
        for name, work in sides.items():
            times[name].append(seconds(work))
    medians = {name: statistics.median(found) for name, found in times.items()}
    fastest = min(medians["bare"], medians["bare in chunks of 1,024"])
    record = {
        "size": {"users": USERS, "items": ITEMS, "factors": FACTORS, "k": K},
        "threads": THREADS,
        "median_seconds": {name: round(value, 3) for name, value in medians.items()},
        "all_seconds": {name: [round(value, 3) for value in found] for name, found in times.items()},
        "ratio_to_the_faster_bare": round(medians["ours"] / fastest, 3),
        "target_ratio": 1.4,
        "extra_peak_mib": {side: round(extra_mib(side)) for side in ("ours", "bare")},
        "target_extra_peak_mib": 1024,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "hardware": environment.hardware(),
        "git_revision": environment.git_revision(),
    }
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({key: record[key] for key in list(record)[2:8] if key != "all_seconds"}, indent=2))


if __name__ == "__main__":
    main()
