"""What was trained of a cell so far, epoch by epoch, on disk beside the model's working files.

An attempt that is killed leaves it behind, so that the next one, if it goes on from a checkpoint, is stopped as if
there had been one attempt, and owns up to the time of both.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple


class Epoch(NamedTuple):
    """The end of one epoch."""

    stage: str
    epoch: int
    seconds: float
    """Of this stage up to here, earlier attempts included."""
    score: float | None
    """None if the epoch was not validated."""


class Record:
    """Epochs as JSON lines; of an epoch that was trained twice the later line counts."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._epochs: dict[tuple[str, int], Epoch] = {}
        if path is not None and path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    self._take(Epoch(**json.loads(line)))
                except (ValueError, TypeError):  # the attempt died within the line
                    continue

    def _take(self, epoch: Epoch) -> None:
        self._epochs[epoch.stage, epoch.epoch] = epoch

    def add(self, epoch: Epoch) -> None:
        """Write it down at once: the model may be killed at any time."""
        self._take(epoch)
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(epoch._asdict()) + "\n")

    def until(self, stage: str, epoch: int) -> list[Epoch]:
        """The epochs of ``stage`` up to and with ``epoch``, in order."""
        return [self._epochs[key] for key in sorted(self._epochs) if key[0] == stage and key[1] <= epoch]
