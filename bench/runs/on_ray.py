"""Cells on a Ray cluster: a remote task for each, which starts the same worker on its node.

A node gets the visible parts of a split once, by their hash, and sends the lists back; the test part stays here, where
the lists are measured. What a task asks of a node, threads and memory, is known before: one that no node has is refused
and does not wait for ever. A task whose node is lost is run again on another one.
"""

from __future__ import annotations

import io
import logging
import os
import platform
import shutil
import signal
import socket
import tarfile
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.code import code_hash
from bench.data.visible import VisibleSplit
from bench.errors import BenchError, ConfigError, one_line, plain
from bench.files import cache_folder, new_folder
from bench.messages.cell import Cell
from bench.messages.events import WorkerEvent
from bench.messages.job import Outcome, Request
from bench.plugins import find_model
from bench.runs import environment
from bench.runs.job import Ended, Job, Limits
from bench.runs.plan import Plan
from bench.runs.process import scratch_prefix, sweep_scratch
from bench.runs.room import Room
from bench.runs.store import Store

# Ray would start workers with another Python under "uv run", and would report how it is used.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

try:
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise ConfigError(f"--executor ray needs Ray ({one_line(error)}): pip install 'recsys-bench[ray]'") from error

_RETRIES = 3
"""Of a task whose node is lost."""
_LARGEST = 2**31
"""Bytes of what a worker may leave."""
_PATIENCE = 120.0
"""Seconds in which a node has to say what it runs."""


class Task(NamedTuple):
    """What a node is told of a cell; nothing of it leads to test."""

    cell: Cell
    request: Request
    users: NDArray[np.int64]
    limits: Limits
    split: str
    """Hash of the visible parts."""


class Came(NamedTuple):
    """What comes back."""

    ended: Ended
    log: bytes
    output: bytes
    """The worker's output folder, as tar."""


def on_node(task: Task, split: list[Any]) -> Came:
    """Run a cell; ``split`` holds the reference to the packed visible parts."""
    sweep_scratch()
    with tempfile.TemporaryDirectory(prefix=scratch_prefix()) as scratch:
        folder = Path(scratch) / "cells" / task.cell.id
        visible = VisibleSplit(_unpacked(task.split, split))
        interpreter = find_model(task.cell.model).interpreter
        job = Job(task.cell, interpreter, folder / "job", folder / "work", visible, task.limits)
        ended = job.run(task.request, task.users, lambda event: None)
        hardware = {**environment.hardware(), **task.limits.hardware}
        log = (folder / "worker.log").read_bytes()
        return Came(replace(ended, hardware=hardware), log, packed(job.folders.output))


def about(models: Sequence[str]) -> dict[str, str]:
    """What runs on a node, as far as it has to be the same everywhere."""
    codes = {f"the code of {model}": code_hash(find_model(model))[:12] for model in models}
    return {"Python": platform.python_version(), "Ray": ray.__version__, **codes}


