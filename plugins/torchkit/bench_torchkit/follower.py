"""A process that trains with others and does what their leader tells it: ``FOLDER RANK SIZE DEVICE``."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from bench.errors import one_line
from bench_torchkit.team import REASON, STAGE, TASK, Team
from bench_torchkit.trainer import Place, Trainer


def _nothing(*told: Any) -> None:
    """The leader tells the harness."""


def main(team: Team) -> None:
    """Train until the leader has no more epochs."""
    team.join()
    task, settings = torch.load(team.folder / TASK, map_location=team.device, weights_only=False)
    silent: Any = SimpleNamespace(log=_nothing, note=_nothing, progress=_nothing)
    trainer = Trainer(task, silent, settings, team=team)
    while (place := team.hear()) is not None:
        if place.epoch:
            trainer.train_epoch(Place(*place))
        else:
            trainer.load(team.folder / STAGE)
            task.enter(place.stage)


if __name__ == "__main__":
    _folder, _rank, _size, _device = sys.argv[1:]
    _team = Team(int(_rank), int(_size), _device, Path(_folder))
    try:
        main(_team)
    except Exception as error:  # noqa: BLE001 (whatever a task raises; the leader says it)
        traceback.print_exc()
        (_team.folder / REASON.format(_team.rank)).write_text(one_line(error), encoding="utf-8")
        sys.exit(1)
