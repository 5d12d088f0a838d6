"""Writes every life-cycle hook as a JSON line into the file that ROUGH_HOOKS names."""

import json
import os
from pathlib import Path

from bench import hookimpl


def _tell(hook, **facts):
    if path := os.environ.get("ROUGH_HOOKS"):
        with Path(path).open("a") as file:
            file.write(json.dumps({"hook": hook, **facts}) + "\n")


@hookimpl
def bench_run_started(cells):
    _tell("run started", models=[cell.model for cell in cells])


@hookimpl
def bench_event(cell, event):
    if event.event == "started":
        _tell("cell started", model=cell.model)
    elif event.event == "validation":
        _tell("validation", model=cell.model, **event.model_dump(exclude={"event"}))


@hookimpl
def bench_cell_finished(cell, result):
    _tell("cell finished", model=cell.model, status=result.status)


@hookimpl
def bench_run_finished(results):
    _tell("run finished", models=[result.cell.model for result in results])
