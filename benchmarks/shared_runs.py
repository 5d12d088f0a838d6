"""Five processes run the same command over one results folder, two are killed at random moments: is anything lost?

    python benchmarks/shared_runs.py [--times 50]

Eleven cells on a small data set. What has to hold stands in ``tests/kills.py``: the three that live end well, results
and tables are those of one process, no finished cell is run again, and nothing is left over. The record also counts
cells that were finished twice. Then six cells of some seconds each are run by one process and by two at once, one
thread each, whose processor seconds must be about the same: no work is done twice. Writes
``benchmarks/records/shared_runs.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RECORD = HERE / "records" / "shared_runs.json"
sys.path.insert(0, str(HERE.parent / "tests"))

from kills import Campaign, Scenario, outcome, shared, start  # noqa: E402

from bench.files import write_json  # noqa: E402
from bench.runs import environment  # noqa: E402


def _install(root: Path) -> None:
    """The data set and the plugin of ``benchmarks/kills.py``, which has the name of the module of the tests."""
    import importlib.util

    found = importlib.util.spec_from_file_location("kills_benchmark", HERE / "kills.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    module.install(root)
    os.environ["BENCH_PLUGINS"] += ",recsys-bench-neural"


def training() -> Scenario:
    """Six trainings of a network."""
    words = ["run", "--dataset", "tiny", "--models", "bsarec", "--seeds", "1-6", "--threads", "1"]
    words += ["--set", "bsarec.epochs=500", "--patience", "500"]
    return Scenario(
        "training",
        lambda f: [*words, "--results", str(f / "results")],
        [lambda f: ["datasets", "prepare", "tiny"]],
    )


def together(campaign: Campaign, processes: int) -> dict[str, Any]:
    """Seconds of a clock and of processors of so many processes that do the cells together."""
    folder = campaign._copy("timed")
    os.environ["BENCH_CACHE_DIR"] = str(folder / "cache")
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    pids = [start(campaign.scenario.words(folder), folder / f"log-{n}") for n in range(processes)]
    codes = [os.waitpid(pid, 0)[1] for pid in pids]
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    found = outcome(folder)
    return {
        "processes": processes,
        "seconds": round(seconds, 1),
        "processor seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "load before": round(os.getloadavg()[0], 1),
        "same results": not any(codes) and all(found.get(name) == it for name, it in campaign.expected.items()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=50)
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory(prefix="shared-") as name:
        _install(Path(name))
        campaign = Campaign(shared(), Path(name) / "shared")
        began = time.monotonic()
        campaign.prepare()
        seconds = time.monotonic() - began
        trainings = Campaign(training(), Path(name) / "training")
        trainings.prepare()
        timed = [together(trainings, processes) for processes in (1, 2)]
        rng, wrong, twice = random.Random(1), {}, 0
        for at in range(times):
            found, again = campaign.share(5, 2, seconds, rng)
            twice += again
            if found:
                wrong[at] = found
            print(f"{at + 1}/{times}: {len(wrong)} with something wrong, {twice} cells twice", flush=True)
    record = {"times": times, "wrong": wrong, "finished twice": twice, "timed": timed}
    write_json(RECORD, {**record, "hardware": environment.hardware()})
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
