"""Progress of a run: bars with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import datetime
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from bench.errors import plain
from bench.evaluation.metrics import cut_offs, main_cut_off
from bench.messages.cell import Cell, Result
from bench.messages.events import Again, Event, Finished, Kept, PhaseBegan, Started, Validated, Waiting
from bench.messages.events import Progress as ProgressEvent
from bench.runs.plan import Plan

_LINE_EVERY = 15.0
"""Seconds between two plain lines of one cell."""


class CellProgress:
    """Watches cells that are worked at; ``tell`` is called with every event."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[score]}", markup=False),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task: dict[str, TaskID] = {}
        self._phase: dict[str, str] = {}
        self._score: dict[str, str] = {}
        self._last_line: dict[str, float] = {}
        self._count: dict[tuple[str, str], int] = {}
        self._start: dict[tuple[str, str], float] = {}
        """When a cell began to count a unit, such as epochs or the steps within them."""
        self._last_event: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def say(self, line: str) -> None:
        """Print a line, above the bars if there are any."""
        shown = "".join(sign if sign.isprintable() else " " for sign in line)  # names are strangers'
        self._console.print(shown, highlight=False, markup=False, soft_wrap=True)

    def tell(self, cell: Cell, event: Event) -> None:
        """Show an event."""
        match event:
            case Waiting(holder=holder):
                self.say(f"  {cell.label}: {holder} works at it, its result will be taken over")
            case Started(resumed=resumed):
                self._task[cell.id] = self._bars.add_task(cell.label, total=None, unit="", score="")
                self._last_line[cell.id] = self._last_event[cell.id] = time.monotonic()
                if resumed:
                    self.say(f"  {cell.label}: an earlier attempt left checkpoints, which the model may go on from")
            case Again(reason=reason):
                self._bars.remove_task(self._task.pop(cell.id))
                self.say(f"  {cell.label}: {reason}; it is run once more with the machine to itself")
            case PhaseBegan(name=name):
                self._begin_phase(cell, name)
            case ProgressEvent():
                self._progress(cell, event)
            case Validated(metric=metric, score=score):
                self._score[cell.id] = f"{metric} {score:.4f}"
            case Finished() if cell.id in self._task:
                self._bars.remove_task(self._task.pop(cell.id))

    def _begin_phase(self, cell: Cell, name: str) -> None:
        self._phase[cell.id] = name
        self._last_event[cell.id] = time.monotonic()
        for counted in [key for key in self._count if key[0] == cell.id]:
            del self._count[counted]
        self._bars.reset(self._task[cell.id], total=None, description=f"{cell.label} · {name}", unit="", score="")

    def _progress(self, cell: Cell, event: ProgressEvent) -> None:
        done, total, unit = event.done, event.total, plain(plural(event.unit))
        score = self._score.get(cell.id, "")
        key = cell.id, unit
        if key not in self._count or done < self._count[key]:  # or the next stage of a model that trains in several
            self._bars.reset(self._task[cell.id], total=total, unit=unit, score=score)
            self._start[key] = self._last_event[cell.id]
        self._count[key] = done
        self._last_event[cell.id] = time.monotonic()
        self._bars.update(self._task[cell.id], completed=done, total=total, unit=unit, score=score)
        now = time.monotonic()
        if self._console.is_terminal or now - self._last_line[cell.id] < _LINE_EVERY:
            return
        self._last_line[cell.id] = now
        phase, start = self._phase.get(cell.id, ""), self._start[key]
        left = f", at most {clock((now - start) / done * (total - done))} left" if total and 0 < done <= total else ""
        self.say(f"  {cell.label} · {phase} {done:,}/{total or '?'} {unit}, {clock(now - start)}{left} {score}")


class Progress(CellProgress):
    """Watches a run: says what it is made of, and each result."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self._total = len(plan.cells)
        self._done = 0
        self._width = max(len(cell.label) for cell in plan.cells)
        facts = plan.dataset.facts
        self.say(
            f"{facts['dataset']}: {facts['users']:,} users, {facts['items']:,} items, {facts['interactions']:,} "
            f"interactions (read as {facts['source']['reader']})"
        )
        for what, found in (("raw data", facts["problems"]), ("warning", facts["warnings"])):
            for problem, number in found.items():
                self.say(f"  {what}: {number:,} {problem}")
        self.say(f"protocol {plan.protocol.name}: {plan.protocol.describe()}")

    def tell(self, cell: Cell, event: Event) -> None:
        """Show an event."""
        super().tell(cell, event)
        if isinstance(event, Finished | Kept):
            self._finished(cell, event.result, isinstance(event, Kept))

    def _finished(self, cell: Cell, result: Result, kept: bool) -> None:
        self._done += 1
        head = f"[{self._done}/{self._total}] {cell.label:{self._width}}"
        if result.status == "failed":
            self.say(f"{head}  failed: {result.reason}")
            return
        metrics = result.groups["all"].metrics if "all" in result.groups else {}
        cuts = cut_offs(metrics)
        name = f"ndcg@{main_cut_off(cuts)}" if cuts else None  # by which the table is ordered
        score = f"{name} {metrics[name]:.4f}" if name else "nothing measured"
        if name == cell.stopping.name and result.validation is not None:
            score += f" (at validation {result.validation:.4f})"
        note = "already there" if kept else clock(sum(phase.seconds for phase in result.phases.values()))
        self.say(f"{head}  {score}  ({note})")


def clock(seconds: float) -> str:
    """A time in words: ``8.5 s``, ``12:30``, ``1:05:00``."""
    return str(datetime.timedelta(seconds=round(seconds))).removeprefix("0:") if seconds >= 60 else f"{seconds:.1f} s"


def counted(number: int, word: str) -> str:
    """A number of something: ``1 row``, ``12,000 rows``."""
    return f"{number:,} {word if number == 1 else plural(word)}"


def plural(word: str) -> str:
    """Several of what a unit names: steps, passes, vectors epochs."""
    return f"{word}{'es' if word.endswith(('s', 'x', 'z', 'sh', 'tch')) else 's'}"
