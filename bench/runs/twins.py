"""Cells that differ in the name of their preset alone, such as a tuned one whose best trial was the preset itself."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from bench.files import remove
from bench.messages.cell import Cell, Result, now
from bench.messages.spec import RunSpec
from bench.runs import environment
from bench.runs.refresh import refreshed
from bench.runs.store import Store
from bench.runs.task import Fold

_FILES = ("lists.parquet", "per_user.parquet", "worker.log")


def finished_ones(cells: Sequence[Cell], store: Store) -> dict[str, str]:
    """Ids of the finished cells of the models and fingerprints of ``cells``, by what they have in common with twins.

    Not those of ``cells`` themselves, which are to be run again: what they left cannot be used.
    """
    if not cells:
        return {}
    again = {cell.id for cell in cells}
    found = store.results(fingerprints={cell.fingerprint for cell in cells}, models={cell.model for cell in cells})
    finished = [result for result in found if result.status == "finished" and result.cell_id not in again]
    return {result.cell.without_preset: result.cell_id for result in finished}


def taken_over(cell: Cell, twin_id: str, fold: Fold, spec: RunSpec, store: Store) -> Result | None:
    """A result for ``cell`` with lists, metrics and model of its twin, whose files are copied; it is not stored yet.

    None if the twin's are damaged, or lack a model that is asked for.
    """
    twin, source, target = store.result(twin_id), store.path(twin_id), store.path(cell.id)
    current = None if twin is None else refreshed(twin, fold, spec.ks, store)
    if current is None or (spec.save_models and not (source / "model").is_dir()):
        return None
    for name in _FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    remove(target / "model")
    if (source / "model").is_dir():
        shutil.copytree(source / "model", target / "model")
    said = f"has the config of {current.cell.name}, whose lists these are: nothing was trained"
    update = {
        "cell_id": cell.id,
        "cell": cell,
        "created": now(),
        "asked": "",
        "command": environment.command_line(),
        "spec": spec,
        "warnings": [*current.warnings, said],
    }
    return current.model_copy(update=update)
