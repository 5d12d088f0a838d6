"""Does a model, or the harness, know what it must not know? Checks on data made for the purpose.

- *Canary*: every user interacts with random items, so nobody can foresee the test items, nor tell the validation items
  from others without having learnt them. More hits than chance allows mean that they were seen.
- *Relabelling*: the same data under telling ids (a user's items follow each other) and under random ones. A model that
  does better under the first reads the ids.
- *Parts*: no test pair lies in what the worker is given, and no validation pair in train.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from bench.data.hidden import Split
from bench.evaluation.metrics import hit_matrix
from bench.interactions import Interactions
from bench.messages.cell import Result
from bench.messages.spec import RunSpec
from bench.runs.evaluate import read_lists
from bench.runs.execute import Watch, run_cells
from bench.runs.plan import Plan, make_plan
from bench.runs.store import Store

K = 10
SIGMAS = 5.0
"""Hits that far above chance (standard deviations) are no chance."""

ID_GAIN = 0.05
"""Gain of NDCG@10 by telling ids that is more than noise, beside three times the noise of seeds."""

TIME_BUDGET = 60.0
"""Seconds that a model may train on each of the data sets; a cheat shows long before a model is at its best."""

_USERS, _ITEMS, _LENGTH = 1500, 400, 12

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Users and items, both (n,)."""


class Finding(NamedTuple):
    """The outcome of one check of one model."""

    model: str
    check: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class _Run:
    plan: Plan
    results: list[Result]
    store: Store

    @property
    def split(self) -> Split:
        return self.plan.folds[None].split


def check_leaks(
    models: Sequence[str],
    options: Mapping[str, Mapping[str, Any]] | None = None,
    watch: Watch | None = None,
    confine: bool = True,
) -> list[Finding]:
    """Run every model on the canary and under both labellings, without anything kept from before, and judge.

    Raises
    ------
    BenchError
        For an unknown model or config key. A model that fails to run is a finding.
    """
    findings = []
    with tempfile.TemporaryDirectory(prefix="bench-leaks-") as folder, _cache(Path(folder) / "cache"):

        def run(name: str, pairs: Pairs, seeds: Sequence[int] = (1,)) -> _Run:
            spec = RunSpec(
                models=list(models),
                dataset=write_card(Path(folder), name, pairs),
                options={model: dict(changes) for model, changes in (options or {}).items()},
                protocol="colarec",
                seeds=list(seeds),
                ks=[K],
                time_budget=TIME_BUDGET,
                confine=confine,
            )
            planned, store = make_plan(spec), Store(Path(folder) / "results")
            return _Run(planned, run_cells(planned, store, watch or (lambda cell, event: None)), store)

        canary = run("canary", _random_pairs())
        findings += [Finding("(harness)", "parts", *_parts(canary.split))]
        for result in canary.results:
            findings += _judge_canary(canary, result)
        telling = _telling_pairs()
        order = np.random.default_rng(7).permutation(_ITEMS)
        runs = [run("telling-ids", telling, (1, 2)), run("random-ids", (telling[0], order[telling[1]]), (1, 2))]
        for name in dict.fromkeys(result.cell.model for result in canary.results):
            findings.append(_judge_labels(name, *runs))
    return findings


