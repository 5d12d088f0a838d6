"""The process that runs one cell: ``python -m bench.runs.worker FOLDER EVENTS_FD``.

It reads ``job.json`` in FOLDER, fits or loads a model, and leaves its lists there as ``items.npy`` and ``scores.npy``.
Events go as JSON lines to the file descriptor EVENTS_FD, prints and warnings to the log. It is given the train and
validation parts of the data and nothing that leads to the test part. When the parent dies, so does it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.contract import UNFILLED, Explains, Model, Recommendations
from bench.data.dataset import VisibleSplit, save_array
from bench.errors import BenchError
from bench.plugins import load_model, one_line
from bench.runs.cell import Cell
from bench.runs.context import Emit, WorkerContext
from bench.runs.describe import make_config

_USERS_AT_ONCE = 8192
"""Users per call of ``recommend``: bounds its memory and lets it report progress."""


def main(folder: Path, events: int) -> int:
    """Run the job of ``folder``; the exit status is 0 if it succeeded."""
    stream = os.fdopen(events, "w", buffering=1)

    def emit(event: str, **fields: Any) -> None:
        stream.write(json.dumps({"event": event, **fields}) + "\n")

    _watch_parent()
    try:
        job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        if job["memory_limit"]:
            resource.setrlimit(resource.RLIMIT_AS, (job["memory_limit"], job["memory_limit"]))
        run(folder, job, emit)
    except MemoryError as error:
        traceback.print_exc()
        emit("failed", reason=f"out of memory: {' '.join(str(error).split()) or 'no more address space'}")
        return 1
    except Exception as error:  # noqa: BLE001 (whatever a model raises ends this cell only)
        traceback.print_exc()
        emit("failed", reason=one_line(error))
        return 1
    return 0


def run(folder: Path, job: dict[str, Any], emit: Emit) -> None:
    """Import, fit or load, recommend and perhaps explain, as ``job`` says."""
    cell = Cell.model_validate(job["cell"])
    split = VisibleSplit(Path(job["split"]))
    phases: dict[str, dict[str, float]] = {}
    with _measured("import", phases, emit):
        model_class: Any = load_model(cell.model)
        model: Model = model_class(make_config(cell.model, model_class, cell.config))
    said: dict[str, Any] = {}
    if job["load"]:
        with _measured("load", phases, emit):
            model.load(Path(job["load"]), cell.device)
    else:
        said = _fit(folder, model, split, cell, phases, emit)
    if job["save_model"]:
        (folder / "model").mkdir()
        model.save(folder / "model")
    with _measured("recommend", phases, emit):
        found = _recommend(folder, model, split, cell, job["k"], emit)
    if job["explain"]:
        with _measured("explain", phases, emit):
            _explain(folder, model, split, cell, found)
    emit("done", phases=phases, packages=_packages(), **said)


def _fit(
    folder: Path, model: Model, split: VisibleSplit, cell: Cell, phases: dict[str, dict[str, float]], emit: Emit
) -> dict[str, Any]:
    """What is to be told of the training."""
    context = WorkerContext(
        model,
        split,
        emit,
        seed=cell.seed,
        device=cell.device,
        folder=folder / "work",
        record=folder / "epochs.jsonl",
        stopping=cell.stopping,
        time_budget=cell.time_budget,
        exclude="none" if cell.protocol["exclude"] == "none" else "train",  # models are chosen as they are tested
    )
    with _measured("fit", phases, emit):
        model.fit(split.train, split.valid, context)
    phases["fit"]["seconds"] += context.resumed_seconds
    names = ("stopped_by_budget", "resumed_seconds", "facts")
    return {name: getattr(context, name) for name in names}


def _recommend(folder: Path, model: Model, split: VisibleSplit, cell: Cell, k: int, emit: Emit) -> Recommendations:
    users = np.load(folder / "users.npy")
    history = split.parts(cell.protocol["history"])
    items, scores = [], []
    for start in range(0, len(users), _USERS_AT_ONCE):
        some = users[start : start + _USERS_AT_ONCE]
        found = model.recommend(some, history.select(some), split.excluded(cell.protocol["exclude"], some), k)
        items.append(np.asarray(found[0]))
        scores.append(np.asarray(found[1]))
        emit("progress", done=min(start + _USERS_AT_ONCE, len(users)), total=len(users), unit="user")
    whole = Recommendations(np.concatenate(items), np.concatenate(scores))
    save_array(folder / "items.npy", whole.items)
    save_array(folder / "scores.npy", whole.scores)
    return whole


def _explain(folder: Path, model: Model, split: VisibleSplit, cell: Cell, found: Recommendations) -> None:
    users = np.load(folder / "users.npy")
    if not isinstance(model, Explains):
        raise BenchError(f"{cell.model} does not explain its recommendations")
    reasons = model.explain(users, split.parts(cell.protocol["history"]).select(users), found)
    expected = (found.items != UNFILLED).sum(axis=1).tolist()
    if [len(row) for row in reasons] != expected or not all(isinstance(r, Mapping) for row in reasons for r in row):
        raise BenchError("explain() should give a mapping for each filled slot of each user's list: mend the plugin")
    text = json.dumps([[dict(reason) for reason in row] for row in reasons], ensure_ascii=False)
    (folder / "explanations.json").write_text(text, encoding="utf-8")


@contextmanager
def _measured(phase: str, phases: dict[str, dict[str, float]], emit: Emit) -> Iterator[None]:
    emit("phase", name=phase)
    _reset_peak()
    start = time.perf_counter()
    yield
    phases[phase] = {"seconds": time.perf_counter() - start, "peak_mib": _peak_mib()}


def _reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")  # Linux: begin a new peak
    except OSError:
        return  # elsewhere the peak of a phase is the peak so far


def _peak_mib() -> float:
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def _packages() -> dict[str, str]:
    """Versions of the imported top-level packages that have one."""
    tops = {name for name in list(sys.modules) if "." not in name} - sys.stdlib_module_names
    versions = {name: getattr(sys.modules[name], "__version__", None) for name in sorted(tops)}
    return {name: version for name, version in versions.items() if isinstance(version, str)} | {
        "python": sys.version.split()[0]
    }


def _watch_parent() -> None:
    """Fork a process that kills the whole session when the parent is gone, however it went.

    Standard input is a pipe that only the parent holds open. A thread would not do: it cannot run while native code
    holds the interpreter lock.
    """
    if os.fork() == 0:
        os.closerange(1, 2**16)
        os.read(0, 1)
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
