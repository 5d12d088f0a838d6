"""Writes every life-cycle hook as a JSON line into the file that ROUGH_HOOKS names."""

import json
import os
from pathlib import Path

from bench.contract import hookimpl


def _tell(hook, **facts):
    if path := os.environ.get("ROUGH_HOOKS"):
        with Path(path).open("a") as file:
            file.write(json.dumps({"hook": hook, **facts}) + "\n")


@hookimpl
def bench_run_started(cells):
    _tell("run started", models=[cell["model"] for cell in cells])


@hookimpl
def bench_cell_started(cell):
    _tell("cell started", model=cell["model"])


@hookimpl
def bench_validation(cell, stage, epoch, metric, score, improved):
    _tell("validation", model=cell["model"], stage=stage, epoch=epoch, metric=metric, score=score, improved=improved)


@hookimpl
def bench_cell_finished(cell, result):
    _tell("cell finished", model=cell["model"], status=result["status"])


@hookimpl
def bench_run_finished(results):
    _tell("run finished", models=[result["cell"]["model"] for result in results])