@contextmanager
def _cache(folder: Path) -> Iterator[None]:
    """An empty cache, so that nothing that was kept can hide or cause a leak."""
    before = os.environ.get("BENCH_CACHE_DIR")
    os.environ["BENCH_CACHE_DIR"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["BENCH_CACHE_DIR"]
        else:
            os.environ["BENCH_CACHE_DIR"] = before


def _random_pairs() -> Pairs:
    rng = np.random.default_rng(1)
    items = np.argsort(rng.random((_USERS, _ITEMS)), axis=1)[:, :_LENGTH]
    return np.repeat(np.arange(_USERS), _LENGTH), items.reshape(-1)


def _telling_pairs() -> Pairs:
    """Each user has a run of neighbouring items on a ring."""
    start = np.random.default_rng(2).integers(0, _ITEMS, _USERS)
    items = (start[:, None] + np.arange(_LENGTH)) % _ITEMS
    return np.repeat(np.arange(_USERS), _LENGTH), items.reshape(-1)


def write_card(root: Path, name: str, pairs: Pairs) -> str:
    """Write the pairs as tables, with titles of items, and their card; returns its path."""
    rows = "\n".join(f"u{user:05},i{item:05},{i}" for i, (user, item) in enumerate(zip(*pairs, strict=True)))
    (root / f"{name}.csv").write_text(f"user,item,time\n{rows}\n", encoding="utf-8")
    titles = "\n".join(f"i{item:05},thing {item}" for item in np.random.default_rng(3).permutation(_ITEMS))
    (root / f"{name}-items.csv").write_text(f"id,title\n{titles}", encoding="utf-8")
    source = {
        "reader": "table",
        "files": {
            "interactions": {"name": str(root / f"{name}.csv")},
            "items": {"name": str(root / f"{name}-items.csv")},
        },
        "options": {
            "columns": {"user": "user", "item": "item", "time": "time"},
            "items": {"id": "id", "title": "title"},
        },
    }
    card = {name: {"title": name, "sources": [source], "texts": {"item": {"parts": ["title {title}"]}}}}
    (root / f"{name}.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    return str(root / f"{name}.yaml")


def _parts(split: Split) -> tuple[bool, str]:
    """No pair in two parts; the folder that workers see holds no test pair."""
    visible = {path.name.split(".")[0] for path in split.visible.path.glob("*.indptr.npy")}
    shared = {
        f"{name} and test": _common(getattr(split.visible, name), split.hidden.test) for name in ("train", "valid")
    }
    shared["train and validation"] = _common(split.visible.train, split.visible.valid)
    found = ", ".join(f"{number:,} pairs in {parts}" for parts, number in shared.items() if number)
    strange = visible - {"train", "valid", "known"}
    return not found and not strange, found or (f"strange parts {strange}" if strange else "no pair in two parts")


def _common(one: Interactions, other: Interactions) -> int:
    first, second = (part.users * part.n_items + part.items for part in (one, other))
    return len(np.intersect1d(first, second))


def _judge_canary(run: _Run, result: Result) -> list[Finding]:
    name = result.cell.model
    if result.status == "failed":
        return [Finding(name, "canary", False, f"did not run: {result.reason}")]
    users, items = read_lists(run.store.path(result.cell_id) / "lists.parquet")
    items = items[:, :K]
    train = run.split.visible.train.select(users)
    findings = []
    for check, part in (("canary, test", run.split.hidden.test), ("canary, validation", run.split.visible.valid)):
        relevant = part.select(users)
        hits = int(hit_matrix(items, relevant).sum())
        chance = K / (_ITEMS - train.lengths) * relevant.lengths
        limit = chance.sum() + SIGMAS * np.sqrt((chance * (1 - chance)).sum())
        detail = f"{hits:,} of the random items of that part in its lists, by chance {chance.sum():.0f}"
        detail += f"; {limit:.0f} are too many to be chance: it has learnt from them" if hits > limit else ""
        findings.append(Finding(name, check, bool(hits <= limit), detail))
    return findings


def _judge_labels(name: str, telling: _Run, random: _Run) -> Finding:
    scores = []
    for run in (telling, random):
        own = [result for result in run.results if result.cell.model == name]
        failed = next((result for result in own if result.status == "failed"), None)
        if failed:
            return Finding(name, "relabelling", False, f"did not run: {failed.reason}")
        scores.append(np.array([result.groups["all"].metrics[f"ndcg@{K}"] for result in own]))
    gain = float(scores[0].mean() - scores[1].mean())
    noise = max(float(np.ptp(score)) for score in scores)
    limit = ID_GAIN + 3 * noise
    found = f"NDCG@{K} {scores[0].mean():.3f} with telling ids, {scores[1].mean():.3f} with random ones"
    return Finding(name, "relabelling", abs(gain) <= limit, f"{found}, may differ by {limit:.3f}")
