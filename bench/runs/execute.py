"""Run cells: each in a process of its own, several at a time if asked, one failure harming no other."""

from __future__ import annotations

import logging
import os
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from bench.errors import ConfigError, PluginError, ResultsError, one_line, plain
from bench.evaluation import metrics
from bench.messages.cell import Cell, GroupResult, PluginVersion, Result, now
from bench.messages.events import Again, Event, Finished, Kept, Started, Waiting
from bench.messages.job import Outcome, Request
from bench.plugins import find_model
from bench.runs import claims, environment, evaluate
from bench.runs.claims import Claim, Heart, Held, claim
from bench.runs.energy import Meter, Spent, find_meter
from bench.runs.hooks import LifeCycle
from bench.runs.job import Ended, Job
from bench.runs.outputs import adopt
from bench.runs.plan import Plan
from bench.runs.process import KILLED, sweep_scratch
from bench.runs.refresh import asked_for, refresh_metrics, refreshed
from bench.runs.room import Room
from bench.runs.store import Store
from bench.runs.twins import finished_ones, taken_over

_log = logging.getLogger("bench")

Watch = Callable[[Cell, Event], None]
"""Is told of every event of every cell, in the parent's main thread."""

MODEL_LIMIT = 64 * 2**20
"""Bytes of a model that is kept without having been asked for."""

_LOOK_AGAIN = 0.5
"""Seconds between two looks at cells that another run works at."""


class Measured(NamedTuple):
    """What became of the lists of a cell; nothing but the reason if it failed."""

    groups: dict[str, GroupResult] = {}
    beyond: dict[str, float] = {}
    violations: dict[str, int] = {}
    reason: str | None = None


def run_cells(plan: Plan, store: Store, watch: Watch, track: Sequence[str] = ()) -> list[Result]:
    """Run what has no result yet, or a failed one; results in the order of the plan.

    What is finished is not run again, and measured again if need be. Of several runs at once each cell is run by one.
    ``track`` names trackers, which are told of all cells.

    Raises
    ------
    BenchError
        If a tracker cannot be used, before anything is run.
    """
    hooks, meter = LifeCycle(track), _meter(plan)
    store.open_for_writing()
    sweep_scratch()
    refresh_metrics(plan, store)
    executor = _Executor(plan, store, watch, _room(plan, store), hooks, meter)
    done: dict[str, Result] = {}
    for cell in plan.cells:
        old = store.result(cell.id)
        if old is not None and old.status == "finished":
            current = refreshed(old, plan.folds[cell.fold], plan.spec.ks, store)
            if current is not None:
                done[cell.id] = current
                watch(cell, Kept(result=current))
    done = {result.cell_id: result for result in asked_for(list(done.values()), store)}
    missing = [cell for cell in plan.cells if cell.id not in done]
    done |= executor.run(missing, list(done.values()))
    return [done[cell.id] for cell in plan.cells]


def _room(plan: Plan, store: Store) -> Room:
    """Where the cells run."""
    if plan.spec.executor == "local":
        return Room(plan, store)
    from bench.runs.on_ray import RayRoom  # of an optional package

    return RayRoom(plan, store)


def _meter(plan: Plan) -> Meter | None:
    """What measures energy, if that is asked for."""
    spec = plan.spec
    if not spec.energy:
        return None
    if spec.jobs > 1 or spec.executor != "local":
        raise ConfigError("--energy counts all that this machine does: give --jobs 1, and no other --executor")
    return find_meter(with_gpus=any(cell.device.startswith("cuda") for cell in plan.cells))


