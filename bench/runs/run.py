"""The main job: models × seeds on one data set under one protocol, what is missing of it, and the table."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data.catalog import card as find_card
from bench.data.dataset import Dataset
from bench.data.groups import find_groups
from bench.data.prepare import prepare, split
from bench.data.protocol import Protocol
from bench.data.protocol import protocol as find_protocol
from bench.errors import BenchError
from bench.plugins import find_model
from bench.runs import evaluate, machine
from bench.runs.ablate import variants, wanted
from bench.runs.cell import Cell, PluginVersion, Result
from bench.runs.describe import Request, describe
from bench.runs.execute import Fold, Task, Watch, execute
from bench.runs.job import Limits
from bench.runs.store import Store

if TYPE_CHECKING:
    import pandas as pd

LIST_LENGTH = 20
"""Shortest lists that are asked for, so that all usual cut-offs share one cell."""


@dataclass(frozen=True)
class Plan:
    """The cells of a run and what they share."""

    cells: list[Cell]
    task: Task
    dataset: Dataset
    protocol: Protocol


def plan(
    models: str | Sequence[str],
    dataset: str,
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    protocol: str | None = None,
    split_seed: int | None = None,
    history: str | None = None,
    exclude: str | None = None,
    candidates: str | None = None,
    groups: Sequence[str] = (),
    strict: bool = False,
    seeds: Sequence[int] = (1,),
    ks: Sequence[int] = (5, 10, 20),
    raw_dir: Path | str | None = None,
    jobs: int = 1,
    threads: int | None = None,
    device: str = "auto",
    timeout: float | None = None,
    time_budget: float | None = None,
    memory_limit: float | None = None,
    save_models: bool = False,
    ablate: bool | str | Sequence[str] | None = None,
) -> Plan:
    """Check everything that a user can get wrong, prepare the data, and list the cells. See :func:`run`."""
    named = [name for name in (models.split(",") if isinstance(models, str) else models) if name.strip()]
    if not named:
        raise BenchError("no model was named: see 'bench models list'")
    if not ks or min(ks) < 1:
        raise BenchError(f"cut-offs must be 1 or more, not {', '.join(map(str, ks)) or 'none'}: give some with --k")
    if not seeds:
        raise BenchError("no seed was given: give some with --seeds")
    requests = [Request.parse(name) for name in named]
    chosen = options or {}
    if strangers := set(chosen) - {request.model for request in requests}:
        raise BenchError(f"options are given for {', '.join(sorted(strangers))}, which --models does not name")
    card = find_card(dataset)
    rules = find_protocol(
        protocol or card.protocol, split_seed, history=history, exclude=exclude, candidates=candidates
    )
    described = describe([Request(r.model, r.preset, chosen.get(r.model)) for r in requests])
    ablations = wanted(described, ablate)
    data = prepare(card, Path(raw_dir) if raw_dir is not None else None, strict)
    user_ids = data.user_texts()["id"].tolist()
    folds = {}
    for fold in rules.folds:
        parts = split(data, rules, fold)
        folds[fold] = Fold(parts, find_groups(parts.visible.parts("train"), card.long_tail, user_ids, groups))
    task = Task(
        folds=folds,
        ks=sorted(set(ks)),
        raw_checksums=data.facts["source"]["checksums"],
        limits=Limits(
            timeout=timeout,
            memory=int(memory_limit * 2**30) if memory_limit else None,
            threads=threads or max(1, machine.cores() // jobs),
        ),
        save_models=save_models,
    )
    cells = {}
    for model, names in zip(described, ablations, strict=True):
        plugin = find_model(model.model)
        version = PluginVersion(
            distribution=plugin.distribution, version=plugin.version, source_hash=plugin.source_hash()
        )
        runs = itertools.product(variants(model, names), folds, [0] if model.deterministic else seeds)
        for (ablation, config), fold, seed in runs:
            cell = Cell(
                model=model.model,
                preset=model.preset,
                config=config,
                deterministic=model.deterministic,
                plugin=version,
                dataset=card.name,
                texts_hash=data.facts["texts_hash"],
                protocol=rules.model_dump(mode="json"),
                fingerprint=folds[fold].split.fingerprint,
                fold=fold,
                seed=seed,
                device=machine.device(device),
                time_budget=time_budget,
                list_length=max(LIST_LENGTH, *ks),
                ablation=ablation,
            )
            cells[cell.id] = cell
    return Plan(list(cells.values()), task, data, rules)


def carry_out(plan: Plan, store: Store, jobs: int, watch: Watch) -> list[Result]:
    """Run the cells of ``plan`` that have no result yet, or a failed one; results in the order of the plan."""
    store.open_for_writing()
    before = {cell.id: store.result(cell.id) for cell in plan.cells}
    missing = [cell for cell in plan.cells if (old := before[cell.id]) is None or old.status == "failed"]
    for cell in plan.cells:
        old = before[cell.id]
        if old is not None and old.status == "finished":
            store.forget_work(cell.id)
            before[cell.id] = current = _up_to_date(old, plan.task, store)
            watch(cell, {"event": "kept", "result": current})
    new = execute(missing, plan.task, store, jobs, watch) if missing else []
    done = {**before, **{result.cell_id: result for result in new}}
    return [result for cell in plan.cells if (result := done[cell.id]) is not None]


def _up_to_date(result: Result, task: Task, store: Store) -> Result:
    """The result with all metrics and groups that are asked for, measured anew from the stored lists if need be."""
    measured = result.groups["all"].metrics
    fold = task.folds[result.cell.fold]
    known = {(name, group.rule) for name, group in result.groups.items()}
    complete = {(group.name, group.rule) for group in fold.groups} <= known
    if result.versions == evaluate.VERSIONS and complete and all(f"ndcg@{k}" in measured for k in task.ks):
        return result
    ks = sorted({int(name.split("@")[1]) for name in measured} | set(task.ks))
    folder = store.path(result.cell_id)
    kept = result.groups if result.versions == evaluate.VERSIONS else {}
    groups = {**kept, **evaluate.measure(folder, fold.split, fold.groups, ks)}
    renewed = result.model_copy(update={"groups": groups, "versions": evaluate.VERSIONS})
    store.replace(renewed)
    return renewed


def run(
    models: str | Sequence[str], dataset: str, *, results: Path | str = "results", jobs: int = 1, **choices: Any
) -> pd.DataFrame:
    """Run models on a data set and return the leaderboard, one row per model.

    Parameters
    ----------
    models
        Names as in ``bench models list``, each perhaps with a preset: ``"ease,bpr"`` or ``["ease", "MODEL@PRESET"]``.
    dataset
        A name of ``bench datasets list``.
    results
        The results folder. Cells that it holds already are not run again.
    jobs
        Cells at a time; the machine's cores are shared among them.
    choices
        ``options``: config changes by model name; ``protocol``, ``split_seed``, ``history``, ``exclude``,
        ``candidates``: see :mod:`bench.data.protocol`; ``groups``: see :mod:`bench.data.groups`; ``strict``: bad raw
        rows are errors; ``seeds``: of the models, default ``(1,)``; ``ks``: cut-offs, default ``(5, 10, 20)``;
        ``raw_dir``: folder of raw files; ``threads``: of each cell; ``device``: ``auto``, ``cpu``, ``cuda``, …;
        ``timeout``: seconds after which a cell is killed; ``time_budget``: seconds that a model may train, which it
        ends in good order; ``memory_limit``: GiB of address space of a worker; ``save_models``: keep trained models in
        their cells; ``ablate``: True for all ablations of the models, or names, each a row beside the whole model.

    Returns
    -------
    One row per model of the table, columns ``model``, ``preset``, ``ablation``, ``backbone``, ``seeds``, ``status``,
    ``reason``, costs, and ``GROUP/METRIC@K``. Paired differences to the whole model: :mod:`bench.report.ablations`.

    Raises
    ------
    BenchError
        For anything that the caller can mend. A failing model is a row with ``status`` "failed", not an error.
    """
    from bench.report.table import tables

    planned = plan(models, dataset, jobs=jobs, **choices)
    store = Store(Path(results))
    done = carry_out(planned, store, jobs, lambda cell, event: None)
    [table] = tables(done)
    return table.frame()
