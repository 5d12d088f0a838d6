"""Kill commands at every file operation and at random moments: is anything lost, changed, trained twice or left over?

    python benchmarks/kills.py [--random 200] [--only SCENARIO]

For each of six commands (prepare, a fresh run, a resumed one, measuring again, leaderboard, recommend) every file
operation below the results folder and the cache is found by an audit hook, and the command is killed right before
each of them once and run again. Then a run is killed at random moments: its parent, its worker, the worker's
guardian, or all. What has to hold stands in ``tests/kills.py``. Writes ``benchmarks/records/kills.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

import yaml

TESTS = Path(__file__).parent.parent / "tests"
RECORD = Path(__file__).parent / "records" / "kills.json"
sys.path.insert(0, str(TESTS))

from kills import Campaign, outcome, run, scenarios, stamps  # noqa: E402

import bench.data.catalog  # noqa: E402
from bench.runs import environment  # noqa: E402

TARGETS = ("parent", "worker", "guardian", "all")


def install(root: Path) -> None:
    """The data set ``tiny`` and the plugin with checkpoints of the tests, for this process and its children."""
    raw, site = root / "raw", root / "site"
    raw.mkdir()
    rng = random.Random(0)
    pairs = [(user, item) for user in range(48) for item in rng.sample(range(40), rng.randint(5, 12))]
    rng.shuffle(pairs)
    rows = "".join(f"u{user:03},i{item:03},{10 * at}\n" for at, (user, item) in enumerate(pairs))
    (raw / "tiny.csv").write_text(f"user,item,time\n{rows}")
    columns = {"columns": {"user": "user", "item": "item", "time": "time"}}
    source = {"reader": "table", "files": {"interactions": {"name": "tiny.csv"}}, "options": columns}
    (root / "cards.yaml").write_text(yaml.safe_dump({"tiny": {"title": "Tiny", "sources": [source]}}))
    shutil.copytree(TESTS / "rough_plugin" / "rough", site / "rough")
    project = tomllib.loads((TESTS / "rough_plugin" / "pyproject.toml").read_text())["project"]
    info = site / "rough_plugin-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rough-plugin\nVersion: 0.3\n")
    groups = [
        f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in e.items()) for group, e in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))
    sys.path.insert(0, str(site))
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    names = {"PYTHONPATH": path, "BENCH_RAW_DIR": raw, "BENCH_PLUGINS": "rough-plugin,recsys-bench-classic"}
    os.environ.update({name: str(value) for name, value in names.items()})
    bench.data.catalog._cards_file = lambda: root / "cards.yaml"


def every_operation(root: Path, only: str | None) -> dict[str, Any]:
    """By scenario: operations tried, and what was wrong at which."""
    found = {}
    for scenario in scenarios():
        if only in (None, scenario.name):
            campaign = Campaign(scenario, root / scenario.name.replace(" ", "-"))
            campaign.prepare()
            wrong = {at: said for at in range(1, campaign.operations + 1) if (said := campaign.kill(at))}
            found[scenario.name] = {"operations": campaign.operations, "wrong": wrong}
            print(f"{scenario.name}: {campaign.operations} operations, {len(wrong)} with something wrong", flush=True)
    return found


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def random_kills(root: Path, times: int) -> dict[str, Any]:
    """Kill a run of two models at random moments; the moments and targets come from a fixed seed."""
    fresh = next(scenario for scenario in scenarios() if scenario.name == "fresh run")
    campaign = Campaign(fresh, root / "random")
    start = time.monotonic()
    campaign.prepare()
    duration = (time.monotonic() - start) / 2
    rng, wrong, hit = random.Random(1), {}, 0
    for at in range(times):
        folder = campaign._copy("attempt")
        os.environ["BENCH_CACHE_DIR"] = str(folder / "cache")
        pid = os.fork()
        if pid == 0:
            os._exit(os.waitstatus_to_exitcode(run(fresh.words(folder), log=folder / "log")[0]) & 127)
        time.sleep(rng.uniform(0, duration))
        target, before = rng.choice(TARGETS), stamps(folder)
        hit += _kill(pid, target)
        os.waitpid(pid, 0)
        campaign._run(folder, fresh.words(folder))
        after, found = stamps(folder), outcome(folder)
        said = [f"finished cell {cell} was run again" for cell in before if after.get(cell) != before[cell]]
        said += [f"{name} differs" for name in campaign.expected if found.get(name) != campaign.expected[name]]
        said += [f"left over: {name}" for name in found.keys() - campaign.expected.keys()]
        if said:
            wrong[at] = [target, *said]
    print(f"random kills: {times}, of which {hit} hit a process, {len(wrong)} with something wrong", flush=True)
    return {"kills": times, "hit": hit, "wrong": wrong}


def _kill(pid: int, target: str) -> bool:
    """Whether there was such a process."""
    parents = children(pid)
    guardians = [child for parent in parents for child in children(parent)]
    workers = [child for guardian in guardians for child in children(guardian)]
    chosen = {"parent": parents, "guardian": guardians, "worker": workers, "all": [*workers, *guardians, *parents]}
    for one in chosen[target]:
        try:
            os.kill(one, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return bool(chosen[target])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--random", type=int, default=200)
    parser.add_argument("--only", help="One scenario by its name.")
    named = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        install(Path(name))
        record = {
            "every_operation": every_operation(Path(name), named.only),
            "random": random_kills(Path(name), named.random) if named.random else None,
            "hardware": environment.hardware(),
            "git_revision": environment.git_revision(),
        }
    if named.only is None:
        RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(record["every_operation"], indent=2)[:3000])


if __name__ == "__main__":
    main()
