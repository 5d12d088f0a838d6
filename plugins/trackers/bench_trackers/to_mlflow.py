"""MLflow: an experiment for each data set and protocol, a run for each cell."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.messages.cell import Cell, Result, ValidationRecord
from bench_trackers.content import metrics, parameters, provenance
from bench_trackers.hooks import Hooks, lacking

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

try:
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.tracking import MlflowClient
except ModuleNotFoundError as error:
    raise lacking("mlflow") from error

_CELL, _CREATED = "bench.cell", "bench.created"
_LONGEST = 5000
"""Characters of a value; MLflow takes 6000 of a parameter and 8000 of a tag."""
_AT_ONCE = 100
"""Parameters or tags that MLflow takes in one call; of metrics it takes ten times as many."""


class MlflowTracker:
    """Writes to ``$MLFLOW_TRACKING_URI``, or to ``mlflow.db`` in the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if not (place := os.environ.get("MLFLOW_TRACKING_URI")):
            folder.mkdir(parents=True, exist_ok=True)
            place = f"sqlite:///{folder}/mlflow.db"
        self._client: Any = MlflowClient(place)
        self._runs: dict[str, str] = {}
        """Run ids of the cells that were begun."""

    def knows(self, result: Result) -> bool:
        return any(run.data.tags.get(_CREATED) == result.created for run in self._of(result.cell))

    def begin(self, cell: Cell) -> None:
        for run in self._of(cell):
            self._client.delete_run(run.info.run_id)
        made = self._client.create_run(self._experiment(cell), run_name=cell.label, tags={_CELL: cell.id})
        self._runs[cell.id] = made.info.run_id
        told = [Param(_name(key), str(value)[:_LONGEST]) for key, value in parameters(cell).items()]
        for start in range(0, len(told), _AT_ONCE):
            self._client.log_batch(made.info.run_id, params=told[start : start + _AT_ONCE])

    def validated(self, cell: Cell, records: Sequence[ValidationRecord]) -> None:
        for record in records:
            name = "/".join(filter(None, ("validation", record.stage, cell.stopping.name)))
            self._client.log_metric(self._runs[cell.id], _name(name), record.score, step=record.epoch)

    def end(self, cell: Cell, result: Result) -> None:
        run = self._runs.pop(cell.id)
        now = self._client.get_run(run).info.start_time
        told = [Metric(_name(key), value, now, 0) for key, value in metrics(result).items()]
        for start in range(0, len(told), _AT_ONCE):
            self._client.log_batch(run, metrics=told[start : start + _AT_ONCE])
        tags = [RunTag(f"bench.{key}", value[:_LONGEST]) for key, value in provenance(result).items() if value]
        self._client.log_batch(run, tags=tags)
        self._client.set_terminated(run, "FINISHED" if result.status == "finished" else "FAILED")

    def close(self, interrupted: Sequence[Cell]) -> None:
        for cell in interrupted:
            self._client.set_terminated(self._runs.pop(cell.id), "KILLED")

    def _experiment(self, cell: Cell) -> str:
        name = f"{cell.dataset} {cell.protocol.name} {cell.fingerprint[:8]}"
        found = self._client.get_experiment_by_name(name)
        if found is None:
            artifacts = None if os.environ.get("MLFLOW_TRACKING_URI") else str(self._folder / "mlflow-artifacts")
            return str(self._client.create_experiment(name, artifacts))
        if found.lifecycle_stage == "deleted":  # its name stays taken
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _of(self, cell: Cell) -> list[Any]:
        """The runs of a cell."""
        return list(self._client.search_runs([self._experiment(cell)], f"tags.`{_CELL}` = '{cell.id}'"))


def _name(name: str) -> str:
    """MLflow's own way to write ``ndcg@10`` is ``ndcg_at_10``; of other signs it allows few."""
    return re.sub(r"[^\w./ -]", "_", name.replace("@", "_at_"))


hooks = Hooks(MlflowTracker)
