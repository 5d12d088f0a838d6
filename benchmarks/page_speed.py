"""How long do making, opening and using the page of one table with 300 rows × 5 groups × 30 metrics take?

    python benchmarks/page_speed.py

In Chromium without a window. Opening is from the start of the navigation to the frame after the first drawing, a use
from the click to the frame after it, by the clock; and what the page's main thread computes for it, which other work on
the machine does not change. Targets: open in 1 s, each use in 0.1 s, a file below 5 MB. Needs the ``test`` extra and
Chromium. Writes ``benchmarks/records/page_speed.json``.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from playwright.sync_api import CDPSession, sync_playwright

from bench.data.protocol import PROTOCOLS
from bench.evaluation import metrics
from bench.files import write_json
from bench.messages.cell import Cell, GroupResult, Phase, PluginVersion, Result
from bench.report.page.build import build
from bench.report.page.files import write
from bench.runs import environment
from bench.runs.store import Store

RECORD = Path(__file__).parent / "records" / "page_speed.json"
ROWS, USERS, ROUNDS = 300, 300, 7
BOUNDS = {"all": (0, USERS), "long tail": (0, 60), "head": (60, USERS), "5-9": (0, 150), "10-19": (150, USERS)}
GROUPS = {name: slice(*bounds) for name, bounds in BOUNDS.items()}
METRICS = [f"{name}@{k}" for name in metrics.METRICS for k in (1, 5, 10, 20, 50)]
USES = {
    "sort": '[data-sort="fit"]',
    "group": 'input[value="head"], [data-choice="choose.group"]',
    "metric": 'input[value="recall"]',
    "cut-off": 'input[name="choose.cut"][value="20"]',
    "runs": '[data-choice="seeds"]',
    "details": ".row-name",
    "compared with": '[data-choice="choose.against"]',
    "language": 'input[value="zh"]',
    "theme": 'input[value="dark"]',
}
AFTER = "await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));"
OPEN = f"async () => {{ {AFTER} return performance.now(); }}"
USE = f"""async (words) => {{
  const one = document.querySelector(words);
  const start = performance.now();
  if (one.tagName === "SELECT") {{ one.selectedIndex = 2; one.dispatchEvent(new Event("change")); }} else one.click();
  {AFTER}
  return performance.now() - start;
}}"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "results")
        fill(store)
        start = time.perf_counter()
        page = build([store.root])
        built = time.perf_counter() - start
        paths = write(page, Path(folder) / "report.html")
        megabytes = paths[0].stat().st_size / 1e6
        clock, computed = measured(paths[0])
    record = {
        "rows": ROWS,
        "groups": len(GROUPS),
        "metrics": len(METRICS),
        "built_seconds": round(built, 1),
        "file_megabytes": round(megabytes, 2),
        "target_file_megabytes": 5,
        "median_ms": {name: round(statistics.median(times)) for name, times in clock.items()},
        "median_computed_ms": {name: round(statistics.median(times)) for name, times in computed.items()},
        "target_ms": {"open": 1000, "use": 100},
        "rounds": ROUNDS,
        "load_average": os.getloadavg()[0],
        "hardware": environment.hardware(),
        "git_revision": environment.git_revision(),
    }
    write_json(RECORD, record)
    print(json.dumps(record, indent=2))


def fill(store: Store) -> None:
    """Rows of one seed with values per user of the first metric."""
    rng = np.random.default_rng(0)
    for number in range(ROWS):
        cell = Cell(
            model=f"model-{number:03}", preset="default", config={"layers": number}, deterministic=True, seed=0,
            device="cpu", code="c" * 64, dataset="simulated", content="d" * 64, fingerprint="f" * 64,
            protocol=PROTOCOLS["random"],
        )  # fmt: skip
        values = np.clip(rng.normal(0.1 + number / 3000, 0.1, USERS), 0, 1).astype(np.float32)
        frame: dict[str, Any] = {"user": np.arange(USERS)}
        groups = {}
        for name, chosen in GROUPS.items():
            own = np.full(USERS, np.nan, np.float32)
            own[chosen] = values[chosen]
            frame[f"{name}/ndcg@10"] = own
            means = {metric: float(rng.random()) for metric in METRICS}
            means["ndcg@10"] = float(values[chosen].astype(np.float64).mean())
            errors = {metric: float(rng.random() / 50) for metric in METRICS}
            n = len(values[chosen])
            groups[name] = GroupResult(rule=name, members=name, n=n, metrics=means, errors=errors)
        costs = Phase(seconds=float(rng.lognormal(2, 2)), peak_mib=100 + number)
        looks = {f"{name}@{k}": float(rng.random()) for name in ("coverage", "gini", "novelty") for k in (5, 10, 20)}
        result = Result(
            cell_id=cell.id, cell=cell, status="finished", created="2026-01-01T00:00:00+00:00", groups=groups,
            beyond=looks, metrics_version=metrics.VERSION, phases=dict.fromkeys(("import", "fit", "recommend"), costs),
            plugin=PluginVersion(distribution="d", version="1"),
        )  # fmt: skip
        store.path(cell.id).mkdir(parents=True)
        store.commit(result)
        pd.DataFrame(frame).to_parquet(store.path(cell.id) / "per_user.parquet")


def measured(path: Path) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Milliseconds of opening and of each use: by the clock, and of the main thread alone."""
    clock: dict[str, list[float]] = {name: [] for name in ("open", *USES)}
    computed: dict[str, list[float]] = {name: [] for name in ("open", *USES)}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for _ in range(ROUNDS):
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            page.goto(path.as_uri())
            clock["open"].append(page.evaluate(OPEN))
            computed["open"].append(busy(session))
            for name, words in USES.items():
                page.wait_for_selector("html:not([data-busy])")
                before = busy(session)
                clock[name].append(page.evaluate(USE, words))
                computed[name].append(busy(session) - before)
            page.close()
        browser.close()
    return clock, computed


def busy(session: CDPSession) -> float:
    """Milliseconds that the main thread has computed so far."""
    found = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return 1000 * float(found["TaskDuration"])


if __name__ == "__main__":
    main()
