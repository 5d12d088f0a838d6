"""Food.com at its full size, in made-up tables of its columns: do colarec, lightgcn and ease end with a row?

    python benchmarks/recipe_size.py [--models ease,lightgcn,colarec] [--memory 24]

17,800 users, 41,000 items and 556,000 interactions, each user and item with five or more, go through the card
``recipe`` as the files of Kaggle would. EASE's matrix has 6.7 GB, 32³ identifiers do not hold 41,000 items. Training is
cut after ten minutes (``--time-budget``): the question is whether the model fits and the harness ends, with a row or
with one line that says why not; nothing follows from the figures. Writes ``benchmarks/records/recipe_size.json``.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

RECORD = Path(__file__).parent / "records" / "recipe_size.json"
USERS, ITEMS, INTERACTIONS = 17_800, 41_000, 556_000
LEAST = 5
WORDS = ["apple", "beef", "bread", "butter", "cheese", "chicken", "curry", "egg", "fish", "lemon", "rice", "soup"]
TAGS = ("15-minutes-or-less", "easy", "main-dish", "desserts", "vegetarian", "healthy", "italian", "asian", "mexican")


def pairs(rng: np.random.Generator) -> np.ndarray:
    """(n, 2): distinct users with items; five or so of each user and each item, the rest by Zipf's law."""
    users = np.concatenate([np.repeat(np.arange(USERS), LEAST), rng.integers(0, USERS, ITEMS * LEAST)])
    items = np.concatenate([rng.integers(0, ITEMS, USERS * LEAST), np.repeat(np.arange(ITEMS), LEAST)])
    keys = np.unique(users * ITEMS + items)
    activity, popularity = (1 / np.arange(10, n + 10) ** 0.7 for n in (USERS, ITEMS))
    while len(keys) < INTERACTIONS:
        n = INTERACTIONS - len(keys)
        more = rng.choice(USERS, n, p=activity / activity.sum()) * ITEMS
        more += rng.choice(ITEMS, n, p=popularity / popularity.sum())
        keys = np.unique(np.concatenate([keys, more]))
    return np.column_stack(np.divmod(keys, ITEMS))


def write(folder: Path) -> None:
    """``RAW_interactions.csv.gz`` and ``RAW_recipes.csv.gz``."""
    rng = np.random.default_rng(0)
    found = pairs(rng)
    days = pd.Timestamp("2000-01-01") + pd.to_timedelta(rng.integers(0, 6500, len(found)), unit="D")
    interactions = pd.DataFrame({"user_id": found[:, 0], "recipe_id": found[:, 1], "date": days.strftime("%Y-%m-%d")})
    interactions["rating"], interactions["review"] = rng.integers(1, 6, len(found)), "good"
    words, tags = rng.choice(WORDS, (ITEMS, 12)), rng.choice(TAGS, (ITEMS, 3))
    recipes = pd.DataFrame({"name": [" ".join(row[:3]) for row in words], "id": np.arange(ITEMS), "minutes": 30})
    recipes["contributor_id"], recipes["submitted"] = 1, "2001-01-01"
    recipes["tags"], recipes["nutrition"] = [str(row.tolist()) for row in tags], "[1.0]"
    recipes["n_steps"], recipes["steps"] = 1, "['stir']"
    recipes["description"] = [" ".join(row[3:]) for row in words]
    recipes["ingredients"], recipes["n_ingredients"] = "['salt']", 1
    for name, table in (("interactions", interactions), ("recipes", recipes)):
        with gzip.open(folder / f"RAW_{name}.csv.gz", "wt", compresslevel=1) as file:
            table.to_csv(file, index=False)


def row(result: dict[str, Any]) -> dict[str, Any]:
    """What the record says of a cell."""
    phases = result["phases"].values()
    return {
        "model": result["cell"]["model"],
        "status": result["status"],
        "reason": result["reason"],
        "stopped by the budget": result["stopped_by_budget"],
        "users": result["size"]["users"],
        "items": result["size"]["items"],
        "interactions": result["size"]["interactions"],
        "peak GiB": round(max((phase["peak_mib"] for phase in phases), default=0) / 1024, 2),
        "processor seconds": {name: round(phase["cpu_seconds"]) for name, phase in result["phases"].items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="pop,lightgcn,colarec,ease")
    parser.add_argument("--memory", type=float, default=24.0, help="GiB of address space of a cell.")
    choice = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recipe-") as name:
        folder = Path(name)
        write(folder)
        words = [
            sys.executable,
            "-m",
            "bench",
            "run",
            "--dataset",
            "recipe",
            "--models",
            choice.models,
            "--threads",
            "1",
        ]
        words += ["--raw-dir", str(folder), "--results", str(folder / "results"), "--time-budget", "600"]
        variables = {**os.environ, "BENCH_CACHE_DIR": str(folder / "cache")}
        done = subprocess.run([*words, "--memory-limit", str(choice.memory)], env=variables, check=False)
        found = [json.loads(path.read_text()) for path in folder.glob("results/cells/*/result.json")]
    rows = sorted(map(row, found), key=lambda one: one["model"])
    hardware = found[0]["hardware"] if found else {}
    record = {"memory limit GiB": choice.memory, "exit status": done.returncode, "rows": rows, "hardware": hardware}
    RECORD.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
