"""Make the data set ``synthetic``, which the core carries: nobody's data, small, and with something to learn in it.

Users like two of eight kinds of books, some books are liked by all, and many are read right behind the one they follow.
So popularity is beaten by what looks at pairs of items, and texts and the order of reading tell something too.

    python benchmarks/synthetic_data.py bench/data/synthetic
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Ints, Floats, Row = NDArray[np.int64], NDArray[np.float64], tuple[str, str, int]
USERS, ITEMS, SEED = 400, 240, 1
BEGIN, DAY = 1_577_836_800, 86_400  # 2020-01-01
KINDS = {
    "sea": ("Harbour", "Tide", "Lighthouse", "Captain", "Island"),
    "crime": ("Detective", "Alibi", "Witness", "Verdict", "Cellar"),
    "space": ("Orbit", "Comet", "Station", "Signal", "Planet"),
    "cooking": ("Kitchen", "Spice", "Bread", "Market", "Table"),
    "history": ("Empire", "Crown", "Treaty", "Abbey", "Siege"),
    "mountains": ("Summit", "Glacier", "Valley", "Rope", "Ridge"),
    "music": ("Violin", "Chorus", "Rhythm", "Stage", "Song"),
    "gardens": ("Orchard", "Rose", "Seed", "Hedge", "Meadow"),
}
FIRST = ("Quiet", "Last", "Hidden", "Golden", "Broken", "Distant")


def main(folder: Path) -> None:
    rng = np.random.default_rng(SEED)
    kinds = np.arange(ITEMS) % len(KINDS)
    follows = np.roll(np.arange(ITEMS), -len(KINDS))  # the next book of the same kind
    appeal = 1 / (1 + rng.permutation(ITEMS)) ** 0.7
    rows = [row for user in range(USERS) for row in _history(rng, user, kinds, follows, appeal)]
    folder.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(rows, columns=["user", "item", "time"]).sort_values(["time", "user"], kind="stable")
    frame.to_csv(folder / "interactions.csv", index=False)
    _titles(kinds).to_csv(folder / "items.csv", index=False)
    print(f"{len(frame)} interactions of {USERS} users with {frame['item'].nunique()} of {ITEMS} items")


def _history(rng: np.random.Generator, user: int, kinds: Ints, follows: Ints, appeal: Floats) -> list[Row]:
    """What a user has read, oldest first."""
    liked = rng.choice(len(KINDS), 2, replace=False)
    weights = appeal * np.where(np.isin(kinds, liked), 12.0, 1.0)
    day = int(rng.integers(0, 700))
    length = int(np.clip(rng.lognormal(2.7, 0.6), 5, 60))
    read: list[int] = []
    while len(read) < length:
        after = follows[read[-1]] if read else -1
        choice = after if read and after not in read and rng.random() < 0.3 else None
        if choice is None:
            left = np.where(np.isin(np.arange(ITEMS), read), 0, weights)
            choice = rng.choice(ITEMS, p=left / left.sum())
        read.append(int(choice))
    times = BEGIN + DAY * (day + np.cumsum(rng.integers(1, 15, length))) + rng.integers(0, DAY, length)
    return [(f"r{user:03}", f"b{item:03}", int(time)) for item, time in zip(read, np.sort(times), strict=True)]


def _titles(kinds: Ints) -> pd.DataFrame:
    names = list(KINDS)
    rows = []
    for item, kind in enumerate(kinds):
        number = item // len(KINDS)
        noun = KINDS[names[kind]][number % 5]
        rows.append((f"b{item:03}", f"The {FIRST[number // 5]} {noun}", names[kind]))
    return pd.DataFrame(rows, columns=["item", "title", "categories"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
