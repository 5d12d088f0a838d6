"""TensorBoard: a folder for each cell, with scalars by epoch, final metrics and hyperparameters."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.files import write_text
from bench.messages.cell import Cell, Result, ValidationRecord
from bench_trackers.content import metrics, parameters, provenance
from bench_trackers.hooks import Hooks, lacking

try:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
    from tensorboard.plugins.hparams.metadata import SESSION_END_INFO_TAG, create_summary_metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb
    from tensorboard.plugins.text.summary_v2 import text_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
except ModuleNotFoundError as error:
    raise lacking("tensorboard") from error


class TensorboardTracker:
    """Writes to ``tensorboard/LABEL-ID`` in the folder; the file ``created`` there says which result it is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "tensorboard"
        self._writers: dict[str, Any] = {}

    def knows(self, result: Result) -> bool:
        marks = self._folder.glob(f"*-{result.cell_id}/created")
        return any(mark.read_text(encoding="utf-8") == result.created for mark in marks)

    def begin(self, cell: Cell) -> None:
        for earlier in self._folder.glob(f"*-{cell.id}"):
            shutil.rmtree(earlier)
        self._writers[cell.id] = EventFileWriter(str(self._place(cell)))
        self._write(cell, hparams_pb(parameters(cell), trial_id=cell.id))

    def validated(self, cell: Cell, records: Sequence[ValidationRecord]) -> None:
        for record in records:
            name = "/".join(filter(None, ("validation", record.stage, cell.stopping.name)))
            self._write(cell, scalar_pb(name, record.score), record.epoch)
        self._writers[cell.id].flush()

    def end(self, cell: Cell, result: Result) -> None:
        for name, value in metrics(result).items():
            self._write(cell, scalar_pb(name, value))
        for name, told in provenance(result).items():
            self._write(cell, text_pb(name, told))
        self._write(cell, _end_of(result))
        self._writers.pop(cell.id).close()
        write_text(self._place(cell) / "created", result.created)

    def close(self, interrupted: Sequence[Cell]) -> None:
        for cell in interrupted:
            self._writers.pop(cell.id).close()

    def _place(self, cell: Cell) -> Path:
        return self._folder / f"{re.sub(r'[^A-Za-z0-9.+-]+', '_', cell.label)}-{cell.id}"

    def _write(self, cell: Cell, summary: Any, step: int = 0) -> None:
        self._writers[cell.id].add_event(Event(wall_time=time.time(), step=step, summary=summary))


def _end_of(result: Result) -> Any:
    """How a session ended, as the page of hyperparameters shows it."""
    status = STATUS_SUCCESS if result.status == "finished" else STATUS_FAILURE
    metadata = create_summary_metadata(HParamsPluginData(session_end_info=SessionEndInfo(status=status)))
    return Summary(value=[Summary.Value(tag=SESSION_END_INFO_TAG, metadata=metadata)])


hooks = Hooks(TensorboardTracker)