def packed(folder: Path) -> bytes:
    """The regular files of a folder, which may be a stranger's.

    Raises
    ------
    BenchError
        If they are too large.
    """
    content, total = io.BytesIO(), 0
    with tarfile.open(fileobj=content, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            total += path.stat().st_size
            if total > _LARGEST:
                raise BenchError(f"the worker left more than {_LARGEST / 2**30:g} GiB")
            tar.add(path, str(path.relative_to(folder)), recursive=False)
    return content.getvalue()


def unpack(content: bytes, folder: Path) -> None:
    """The inverse of :func:`packed`.

    Raises
    ------
    BenchError
        If a member is no regular file, or would lie outside of ``folder``.
    """
    inside = folder.resolve()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for member in tar:
            path, source = inside / member.name, tar.extractfile(member) if member.isreg() else None
            if source is None or ".." in path.parts or not path.is_relative_to(inside):
                raise BenchError(f"a node sent '{plain(member.name, 60)}', which is no file of its own folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            with source, path.open("wb") as file:
                shutil.copyfileobj(source, file)


def _unpacked(name: str, split: list[Any]) -> Path:
    """The visible parts on this node, fetched if they are not there."""
    folder = cache_folder() / "shipped" / name
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        content = ray.get(split[0])
        with new_folder(folder) as draft:
            unpack(content, draft)
    return folder


@dataclass
class RayJob(Job):
    """A job whose worker runs on a node."""

    room: RayRoom = field(kw_only=True)
    _running: Any = None
    _over: bool = False

    def run(self, request: Request, users: NDArray[np.int64], tell: Callable[[WorkerEvent], None]) -> Ended:
        """See :meth:`bench.runs.job.Job.run`. Progress within the cell is not told."""
        task = Task(self.cell, request, users, self.limits, self.split.content)
        if not self._over:
            self._running = self.room.submit(task, self.split)
        try:
            came: Came = ray.get(self._running)
        except RayError as error:
            reason = "interrupted" if self._over else plain(f"on its node: {one_line(error)}", 300)
            return Ended(reason, Outcome(status="failed", reason=reason), "")
        self.folders.output.mkdir(parents=True, exist_ok=True)
        unpack(came.output, self.folders.output)
        (self.root.parent / "worker.log").write_bytes(came.log)
        self._keep()
        return came.ended

    def end(self) -> None:
        """Cancel the task; the guardian of its worker ends that."""
        self._over = True
        if self._running is not None:
            ray.cancel(self._running, force=True)


class RayRoom(Room):
    """Of the nodes of a cluster; Ray says which task starts where and when."""

    def __init__(self, plan: Plan, store: Store) -> None:
        """Connect to the cluster of the spec, or begin one on this machine.

        Raises
        ------
        ConfigError
            If it cannot be reached, or a node has other versions.
        """
        spec = plan.spec
        if not ray.is_initialized():
            _connect(spec.address)
        self.limits = replace(plan.limits, threads=spec.threads or 1)
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        compare(nodes, sorted({cell.model for cell in plan.cells}))
        able = [node["Resources"] for node in nodes if node["Resources"]["CPU"] >= self.limits.threads]
        if not able:
            raise ConfigError(f"no node of the cluster has {self.limits.threads} CPUs: give fewer --threads")
        largest = max(node["memory"] for node in able) / 2**20
        self.gpus = max(node.get("GPU", 0) for node in able)
        super().__init__(plan, store, total=largest, free=largest)
        self.jobs = sum(int(node["CPU"] // self.limits.threads) for node in able)
        self._shipped: dict[str, Any] = {}

    def refusal(self, cell: Cell) -> str | None:
        """Why no node can run a cell; None if one may."""
        if cell.device.startswith("cuda") and not self.gpus:
            return "needs a GPU, and no node of the cluster has one: not started"
        found = super().refusal(cell)
        return found and found.replace("this machine has", "the largest node has")

    def fits(self, cell: Cell, running: Any) -> bool:
        """Ray holds back what does not fit yet."""
        return True

    def job(self, cell: Cell, folder: Path) -> Job:
        """A job on some node."""
        visible = self.plan.folds[cell.fold].split.visible
        interpreter = find_model(cell.model).interpreter
        return RayJob(cell, interpreter, folder / "job", folder / "work", visible, self._limits_of(cell), room=self)

    def _limits_of(self, cell: Cell) -> Limits:
        return replace(self.limits, processes=self.plan.limits_of(cell).processes)

    def submit(self, task: Task, split: VisibleSplit) -> Any:
        """Begin a task; the visible parts are sent once a node."""
        if split.content not in self._shipped:
            self._shipped[split.content] = ray.put(packed(split.path))
        found = self.forecast(task.cell)
        memory = int(min(found.memory, self.total) * 2**20) if found else 0
        gpus = task.limits.processes if task.cell.device.startswith("cuda") else 0
        needs = {"num_cpus": task.limits.threads, "num_gpus": gpus, "memory": memory, "max_retries": _RETRIES}
        return self._remote.options(**needs).remote(task, [self._shipped[split.content]])

    @cached_property
    def _remote(self) -> Any:
        return ray.remote(on_node)


def _connect(address: str | None) -> None:
    """Connect to a cluster, or begin one; what this process does on SIGTERM stays as it is."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (RayError, OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"no Ray cluster at {address or 'this machine'}: {one_line(error)}") from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _knock(address: str | None) -> None:
    """Raise ``OSError`` at once if nobody listens at ``host:port``, for which Ray itself takes minutes."""
    host, _, port = (address or "").rpartition(":")
    if port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), _PATIENCE / 10).close()


def compare(nodes: Sequence[dict[str, Any]], models: Sequence[str]) -> None:
    """See that all nodes run what runs here.

    Raises
    ------
    ConfigError
        If one does not, or does not say so.
    """
    here, asked = about(models), {}
    for node in nodes:
        where = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        remote: Any = ray.remote(about)
        asked[node["NodeManagerAddress"]] = remote.options(num_cpus=0, scheduling_strategy=where).remote(models)
    for name, reference in asked.items():
        try:
            there = ray.get(reference, timeout=_PATIENCE)
        except RayError as error:
            raise ConfigError(f"node {name} of the cluster: {plain(one_line(error), 200)}") from error
        for what, value in here.items():
            if there.get(what) != value:
                raise ConfigError(f"node {name} has {what} {there.get(what)}, here it is {value}: install the same")
