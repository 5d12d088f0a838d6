"""The process that runs one cell: fits or loads a model, and leaves its lists.

It is started by :mod:`bench.worker.bootstrap` with the folders of :class:`bench.messages.job.JobFolders` and a file
descriptor for events as arguments. Prints and warnings go to the log. It is given the train and validation parts of the
data and nothing that leads to the test part.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from bench.contract import Recommender
from bench.data.visible import VisibleSplit
from bench.errors import PluginError, plain
from bench.files import write_json, write_text
from bench.interactions import Recommendations, save_array
from bench.messages.cell import Phase
from bench.messages.events import Failed, PhaseBegan, Progress, WorkerEvent
from bench.messages.job import USERS_AT_ONCE, JobFolders, Outcome, Request
from bench.plugins import find_model, load_model
from bench.worker.config import make_config
from bench.worker.context import Emit, WorkerContext
from bench.worker.explanations import explanations
from bench.worker.kept import KeptArrays
from bench.worker.reason import reason_of
from bench.worker.seconds import so_far


def main(folders: JobFolders, events: int) -> int:
    """Run the job of ``folders``; the exit status is 0 if it succeeded."""

    def emit(event: WorkerEvent) -> None:
        with contextlib.suppress(OSError):  # the model has closed the pipe
            os.write(events, event.model_dump_json().encode() + b"\n")

    job = None
    try:
        request = Request.model_validate_json((folders.input / "request.json").read_bytes())
        if request.memory_limit:
            resource.setrlimit(resource.RLIMIT_AS, (request.memory_limit, request.memory_limit))
        job = _Job(folders, request, emit)
        job.run()
        _leave(folders, job.outcome("done"))
    except BaseException as error:  # noqa: BLE001 (whatever a model raises ends this cell only)
        reason = reason_of(error, job.package if job else "")
        emit(Failed(reason=reason))
        with contextlib.suppress(Exception):  # no room for it; the event has said it
            _leave(folders, job.outcome("failed", reason) if job else Outcome(status="failed", reason=reason))
        with contextlib.suppress(Exception):  # the model has closed the log
            traceback.print_exception(error)
        return 1
    return 0


def _leave(folders: JobFolders, outcome: Outcome) -> None:
    write_text(folders.output / "outcome.json", outcome.model_dump_json())


class _Job:
    """One request, from the plugin's import to its lists."""

    def __init__(self, folders: JobFolders, request: Request, emit: Emit) -> None:
        self.folders = folders
        self.request = request
        self.cell = request.cell
        self.emit = emit
        self.split = VisibleSplit(folders.input / "split")
        self.phases: dict[str, Phase] = {}
        self.warnings: list[str] = []
        self.personalized: bool | None = None
        self.validation: float | None = None
        self.context: WorkerContext | None = None
        self.package = ""
        """Of the model's class."""

    def run(self) -> None:
        """Import, fit or load, save, recommend and perhaps explain, as the request says."""
        with self._measured("import"):
            model_class = load_model(self.cell.model)
            self.package = model_class.__module__.partition(".")[0]
            self.personalized = bool(model_class.personalized)
            model = model_class(make_config(self.cell.model, model_class, self.cell.config))
        if self.request.model:
            with self._measured("load"):
                model.load(Path(self.request.model), self.cell.device)
        else:
            self._fit(model)
        if self.request.measure:
            with self._measured("recommend"):
                found = self._recommend(model)
            whole = found.items.ndim == 2 and found.items.shape[1] == self.request.k  # others fail by the parent's word
            if self.context is not None and self.context.has_validation and whole:
                with self._measured("validate"):  # behind the lists, which it must not change
                    self.validation = self.context.score()
            if self.request.explain:
                with self._measured("explain"):
                    self._explain(model, found)
        if self.request.save_model:
            with self._measured("save"):
                self._save(model)

    def outcome(self, status: str, reason: str | None = None) -> Outcome:
        """What is to be told of the job."""
        told: dict[str, Any] = {"status": status, "reason": reason, "phases": self.phases}
        told |= {"warnings": self.warnings, "personalized": self.personalized, "validation": self.validation}
        told["confinement"] = os.environ.get("BENCH_CONFINED", "")
        if status == "done":  # after a failure there may be no memory left to look them up
            told["packages"] = _packages(self.cell.model)
        if self.context is not None:
            told |= {name: getattr(self.context, name) for name in ("stopped_by_budget", "facts", "validations")}
            told["resumed_seconds"] = self.context.resumed.clock
            told["cached_seconds"] = self.context.reused.clock
        return Outcome.model_validate(told)

    def _fit(self, model: Recommender) -> None:
        folders, cell = self.folders, self.cell
        (folders.work / "checkpoints").mkdir(exist_ok=True)
        kept = folders.output / "kept"
        self.context = WorkerContext(
            model,
            self.split,
            self.emit,
            seed=cell.seed,
            device=cell.device,
            folder=folders.work / "checkpoints",
            protocol=cell.protocol,
            stopping=cell.stopping,
            floors=cell.floors,
            time_budget=cell.time_budget,
            processes=self.request.processes,
            epoch_log=folders.work / "epochs.jsonl",
            split_arrays=KeptArrays(folders.split_arrays, kept / "split"),
            text_arrays=KeptArrays(folders.text_arrays, kept / "texts"),
        )
        with self._measured("fit"):
            model.fit(self.split.train, self.split.valid, self.context)
        before = self.context.resumed + self.context.reused
        fit = self.phases["fit"]
        told = {"seconds": fit.seconds + before.clock, "cpu_seconds": fit.processor_seconds + before.processor}
        self.phases["fit"] = fit.model_copy(update=told)

    def _recommend(self, model: Recommender) -> Recommendations:
        users = np.load(self.folders.input / "users.npy")
        items, scores = [], []
        done = 0
        for some in self.split.chunks(users, USERS_AT_ONCE):
            history, exclude = self.split.inputs(self.cell.protocol, some)
            found = model.recommend(some, history, exclude, self.request.k)
            items.append(np.asarray(found[0]))
            scores.append(np.asarray(found[1]))
            done += len(some)
            self.emit(Progress(done=done, total=len(users), unit="user"))
        whole = Recommendations(np.concatenate(items), np.concatenate(scores))
        save_array(self.folders.output / "items.npy", whole.items)
        save_array(self.folders.output / "scores.npy", whole.scores)
        return whole

    def _save(self, model: Recommender) -> None:
        """Save the model unless it is too large; if lists were wanted, a failure is no reason to lose them."""
        folder, limit = self.folders.output / "model", self.request.model_limit
        try:
            size = sum(getattr(getattr(model, name), "nbytes", 0) for name in model.state)
            if limit is None or size <= limit:
                folder.mkdir()
                model.save(folder)
                size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            if limit is not None and size > limit:
                shutil.rmtree(folder, ignore_errors=True)
        except Exception as error:  # whatever a model raises
            shutil.rmtree(folder, ignore_errors=True)
            if not self.request.measure:
                raise
            traceback.print_exc()
            self.warnings.append(plain(f"the model was not kept: {reason_of(error, self.package)}"))

    def _explain(self, model: Recommender, found: Recommendations) -> None:
        users = np.load(self.folders.input / "users.npy")
        if not model.explains():
            raise PluginError(f"{self.cell.model} does not explain its recommendations")
        history = self.split.inputs(self.cell.protocol, users).history
        write_json(self.folders.output / "explanations.json", explanations(model, users, history, found))

    @contextmanager
    def _measured(self, phase: str) -> Iterator[None]:
        self.emit(PhaseBegan.model_validate({"name": phase}))
        _reset_peak()
        start = so_far()
        yield
        took = so_far() - start
        peak = _peak_mib() + (self.request.processes - 1) * _peak_of_others_mib()
        self.phases[phase] = Phase(seconds=took.clock, peak_mib=peak, cpu_seconds=took.processor)


