"""Per-epoch log of a training, beside the model's checkpoints.

A resumed attempt replays it, so that early stopping and reported time equal those of an uninterrupted run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from bench.worker.seconds import Seconds


class Epoch(NamedTuple):
    """The end of one epoch."""

    stage: str
    epoch: int
    seconds: float
    """Of this stage up to here, earlier attempts included."""
    cpu_seconds: float
    """The same of processors."""
    score: float | None
    """None if the epoch was not validated."""

    @classmethod
    def of(cls, stage: str, epoch: int, spent: Seconds, score: float | None) -> Epoch:
        """An epoch at whose end the stage had taken ``spent``."""
        return cls(stage, epoch, spent.clock, spent.processor, score)

    @property
    def spent(self) -> Seconds:
        """Of this stage up to here."""
        return Seconds(self.seconds, self.cpu_seconds)


class EpochLog:
    """Epochs as JSON lines; of an epoch that was trained twice the later line counts."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._epochs: dict[tuple[str, int], Epoch] = {}
        if path is not None and path.is_file():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
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
                file.write(f"\n{json.dumps(epoch._asdict())}\n")  # behind a line that was cut off, too

    def until(self, stage: str, epoch: int) -> list[Epoch]:
        """The epochs of ``stage`` up to and with ``epoch``, in order."""
        return [self._epochs[key] for key in sorted(self._epochs) if key[0] == stage and key[1] <= epoch]
