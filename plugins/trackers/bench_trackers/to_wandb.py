"""Weights & Biases: a run for each cell, offline unless ``WANDB_MODE`` says otherwise."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.messages.cell import Cell, Result, ValidationRecord
from bench_trackers.content import metrics, parameters, provenance
from bench_trackers.hooks import Hooks, lacking

try:
    import wandb
except ModuleNotFoundError as error:
    raise lacking("wandb") from error

_INTERRUPTED = 130
"""Exit code of a run that was interrupted, as in a shell."""


class WandbTracker:
    """Writes to ``wandb`` in the folder; project, entity and the like are W&B's own settings."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs: dict[str, Any] = {}

    def knows(self, result: Result) -> bool:
        """W&B's own files cannot be asked; a mark beside them says which results were told."""
        return self._mark(result).exists()

    def begin(self, cell: Cell) -> None:
        for earlier in self._folder.glob(f"wandb/offline-run-*-{cell.id}"):
            shutil.rmtree(earlier)
        self._folder.mkdir(parents=True, exist_ok=True)
        settings = wandb.Settings(console="off", silent=True, disable_git=True, save_code=False, x_disable_stats=True)
        run: Any = wandb.init(
            id=cell.id,
            name=cell.label,
            group=f"{cell.dataset} {cell.protocol.name} {cell.fingerprint[:8]}",
            project=os.environ.get("WANDB_PROJECT", "recsys-bench"),
            config=parameters(cell),
            dir=str(self._folder),
            mode=None if "WANDB_MODE" in os.environ else "offline",  # None: what that variable says
            reinit="create_new",
            settings=settings,
        )
        self._runs[cell.id] = run

    def validated(self, cell: Cell, records: Sequence[ValidationRecord]) -> None:
        for record in records:
            name = "/".join(filter(None, ("validation", record.stage, cell.stopping.name)))
            self._runs[cell.id].log({name: record.score, "epoch": record.epoch})

    def end(self, cell: Cell, result: Result) -> None:
        run = self._runs.pop(cell.id)
        run.summary.update({**metrics(result), **provenance(result)})
        run.finish(exit_code=0 if result.status == "finished" else 1)
        self._mark(result).parent.mkdir(parents=True, exist_ok=True)
        self._mark(result).touch()

    def close(self, interrupted: Sequence[Cell]) -> None:
        for cell in interrupted:
            self._runs.pop(cell.id).finish(exit_code=_INTERRUPTED)

    def _mark(self, result: Result) -> Path:
        return self._folder / "wandb" / "told" / f"{result.cell_id}-{result.created.replace(':', '')}"


hooks = Hooks(WandbTracker)