def _reset_peak() -> None:
    """Begin a new peak of memory; where that cannot be done, the peak of a phase is the peak so far."""
    if named := os.environ.get("BENCH_CLEAR_REFS_FD"):  # opened before the process was confined
        os.write(int(named), b"5")


def _peak_mib() -> float:
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def _peak_of_others_mib() -> float:
    """Of the largest process that this one has started and waited for."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def _packages(model: str) -> dict[str, str]:
    """Versions of the distributions whose top-level packages were imported, and of Python.

    Those of the core and of the plugin that brings ``model`` stand in the result by other names.
    """
    known = {"bench", find_model(model).module.partition(".")[0]}
    loaded = {name for name in list(sys.modules) if "." not in name and not name.startswith("_")}
    versions = {"python": sys.version.split()[0]}
    others = []
    for name in loaded - sys.stdlib_module_names - known:
        try:
            versions[metadata.metadata(name)["Name"]] = metadata.version(name)
        except metadata.PackageNotFoundError:
            others.append(name)
    if any(getattr(sys.modules[name], "__path__", None) for name in others):
        owners = metadata.packages_distributions()  # reads the list of files of all that is installed
        for distribution in {owner for name in others for owner in owners.get(name, ())}:
            versions[distribution] = metadata.version(distribution)
    return dict(sorted(versions.items()))


if __name__ == "__main__":
    *_named, _events = sys.argv[1:]
    _status = main(JobFolders(*map(Path, _named)), int(_events))
    for _stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            _stream.flush()
    os._exit(_status)  # a model's threads and exit handlers do not hold it up
