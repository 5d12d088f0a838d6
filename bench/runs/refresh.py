"""Keep results current: what was measured by other metrics, groups or cut-offs is measured again from the lists."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from bench.errors import ResultsError
from bench.evaluation import metrics
from bench.messages.cell import Cell, Result, now
from bench.runs import evaluate
from bench.runs.claims import Claim, Held, claim
from bench.runs.plan import Plan
from bench.runs.store import Store
from bench.runs.task import Fold

_log = logging.getLogger("bench")

_PATIENCE = 30.0
"""Seconds to wait for another run that works at a finished cell."""
_LOOK_AGAIN = 0.1
"""Seconds between two looks at a cell that another run works at."""


def refresh_metrics(plan: Plan, store: Store) -> None:
    """Measure again the finished results of the plan's table that the plan does not name.

    A result whose lists are damaged stays as it is; the table then leaves out what does not fit.
    """
    fingerprints, own = {cell.fingerprint for cell in plan.cells}, {cell.id for cell in plan.cells}
    for result in store.results(fingerprints=fingerprints):
        if result.status == "finished" and result.cell.fold in plan.folds and result.cell_id not in own:
            refreshed(result, plan.folds[result.cell.fold], plan.spec.ks, store)


def asked_for(results: Sequence[Result], store: Store, held: Claim | None = None) -> list[Result]:
    """The results, of which those count again that others of their rows have replaced: code or data went back.

    They are written under a claim, ``held`` or one of its own.
    """

    def row(cell: Cell) -> str:
        return cell.model_dump_json(exclude={"code", "content", "files"})

    cells = [result.cell for result in results]
    others = store.results(fingerprints={cell.fingerprint for cell in cells}, models={cell.model for cell in cells})
    rivals: dict[str, list[Result]] = {}
    for other in others:
        rivals.setdefault(row(other.cell), []).append(other)
    found = []
    for result in results:
        own = [other for other in rivals.get(row(result.cell), []) if other.cell_id != result.cell_id]
        if any(other.counts_from >= result.counts_from for other in own):
            result = _asked(result, store, held)
        found.append(result)
    return found


def _asked(result: Result, store: Store, held: Claim | None) -> Result:
    """The result as one that was asked for now; stored, unless another run works at it for long."""
    start = time.monotonic()
    while isinstance(got := held or claim(store.path(result.cell_id)), Held):
        if time.monotonic() - start > _PATIENCE:
            _log.warning("warning: %s counts in this table alone: %s works at it", result.cell.label, got.holder)
            return result.model_copy(update={"asked": now()})
        time.sleep(_LOOK_AGAIN)
    try:
        newest = store.result(result.cell_id) or result  # another run may have measured it for other groups
        store.write(asked := newest.model_copy(update={"asked": now()}))
        return asked
    finally:
        if held is None:
            got.release()


def refreshed(result: Result, fold: Fold, ks: list[int], store: Store, held: Claim | None = None) -> Result | None:
    """The result with all that is asked for, stored if that is new; None, with a warning, if its lists are damaged.

    It is measured under a claim, ``held`` or one of its own, since two runs may ask for different groups at once.
    """
    folder, start = store.path(result.cell_id), time.monotonic()
    while not _is_current(result, fold, ks, folder):
        got = held or claim(folder)
        if isinstance(got, Held) and time.monotonic() - start > _PATIENCE:
            _log.warning("warning: %s is not measured again: %s works at it", result.cell.label, got.holder)
            return result
        if isinstance(got, Held):
            time.sleep(_LOOK_AGAIN)
        else:
            result = store.result(result.cell_id) or result
            try:
                return _measured(result, fold, ks, store)
            except ResultsError as error:
                _log.warning("warning: %s cannot be measured again: %s", result.cell.label, error)
                return None
            finally:
                if held is None:
                    got.release()
        result = store.result(result.cell_id) or result
    return result


def _measured(result: Result, fold: Fold, ks: list[int], store: Store) -> Result:
    """The result, measured from its lists, in place of the one before."""
    current = result.metrics_version == metrics.VERSION
    before = metrics.cut_offs(name for group in result.groups.values() for name in group.metrics)
    cut_offs = sorted(before | set(result.cell.reached(ks)))
    kept = result.groups if current else {}
    groups = {**kept, **evaluate.measure(store.path(result.cell_id), fold.split, fold.groups, cut_offs)}
    looks = evaluate.beyond_accuracy(store.path(result.cell_id), fold.split, cut_offs)
    renewed = result.model_copy(update={"groups": groups, "beyond": looks, "metrics_version": metrics.VERSION})
    store.write(renewed)
    return renewed


def _is_current(result: Result, fold: Fold, ks: list[int], folder: Path) -> bool:
    """Whether all groups that are asked for were measured by today's rules at all cut-offs, in both files."""
    if result.metrics_version != metrics.VERSION:
        return False
    columns = evaluate.columns(folder / "per_user.parquet")
    cut_offs = result.cell.reached(ks)
    diverse = [f"{name}@{k}" for name in evaluate.item_vectors(fold.split.visible) for k in cut_offs if k > 1]
    if any(name not in result.beyond for name in (*(f"coverage@{k}" for k in cut_offs), *diverse)):
        return False
    for group in fold.groups:
        own = result.groups.get(group.name)
        if own is None or (own.rule, own.members) != (group.rule, group.content):
            return False
        names = [f"ndcg@{k}" for k in result.cell.reached(ks)] if own.n else []
        if any(name not in own.metrics or f"{group.name}/{name}" not in columns for name in names):
            return False
    return True
