"""Keep results current: what was measured by other metrics, groups or cut-offs is measured again from the lists."""

from __future__ import annotations

import logging

from bench.data.groups import Group
from bench.errors import ResultsError
from bench.evaluation import metrics
from bench.files import write_text
from bench.messages.cell import Result
from bench.runs import evaluate
from bench.runs.plan import Fold, Plan
from bench.runs.store import Store

_log = logging.getLogger("bench")


def refresh_metrics(plan: Plan, store: Store) -> None:
    """Measure again the finished results of the plan's table that the plan does not name.

    A result whose lists are damaged stays as it is; the table then leaves out what does not fit.
    """
    fingerprints, own = {cell.fingerprint for cell in plan.cells}, {cell.id for cell in plan.cells}
    for result in store.results():
        shared = result.cell.fingerprint in fingerprints and result.cell.fold in plan.folds
        if result.status == "finished" and shared and result.cell_id not in own:
            refreshed(result, plan.folds[result.cell.fold], plan.spec.ks, store)


def refreshed(result: Result, fold: Fold, ks: list[int], store: Store) -> Result | None:
    """The result with all that is asked for, stored if that is new; None, with a warning, if its lists are damaged."""
    try:
        return _refreshed(result, fold, ks, store)
    except ResultsError as error:
        _log.warning("warning: %s cannot be measured again: %s", result.cell.label, error)
        return None


def _refreshed(result: Result, fold: Fold, ks: list[int], store: Store) -> Result:
    before = result.groups["all"].metrics
    wanted = [k for k in ks if k <= result.cell.list_length]
    measured = (store.path(result.cell_id) / "per_user.parquet").is_file()
    current = measured and result.metrics_version == metrics.VERSION
    known = all(_is_current(result, group) for group in fold.groups)
    if current and known and all(f"ndcg@{k}" in before for k in wanted):
        return result
    cut_offs = sorted({int(name.split("@")[1]) for name in before} | set(wanted))
    kept = result.groups if current else {}
    groups = {**kept, **evaluate.measure(store.path(result.cell_id), fold.split, fold.groups, cut_offs)}
    renewed = result.model_copy(update={"groups": groups, "metrics_version": metrics.VERSION})
    write_text(store.path(result.cell_id) / "result.json", renewed.model_dump_json(indent=2) + "\n")
    return renewed


def _is_current(result: Result, group: Group) -> bool:
    own = result.groups.get(group.name)
    return own is not None and (own.rule, own.members) == (group.rule, group.content)
