"""Rows that no worker made: lists of a file, and lists fused from others. They are measured as those of any model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.data.catalog import NAME
from bench.errors import ConfigError, ResultsError, plain
from bench.evaluation import metrics
from bench.interactions import Recommendations
from bench.messages.cell import Cell, Phase, PluginVersion, Result, now
from bench.runs import environment, evaluate
from bench.runs.claims import Heart, Held, claim
from bench.runs.refresh import asked_for, refreshed
from bench.runs.store import Store
from bench.runs.task import Fold, Task

_LONGEST = 60
"""Signs of a name."""


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a row.

    Raises
    ------
    ConfigError
        If it holds other signs than those of a name, or too many.
    """
    if not re.fullmatch(NAME, name) or len(name) > _LONGEST:
        raise ConfigError(f"--name takes at most {_LONGEST} letters, digits and . + - _, not '{plain(name, 60)}'")


@dataclass(frozen=True)
class Made:
    """Lists with their origin."""

    cell: Cell
    lists: Recommendations
    """A row of :attr:`Cell.list_length` slots for each test user; they may break the contract."""
    origin: PluginVersion
    held: str
    """What held whoever made them, in words."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    phases: Mapping[str, Phase] = field(default_factory=dict)
    personalized: bool | None = None
    """See :attr:`bench.messages.cell.Result.personalized`."""


def keep(made: Made, task: Task, ks: Sequence[int], store: Store) -> Result:
    """Measure the lists and store them as a finished cell; one that is there already is measured again if need be.

    Raises
    ------
    ResultsError
        If another run works at the cell, or its stored lists are damaged.
    """
    cell, fold = made.cell, task.folds[made.cell.fold]
    store.cells.mkdir(parents=True, exist_ok=True)
    held = claim(store.path(cell.id))
    if isinstance(held, Held):
        raise ResultsError(f"{held.holder} works at {cell.label}: try again when it is done")
    with Heart() as heart:
        heart.claims.add(held)
        try:
            before = store.result(cell.id)
            if before is not None and before.status == "finished":
                current = refreshed(before, fold, list(ks), store, held)
                if current is not None:
                    return asked_for([current], store, held)[0]
            result = _measured(made, task, fold, ks, store)
            store.write(result)
        finally:
            held.release()
    return result


def _measured(made: Made, task: Task, fold: Fold, ks: Sequence[int], store: Store) -> Result:
    cell, folder = made.cell, store.path(made.cell.id)
    users = evaluate.test_users(fold.split)
    lists, counted = evaluate.checked(made.lists, fold.split.visible, cell.protocol, users, cell.list_length)
    evaluate.keep_lists(folder / "lists.parquet", users, lists)
    reached = cell.reached(ks)
    return Result(
        cell_id=cell.id,
        cell=cell,
        status="finished",
        created=now(),
        groups=evaluate.measure(folder, fold.split, fold.groups, reached),
        beyond=evaluate.beyond_accuracy(folder, fold.split, reached),
        violations=counted,
        metrics_version=metrics.VERSION,
        plugin=made.origin,
        confinement=made.held,
        facts=dict(made.facts),
        warnings=list(made.warnings),
        phases=dict(made.phases),
        personalized=made.personalized,
        raw_checksums=task.dataset.facts["source"]["checksums"],
        git_revision=environment.git_revision(),
        command=environment.command_line(),
    )
