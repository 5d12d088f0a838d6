"""A row of other rows: their stored lists, fused by rank."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import ConfigError, ResultsError
from bench.evaluation import fusion
from bench.files import content_hash
from bench.messages.cell import Cell, Phase, PluginVersion, Result
from bench.runs.evaluate import read_lists, test_users
from bench.runs.made import Made, check_name, keep
from bench.runs.store import Store
from bench.runs.task import Task

FUSED = "fused"
"""The preset of such rows."""

_VERSION = 1
"""Goes up when the same lists are fused into others."""


def fuse_rows(
    members: Mapping[str, Sequence[Result]],
    name: str,
    task: Task,
    ks: Sequence[int],
    store: Store,
    rule: str = "rrf",
    weights: Sequence[float] | None = None,
    constant: float | None = None,
) -> list[Result]:
    """Make the row ``name`` of rows: for each fold and seed that all have, their lists as one.

    Parameters
    ----------
    members
        The finished results of each row, by its name. Those of a row that does not depend on seeds go with every seed.
    weights
        One for each row, in their order; equal ones by default. Nothing here chooses them.
    constant
        Of the rule ``rrf`` alone; by default :data:`bench.evaluation.fusion.CONSTANT`.

    Raises
    ------
    BenchError
        If the rows or the weights are not allowed, no seed is common to the rows, or stored lists are damaged.
    """
    check_name(name)
    if len(members) < 2:
        raise ConfigError("give two rows or more to fuse")
    weights = [1.0] * len(members) if weights is None else list(weights)
    if len(weights) != len(members) or not all(0 < weight < math.inf for weight in weights):
        raise ConfigError(f"--weights takes a positive number for each of the {len(members)} rows")
    if rule != "rrf" and constant is not None:
        raise ConfigError(f"--constant is of --rule rrf: {rule} has none")
    constant = fusion.CONSTANT if constant is None else constant
    if not 0 <= constant < math.inf:
        raise ConfigError(f"--constant takes a number from 0 on, not {constant:g}")
    runs = {(fold, seed): _run(members, fold, seed) for seed in _seeds(members) for fold in task.folds}
    ids = [[result.cell_id for result in results] for results in runs.values()]
    config: dict[str, Any] = {"rows": list(members), "rule": rule, "weights": weights}
    config |= {"constant": constant} if rule == "rrf" else {}
    length = min(result.cell.list_length for results in runs.values() for result in results)
    if length < min(ks):
        raise ConfigError(f"lists of {length} items cannot be measured at {min(ks)}: give --k {length}")
    said = f"fused by {rule} from {', '.join(members)}, with weights {', '.join(f'{w:g}' for w in weights)}"
    said += f" and constant {constant:g}" if rule == "rrf" else ""
    made = []
    for (fold, seed), results in runs.items():
        users = test_users(task.folds[fold].split)
        lists = [_lists(result, users, store) for result in results]
        cell = Cell(
            model=name,
            preset=FUSED,
            config=config,
            deterministic=all(result.cell.deterministic for result in results),
            code=content_hash([_VERSION, ids]),
            dataset=task.card.name,
            content=task.folds[fold].split.visible.content,
            protocol=task.protocol,
            fingerprint=task.fingerprint,
            fold=fold,
            seed=seed,
            device="cpu",
            list_length=length,
        )
        one = Made(
            cell=cell,
            lists=fusion.fuse(lists, weights, rule, length, constant),
            origin=PluginVersion(distribution="recsys-bench fuse", version=str(_VERSION)),
            held="; ".join(dict.fromkeys(result.confinement for result in results)),
            facts={"cells": [result.cell_id for result in results]},
            warnings=[said],
            phases=_cost(results),
            personalized=_personalized(results),
        )
        made.append(keep(one, task, ks, store))
    return made


def _seeds(members: Mapping[str, Sequence[Result]]) -> list[int]:
    """The seeds that all rows have which depend on seeds; 0 if none does."""
    depending = [{r.cell.seed for r in results} for results in members.values() if not results[0].cell.deterministic]
    if not depending:
        return [0]
    if not (common := set.intersection(*depending)):
        raise ResultsError(f"{', '.join(members)} have no seed in common: run them with the same --seeds")
    return sorted(common)


def _run(members: Mapping[str, Sequence[Result]], fold: int | None, seed: int) -> list[Result]:
    """A result of each row for this fold and seed."""
    found = []
    for name, results in members.items():
        fitting = (r for r in results if r.cell.fold == fold and (r.cell.deterministic or r.cell.seed == seed))
        if (one := next(fitting, None)) is None:
            raise ResultsError(f"{name} has no finished run of fold {fold} with seed {seed}: run it again")
        found.append(one)
    return found


def _lists(result: Result, users: NDArray[np.int64], store: Store) -> NDArray[np.int32]:
    own, items = read_lists(store.path(result.cell_id) / "lists.parquet")
    if not np.array_equal(own, users):
        raise ResultsError(f"the lists of {result.cell.label} are of other users than the split: run it again")
    return items


def _personalized(results: Sequence[Result]) -> bool | None:
    """Lists of users differ if those of one part do; not known if that is not known of a part."""
    known = {result.personalized for result in results}
    return True if True in known else None if None in known else False


def _cost(results: Sequence[Result]) -> dict[str, Phase]:
    """What all of them took together; empty if it is not known of one."""
    shared = set.intersection(*(set(result.phases) for result in results))
    return {
        phase: Phase(
            seconds=sum(result.phases[phase].seconds for result in results),
            peak_mib=max(result.phases[phase].peak_mib for result in results),
        )
        for phase in sorted(shared)
    }
