"""How often do the intervals and families of bench.evaluation.intervals say what is true, and how long do they take?

    python benchmarks/intervals.py

Simulated: normal values of users, of what is of neither users nor seeds (as large), and of seeds, whose means spread
0, 1 and 3 times as much as the users of one seed err. The time is that of all pairs of 30 rows of 5 seeds, 30,000 users
and 10 metrics, without reading files. Writes benchmarks/records/intervals.json.
"""

from __future__ import annotations

import itertools
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.evaluation.intervals import Sample, holm
from bench.files import write_json

RECORD = Path(__file__).parent / "records" / "intervals.json"
USERS, EXPERIMENTS = 300, 4_000
Floats = NDArray[np.float64]


def main() -> None:
    rows = [simulated(seeds, spread) for seeds in (2, 3, 5) for spread in (0, 1, 3)]
    print(pd.DataFrame(rows).to_markdown(index=False))
    seconds = timed()
    print(f"all pairs of 30 rows × 5 seeds × 30,000 users × 10 metrics: {seconds:.1f} s")
    write_json(RECORD, {"users": USERS, "experiments": EXPERIMENTS, "simulated": rows, "seconds of all pairs": seconds})


def simulated(seeds: int, spread: int) -> dict[str, Any]:
    """Shares of the experiments, in per cent."""
    rng = np.random.default_rng([seeds, spread])
    users = rng.normal(size=(USERS, EXPERIMENTS))
    samples = [Sample(trained(rng, users, seeds, spread), deterministic=False) for _ in range(6)]
    interval = samples[0].estimate.interval()
    p_values = np.array([a.minus(b).p_values() for a, b in itertools.combinations(samples, 2)])
    told = [(holm(column) < 0.05).any() for column in p_values.T]
    return {
        "seeds": seeds,
        "spread": spread,
        "covered": 100 * float(np.mean((interval.low <= 0) & (interval.high >= 0))),
        "called different": 100 * float(np.mean(p_values[0] < 0.05)),
        "any of six": 100 * float(np.mean(told)),
    }


def trained(rng: np.random.Generator, users: Floats, seeds: int, spread: float) -> Floats:
    """(S, n, m): a model of mean 0 for the users (n, m)."""
    chance = rng.normal(size=(seeds, *users.shape))
    return users + chance + rng.normal(0, spread * math.sqrt(2 / USERS), (seeds, 1, EXPERIMENTS))


def timed() -> float:
    """Seconds."""
    rng = np.random.default_rng(0)
    values = [rng.random((5, 30_000, 10)) for _ in range(30)]
    begin = time.perf_counter()
    samples = [Sample(one, deterministic=False) for one in values]
    holm(np.array([a.minus(b).p_values() for a, b in itertools.combinations(samples, 2)]).ravel())
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