@dataclass
class _Executor:
    """Runs the missing cells of a plan; all but :meth:`work` happens in the main thread."""

    plan: Plan
    store: Store
    watch: Watch
    room: Room
    hooks: LifeCycle
    meter: Meter | None = None
    waiting: dict[str, Cell] = field(default_factory=dict)
    """Cells that are not begun, or that another run works at, by id."""
    running: dict[str, Cell] = field(default_factory=dict)
    crowded: set[str] = field(default_factory=set)
    """Cells that ran while others did."""
    alone: set[str] = field(default_factory=set)
    """Cells that were killed so, and get the machine to themselves."""
    foreign: set[str] = field(default_factory=set)
    """Of the waiting ones, those that another run was seen to work at."""
    before: dict[str, str] = field(default_factory=dict)
    """When a cell's earlier result was made, which is a failed one; empty if it has none."""
    damaged: set[str] = field(default_factory=set)
    """Finished cells that are made again, since their lists cannot be read."""
    results: dict[str, Result] = field(default_factory=dict)
    messages: queue.SimpleQueue[tuple[Cell, Event | Future[Result | None]]] = field(default_factory=queue.SimpleQueue)
    jobs: list[Job] = field(default_factory=list)
    twins: dict[str, str] = field(default_factory=dict)
    """Ids of finished cells, by what they have in common with those of another preset."""
    stopped: bool = False
    heart: Heart = field(default_factory=Heart)

    def run(self, cells: Sequence[Cell], kept: Sequence[Result]) -> dict[str, Result]:
        """Results by cell id. Interrupting kills all workers and keeps finished cells and checkpoints.

        Hooks are told of the results that were ``kept`` too.
        """
        self.hooks.tell("bench_run_started", cells=cells, results=self.store.root)
        for result in kept:
            self.hooks.tell("bench_event", cell=result.cell, event=Kept(result=result))
        self.waiting = {cell.id: cell for cell in cells}
        self.twins = finished_ones(cells, self.store)
        for cell in cells:
            old = self.store.result(cell.id)
            self.before[cell.id] = old.created if old else ""
        try:
            with ThreadPoolExecutor(self.room.jobs) as pool, self.heart:
                self._run_all(pool)
        finally:
            self.hooks.tell("bench_run_finished", results=list(self.results.values()))
        return self.results

    def _run_all(self, pool: ThreadPoolExecutor) -> None:
        try:
            while self.waiting or self.running:
                self._begin(pool)
                if self.waiting or self.running:
                    self._next_message()
        except BaseException:
            self.stopped = True
            for job in list(self.jobs):
                job.end()
            pool.shutdown(wait=True, cancel_futures=True)
            claims.release_all(self.store.path(cell_id) for cell_id in self.before)
            raise

    def _begin(self, pool: ThreadPoolExecutor) -> None:
        """Start as many waiting cells as there is room for."""
        for cell in list(self.waiting.values()):
            if len(self.running) == self.room.jobs or self.alone & self.running.keys():
                return
            if (self.running and cell.id in self.alone) or not self.room.fits(cell, self.running.values()):
                continue
            if self.running and cell.without_preset in {other.without_preset for other in self.running.values()}:
                continue  # to have what that one finds
            got = self._claim(cell)
            if isinstance(got, Held):
                if cell.id not in self.foreign:
                    self.foreign.add(cell.id)
                    self.tell(cell, Waiting(holder=got.holder))
                continue
            del self.waiting[cell.id]
            if isinstance(got, Result):
                self.results[cell.id] = got
                self.tell(cell, Kept(result=got))
            else:
                self.running[cell.id] = cell
                self.crowded |= self.running.keys() if len(self.running) > 1 else set()
                pool.submit(self.work, cell, got, self.room.refusal(cell)).add_done_callback(partial(self._put, cell))

    def _claim(self, cell: Cell) -> Claim | Held | Result:
        """The right to run the cell, or who has it, or the result that another run has made meanwhile."""
        got = claim(self.store.path(cell.id))
        if isinstance(got, Held):
            return got
        made = self.store.result(cell.id)
        if made is not None and made.status == "finished":
            made = refreshed(made, self.plan.folds[cell.fold], self.plan.spec.ks, self.store, got)
            self.damaged |= {cell.id} if made is None else set()
        elif made is not None and made.created == self.before[cell.id]:
            made = None  # it failed before this run began, and is tried again
        if made is not None:
            got.release()
            return made
        self.heart.claims.add(got)
        return got

    def _put(self, cell: Cell, message: Event | Future[Result | None]) -> None:
        self.messages.put((cell, message))

    def _next_message(self) -> None:
        """Wait for something to happen, and tell of it; look at the cells of other runs from time to time."""
        idle = len(self.running) < self.room.jobs and bool(self.waiting)
        try:
            cell, message = self.messages.get(timeout=_LOOK_AGAIN if idle else None)
        except queue.Empty:
            return
        if isinstance(message, Future):
            result = message.result()  # raises what is no failure of the cell, such as a full disk
            del self.running[cell.id]
            if result is None:
                self.waiting[cell.id] = cell
                return
            message = self._ended(cell, result)
        self.tell(cell, message)

    def _ended(self, cell: Cell, result: Result) -> Event:
        """Take a result, or have the cell run once more, alone, if it was killed, for want of memory as a rule."""
        if result.reason == KILLED and cell.id in self.crowded - self.alone:
            self.alone.add(cell.id)
            self.waiting[cell.id], self.before[cell.id] = cell, result.created
            return Again(reason=KILLED)
        self.results[cell.id] = result
        if result.status == "finished":
            self.twins[cell.without_preset] = cell.id
        self.room.learn(result)
        self.hooks.tell("bench_cell_finished", cell=cell, result=result)
        return Finished(result=result)

    def tell(self, cell: Cell, event: Event) -> None:
        self.hooks.tell("bench_event", cell=cell, event=event)
        self.watch(cell, event)

    def work(self, cell: Cell, held: Claim, refusal: str | None) -> Result | None:
        """Everything from a claimed cell to its stored result, in a thread of its own.

        ``refusal`` is why it cannot fit into this machine, if it cannot. None if another run has taken the cell over
        meanwhile, whose result will be taken.
        """
        try:
            if result := self._of_twin(cell):
                self.store.commit(result)
                return result
            job = self._job(cell)
            done = self._adopt(job)
            if done is None:
                ended = self._launch(job, refusal)
                if held.lost:
                    _log.warning("warning: %s was taken over by another run, whose result will be taken", cell.label)
                    return None
                done = ended, Measured(reason=ended.reason) if ended.reason else self._judge(job)
            ended, measured = done
            result = self._assemble(cell, ended, measured, [] if measured.reason else self._keep_model(job))
            self.store.commit(result, again=cell.id in self.damaged)
        finally:
            held.release()
            self.heart.claims.discard(held)
        return result

    def _of_twin(self, cell: Cell) -> Result | None:
        """The result of a finished cell that is another one by the name of its preset alone, as that of this cell."""
        twin = self.twins.get(cell.without_preset)
        return taken_over(cell, twin, self.plan.folds[cell.fold], self.plan.spec, self.store) if twin else None

    def _job(self, cell: Cell) -> Job:
        folder = self.store.path(cell.id)
        job = self.room.job(cell, folder)
        self.jobs.append(job)
        return job

    def _adopt(self, job: Job) -> tuple[Ended, Measured] | None:
        """What an earlier attempt left whose worker ended well and whose parent was killed; None if there is none."""
        outcome = job.found()
        places = (job.folders.output / "model", self.store.path(job.cell.id) / "model")
        has_model = any(place.is_dir() for place in places)
        if outcome is None or (self.plan.spec.save_models and not has_model):
            return None
        measured = self._judge(job)
        return None if measured.reason else (Ended(None, outcome, outcome.confinement), measured)

    def _launch(self, job: Job, refusal: str | None) -> Ended:
        """Run the worker, unless it is refused."""
        if refusal:
            return Ended(refusal, Outcome(status="failed", reason=refusal), "")
        if self.stopped:
            raise InterruptedError
        cell = job.cell
        checkpoints = job.folders.work / "checkpoints"
        resumed = checkpoints.is_dir() and any(checkpoints.iterdir())
        self._put(cell, Started(resumed=resumed))
        request = Request(
            cell=cell,
            k=cell.list_length,
            save_model=self.plan.spec.save_models is not False,
            model_limit=None if self.plan.spec.save_models else MODEL_LIMIT,
            memory_limit=self.plan.limits.memory,
            processes=job.limits.processes,
        )
        users = evaluate.test_users(self.plan.folds[cell.fold].split)
        with self.room.lend_gpus(job), self.meter.measured() if self.meter else nullcontext(Spent()) as spent:
            ended = job.run(request, users, partial(self._put, cell))
        if self.stopped:
            raise InterruptedError
        done_before = ended.outcome.resumed_seconds or ended.outcome.cached_seconds
        return ended if done_before else replace(ended, kwh=spent.kwh)

    def _judge(self, job: Job) -> Measured:
        """Check and measure the lists, and keep them in the cell's folder."""
        cell, folder = job.cell, self.store.path(job.cell.id)
        fold = self.plan.folds[cell.fold]
        users = evaluate.test_users(fold.split)
        try:
            found = evaluate.lists_of(job.folders.output, len(users), cell.list_length)
            lists, counted = evaluate.checked(found, fold.split.visible, cell.protocol, users, cell.list_length)
            evaluate.keep_lists(folder / "lists.parquet", users, lists)
            ks = cell.reached(self.plan.spec.ks)
            groups = evaluate.measure(folder, fold.split, fold.groups, ks)
            return Measured(groups, evaluate.beyond_accuracy(folder, fold.split, ks), counted)
        except (PluginError, ResultsError) as error:
            return Measured(reason=one_line(error))

    def _keep_model(self, job: Job) -> list[str]:
        """Keep the model that the worker left, if any, in the cell's folder; what is wrong with it."""
        made = job.folders.output / "model"
        try:
            if os.path.lexists(made):
                adopt(made, self.store.path(job.cell.id) / "model")
        except PluginError as error:
            return [f"the model was not kept: {one_line(error)}"]
        return []

    def _assemble(self, cell: Cell, ended: Ended, measured: Measured, warnings: list[str]) -> Result:
        outcome, reason = ended.outcome, measured.reason
        plugin = find_model(cell.model)
        names = (
            "validations",
            "validation",
            "stopped_by_budget",
            "resumed_seconds",
            "cached_seconds",
            "phases",
            "personalized",
            "facts",
            "packages",
        )
        return Result(
            cell_id=cell.id,
            cell=cell,
            status="failed" if reason else "finished",
            reason=reason,
            created=now(),
            groups=measured.groups,
            beyond=measured.beyond,
            violations=measured.violations,
            metrics_version=metrics.VERSION,
            size=self.room.sizes[cell.fold],
            plugin=PluginVersion(
                distribution=plugin.distribution,
                version=plugin.version,
                environment=plugin.environment.name if plugin.environment else "",
            ),
            kwh=ended.kwh,
            confinement=ended.held,
            raw_checksums=self.plan.raw_checksums,
            git_revision=environment.git_revision(),
            hardware=ended.hardware or {**environment.hardware(), **self.plan.limits_of(cell).hardware},
            command=environment.command_line(),
            spec=self.plan.spec,
            warnings=[*map(plain, outcome.warnings), *warnings],
            **{name: getattr(outcome, name) for name in names},
        )
