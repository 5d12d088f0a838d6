"""Run cells: each in a process of its own, several at a time if asked, one failure harming no other."""

from __future__ import annotations

import datetime
import queue
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from bench.data.dataset import Split
from bench.data.groups import Group
from bench.errors import BenchError
from bench.plugins import find_model, one_line
from bench.runs import evaluate, machine
from bench.runs.cell import Cell, Phase, Result
from bench.runs.hooks import LifeCycle
from bench.runs.job import Demand, Event, Job, Limits
from bench.runs.store import Store

Watch = Callable[[Cell, Event], None]
"""Is told of every event of every cell, in the parent's main thread; ``started`` and ``finished`` among them."""


@dataclass(frozen=True)
class Fold:
    """One split of the data, and what its cells are measured by."""

    split: Split
    groups: Sequence[Group]


@dataclass(frozen=True)
class Task:
    """What all cells of a run share."""

    folds: Mapping[int | None, Fold]
    """By :attr:`Cell.fold`."""
    ks: Sequence[int]
    raw_checksums: dict[str, str]
    limits: Limits
    save_models: bool = False


@dataclass
class _Runner:
    task: Task
    store: Store
    events: queue.SimpleQueue[tuple[Cell, Event]] = field(default_factory=queue.SimpleQueue)
    jobs: list[Job] = field(default_factory=list)
    stopped: bool = False

    def work(self, cell: Cell) -> Result:
        """Everything from an empty folder to a stored result."""
        if self.stopped:
            raise InterruptedError
        task, fold = self.task, self.task.folds[cell.fold]
        split = fold.split
        users = evaluate.test_users(split)
        with self.store.draft(cell.id) as folder:
            job = Job(cell, find_model(cell.model).interpreter, folder, task.limits)
            self.jobs.append(job)
            if self.stopped:  # and stop() did not see this job
                raise InterruptedError
            resumed = any((folder / "work").iterdir())
            self.events.put((cell, {"event": "started", "resumed": resumed}))
            demand = Demand(users, cell.list_length, task.save_models)
            reason = job.run(split.visible, demand, lambda event: self.events.put((cell, event)))
            if self.stopped:
                raise InterruptedError
            groups, violated = {}, {}
            if reason is None:
                exclude = split.visible.excluded(cell.protocol["exclude"], users)
                try:
                    violated = evaluate.check(folder, users, exclude, cell.list_length)
                    groups = evaluate.measure(folder, split, fold.groups, task.ks)
                except BenchError as error:
                    reason = one_line(error)
            for name in ("items.npy", "scores.npy", "users.npy", "job.json"):
                (folder / name).unlink(missing_ok=True)
            if reason is None:
                self.store.forget_work(cell.id, folder)
            said = job.outcome
            result = Result(
                cell_id=cell.id,
                cell=cell,
                status="failed" if reason else "finished",
                reason=reason,
                log="worker.log",
                created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                groups=groups,
                violations=violated,
                versions=evaluate.VERSIONS,
                validations=job.validations,
                stopped_by_budget=said.get("stopped_by_budget", False),
                resumed_seconds=said.get("resumed_seconds", 0.0),
                phases={name: Phase(**cost) for name, cost in said.get("phases", {}).items()},
                facts=said.get("facts", {}),
                raw_checksums=task.raw_checksums,
                packages=said.get("packages", {}),
                git_revision=machine.git_revision(),
                hardware={**machine.hardware(), "threads": task.limits.threads},
                command=machine.command_line(),
            )
            (folder / "result.json").write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return result

    def stop(self) -> None:
        self.stopped = True
        for job in list(self.jobs):
            job.kill()


def execute(cells: Sequence[Cell], task: Task, store: Store, at_once: int, watch: Watch) -> list[Result]:
    """Run ``cells`` and store their results, in the order of ``cells``.

    A failed cell is a result too. Interrupting ends all workers, drops the cells in the making and keeps those done.
    What a model has put into its working folder is kept until its cell is finished.
    """
    hooks = LifeCycle()
    runner = _Runner(task, store)
    finished: list[Result] = []
    records = {cell.id: cell.model_dump(mode="json") for cell in cells}
    hooks.tell("bench_run_started", cells=list(records.values()))
    with ThreadPoolExecutor(at_once) as pool:
        try:
            futures: dict[Future[Result], Cell] = {}
            for cell in cells:
                future = pool.submit(runner.work, cell)
                futures[future] = cell
                future.add_done_callback(lambda done: runner.events.put((futures[done], {"event": "finished"})))
            while len(finished) < len(cells):
                cell, event = runner.events.get()
                if event["event"] == "started":
                    hooks.tell("bench_cell_started", cell=records[cell.id])
                elif event["event"] == "validation":
                    said = {key: event[key] for key in ("stage", "epoch", "metric", "score", "improved")}
                    hooks.tell("bench_validation", cell=records[cell.id], **said)
                elif event["event"] == "finished":
                    future = next(done for done, its in futures.items() if its is cell)
                    result = future.result()  # raises what is no failure of the cell, such as a full disk
                    finished.append(result)
                    hooks.tell("bench_cell_finished", cell=records[cell.id], result=result.model_dump(mode="json"))
                    event = {"event": "finished", "result": result}
                watch(cell, event)
        except BaseException:
            runner.stop()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    hooks.tell("bench_run_finished", results=[result.model_dump(mode="json") for result in finished])
    by_id = {result.cell_id: result for result in finished}
    return [by_id[cell.id] for cell in cells]
