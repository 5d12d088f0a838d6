"""Run again what stored results are of: the same config, seeds, data and protocol, by the code that is here now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.errors import ResultsError, plain
from bench.evaluation.metrics import cut_offs
from bench.messages.cell import Cell, Result
from bench.messages.spec import RunSpec
from bench.runs.fuse import FUSED
from bench.runs.lists import IMPORTED
from bench.runs.plan import Plan, make_plan


def plan_again(results: Sequence[Result], dataset: str, raw_dir: Path | None, device: str | None = None) -> Plan:
    """The cells of ``results``, which are those of one row, as they are planned now.

    Parameters
    ----------
    dataset
        A name of ``bench datasets list``, or the path of a card.
    device
        In place of that of the results.

    Raises
    ------
    BenchError
        If no model made the row, its model, config or protocol is no longer there, or the data are others.
    """
    first = results[0]
    cell = first.cell
    if cell.preset in (FUSED, IMPORTED):
        raise ResultsError(f"{plain(cell.name)} is made of lists, and not by a model: there is nothing to run again")
    spec = RunSpec(
        models=[cell.model],
        dataset=dataset,
        options={cell.model: cell.config},
        **_rules(cell),
        seeds=sorted({result.cell.seed for result in results}),
        ks=sorted(cut_offs(first.groups["all"].metrics)),
        raw_dir=raw_dir,
        threads=first.hardware.get("threads"),
        processes=first.hardware.get("processes", 1),
        device=device or cell.device,
        time_budget=cell.time_budget,
        save_models=False,
        stopping=cell.stopping,
    )
    plan = make_plan(spec)
    if plan.cells[0].fingerprint != cell.fingerprint:
        before, now = first.raw_checksums, plan.raw_checksums
        changed = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
        what = f"other raw files: {', '.join(map(plain, changed))}" if changed else "other filters or rules"
        raise ResultsError(
            f"{cell.dataset} under protocol '{cell.protocol.name}' is not what it was ({what}; fingerprint "
            f"{cell.fingerprint[:8]}, here {plan.cells[0].fingerprint[:8]}): give the same files with --raw-dir"
        )
    # What was tuned in each of several splits has a config of its own in each.
    configs = {(result.cell.fold, result.cell.seed): {"config": result.cell.config} for result in results}
    found = [(one, configs.get((one.fold, one.seed))) for one in plan.cells]
    return replace(plan, cells=[Cell.model_validate({**one.model_dump(), **own}) for one, own in found if own])


def _rules(cell: Cell) -> dict[str, Any]:
    """The fields of a spec that come to the protocol of the cell."""
    rules = cell.protocol
    drawn = getattr(rules.split, "order", "random") == "random"
    return {
        "protocol": rules.name.rstrip("*"),
        "split_seed": getattr(rules.split, "seed", None) if drawn else None,
        "history": rules.history,
        "exclude": rules.exclude,
        "candidates": rules.candidates,
        "fit": rules.fit,
    }


def what_differs(before: Result, now: Result) -> list[str]:
    """In code, packages, data, config and machine, a line each."""
    old, new = before.cell, now.cell
    lines = []
    if old.code != new.code:
        plugins = [f"{one.plugin.distribution} {one.plugin.version}" for one in (before, now)]
        lines.append(f"code: {plugins[0]} means something else than {plugins[1]}, which is here")
    lines += _changes("config", old.config, new.config)
    lines += _changes("packages", before.packages, now.packages)
    if old.content != new.content:
        lines.append("data: the same interactions and split, but other times or texts")
    lines += _changes("files that the config names", old.files, new.files)
    if before.metrics_version != now.metrics_version:
        lines.append(f"metrics: version {before.metrics_version}, here {now.metrics_version}")
    machine = ("processor", "system", "threads", "processes")
    lines += _changes("machine", *({name: one.hardware.get(name) for name in machine} for one in (before, now)))
    lines += _changes("machine", {"device": old.device}, {"device": new.device})
    if before.stopped_by_budget or now.stopped_by_budget:
        lines.append("time budget: it ended the training, and what is learnt in it depends on the machine")
    if now.cached_seconds:
        lines.append(f"kept: intermediate results of {now.cached_seconds:.0f} s were found, and not made again")
    return [plain(line) for line in lines]


def _changes(what: str, before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    told = (f"{key} {_shown(before, key)} -> {_shown(now, key)}" for key in changed)
    return [f"{what}: {', '.join(told)}"] if changed else []


def _shown(values: dict[str, Any], key: str) -> str:
    return str(values[key])[:60] if key in values else "none"
