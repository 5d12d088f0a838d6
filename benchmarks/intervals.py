"""How often do the intervals and families of bench.evaluation.intervals say what is true, and how long do they take?

    python benchmarks/intervals.py

Simulated: tables of rows that are level. Normal values of users, of what is of neither users nor seeds (as large), and
of seeds, whose means spread 0, 1 and 3 times as much as the users of one seed err: in each row alike, or in each row
by another factor, with a standard deviation of its logarithm of 0.6, or ten times as much in one row as in the others.
The time is that of all pairs of 30 rows of 5 seeds, 30,000 users and 10 metrics, without
reading files. Writes benchmarks/records/intervals.json.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.evaluation.intervals import ERRORS, Sample, holm, likely_spread
from bench.files import write_json

RECORD = Path(__file__).parent / "records" / "intervals.json"
Floats = NDArray[np.float64]
USERS, EXPERIMENTS = 300, 2_000
MEAN = 10.0
FEW, MANY = 5, 12
SPREADS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "alike": lambda rng, rows: np.ones(rows),
    "differ": lambda rng, rows: np.exp(rng.normal(0, 0.6, rows)),
    "one swings": lambda rng, rows: np.r_[10.0, np.ones(rows - 1)],
}


def main() -> None:
    kinds = itertools.product((FEW, MANY), (2, 3, 5), (0, 1, 3), SPREADS)
    rows = [simulated(*kind) for kind in kinds if kind[2] or kind[3] == "alike"]
    print(pd.DataFrame(rows).to_markdown(index=False))
    seconds = timed()
    print(f"all pairs of 30 rows × 5 seeds × 30,000 users × 10 metrics: {seconds:.1f} s")
    write_json(RECORD, {"users": USERS, "experiments": EXPERIMENTS, "simulated": rows, "seconds of all pairs": seconds})


def simulated(n_rows: int, seeds: int, spread: int, kind: str) -> dict[str, Any]:
    """Shares of the experiments, in per cent: of rows, of pairs, and of tables."""
    rng = np.random.default_rng([n_rows, seeds, spread, list(SPREADS).index(kind)])
    users = MEAN + rng.normal(size=(USERS, EXPERIMENTS))
    factors = np.stack([SPREADS[kind](rng, n_rows) for _ in range(EXPERIMENTS)], axis=1)
    values = [trained(rng, users, seeds, spread * factors[row]) for row in range(n_rows)]
    samples = [Sample(one, deterministic=False) for one in values]
    told = likely_spread([one.mean(axis=1) for one in values])
    own = [one.estimate.interval() for one in samples]
    pairs = [a.minus(b, told).p_values() for a, b in itertools.combinations(samples, 2)]
    alone = [a.minus(b).p_values() for a, b in itertools.combinations(samples, 2)]
    return {
        "rows": n_rows,
        "seeds": seeds,
        "spread": spread,
        "spreads": kind,
        "covered": _share([(one.low <= MEAN) & (one.high >= MEAN) for one in own]),
        "called different": _share([p < ERRORS for p in pairs]),
        "any of table": _share([_any(pairs)]),
        "by own spread": _share([_any(alone)]),
    }


def _share(found: list[NDArray[np.bool_]]) -> float:
    return 100 * float(np.mean(found))


def _any(p_values: list[Floats]) -> NDArray[np.bool_]:
    """(m,): whether any two rows of a table are told apart, by Holm's rule: whether the smallest is small enough."""
    return np.asarray(len(p_values) * np.min(p_values, axis=0) < ERRORS)


def trained(rng: np.random.Generator, users: Floats, seeds: int, spread: Floats) -> Floats:
    """(S, n, m): a model that is level with the others for the users (n, m), whose seeds spread by ``spread`` (m,)."""
    chance = rng.normal(size=(seeds, *users.shape))
    return users + chance + rng.normal(0, math.sqrt(2 / USERS), (seeds, 1, EXPERIMENTS)) * spread


def timed() -> float:
    """Seconds."""
    rng = np.random.default_rng(0)
    values = [rng.random((5, 30_000, 10)) for _ in range(30)]
    begin = time.perf_counter()
    samples = [Sample(one, deterministic=False) for one in values]
    told = likely_spread([one.mean(axis=1) for one in values])
    holm(np.array([a.minus(b, told).p_values() for a, b in itertools.combinations(samples, 2)]).ravel())
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
