"""How good are forecasts of memory and time? Each published record against what all the others say of it.

    python benchmarks/estimates.py

Memory is good within a factor of 1.3, processor seconds an epoch within 2 (of those below .05 s, as of .05 s). Four
times: without the record itself; without all of its config on its data (other seeds tell nearly all); without all of
its data set, so that only growth is left; and by the smallest data set alone, which is where a newcomer begins. Each
time it counts the records that this machine would not have been asked to make for want of memory: all of them were.
Seconds are those of a clock, on one thread of a machine that was busy. Writes ``benchmarks/records/estimates.json``.
Needs the raw data, for their sizes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.api import make_spec
from bench.files import write_json
from bench.messages.cell import Size
from bench.runs.estimate import Recorded, forecast, recorded
from bench.runs.room import size_of
from bench.runs.store import Store
from bench.runs.task import make_task

HERE = Path(__file__).parent
PUBLISHED = HERE.parent / "results" / "published"
RECORD = HERE / "records" / "estimates.json"
MEMORY, SECONDS = 1.3, 2.0
SMALLEST = 0.05
HERE_GIB = 23.5
"""Of the machine that made most records."""
SMALL = "recipe-slice"
LEFT_OUT: dict[str, Callable[[Recorded, Recorded], bool]] = {
    "the record": lambda other, one: other is one,
    "its config on its data": lambda other, one: (
        (other.cell.fingerprint, other.cell.config) == (one.cell.fingerprint, one.cell.config)
    ),
    "its data set": lambda other, one: other.cell.fingerprint == one.cell.fingerprint,
    f"all but {SMALL}": lambda other, one: one.cell.dataset == SMALL or other.cell.dataset != SMALL,
}


def sizes(store: Store) -> dict[str, Size]:
    """By fingerprint, of the published tables."""
    found = {}
    for dataset, protocol in {(r.cell.dataset, r.cell.protocol.name) for r in store.results()}:
        own = HERE / f"{dataset}.yaml"
        spec = make_spec(models="pop", dataset=str(own) if own.exists() else dataset, protocol=protocol)
        task = make_task(spec)
        found[task.fingerprint] = size_of(task.folds[None])
    return found


def factors(records: list[Recorded], left_out: Callable[[Recorded, Recorded], bool]) -> list[dict[str, Any]]:
    """Forecast / recorded, of each record that the others say something of."""
    found = []
    for one in records:
        told = forecast(one.cell, one.size, [other for other in records if not left_out(other, one)])
        if told is not None:
            seconds = max(SMALLEST, one.seconds("fit") / one.epochs)
            found.append(
                {
                    "cell": f"{one.cell.label}, {one.cell.dataset}",
                    "memory": round(told.memory / one.peak("import", "fit", "recommend"), 2),
                    "seconds": round(max(SMALLEST, told.seconds_an_epoch) / seconds, 3),
                    "refused": told.memory / told.spread > HERE_GIB * 1024,
                }
            )
    return found


def within(found: list[dict[str, Any]], what: str, factor: float) -> float:
    """The share that is off by no more than a factor."""
    return round(sum(abs(math.log(one[what])) <= math.log(factor) for one in found) / len(found), 3)


def main() -> None:
    store = Store(PUBLISHED)
    records = recorded(store.results(), sizes(store))
    told = {}
    for name, left_out in LEFT_OUT.items():
        found = factors(records, left_out)
        told[f"without {name}"] = {
            "records": len(found),
            f"memory within {MEMORY}": within(found, "memory", MEMORY),
            f"seconds an epoch within {SECONDS:g}": within(found, "seconds", SECONDS),
            "refused": sum(one["refused"] for one in found),
            "worst memory": sorted(found, key=lambda one: -abs(math.log(one["memory"])))[:5],
            "worst seconds": sorted(found, key=lambda one: -abs(math.log(one["seconds"])))[:5],
        }
    write_json(RECORD, told)
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
