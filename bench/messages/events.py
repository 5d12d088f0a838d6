"""What happens to a cell, in order: typed events, matched by class.

A worker sends :data:`WorkerEvent` as JSON lines; the others are the parent's own. Hooks and progress bars get both.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from bench.messages.cell import MOST, Result
from bench.strict import Strict


class Waiting(Strict):
    """Another run works at this cell; its result will be taken over."""

    event: Literal["waiting"] = "waiting"
    holder: str
    """Host and process id of the other run."""


class Started(Strict):
    """The worker of the cell has been started."""

    event: Literal["started"] = "started"
    resumed: bool
    """Whether an earlier attempt left working files, which the model may go on from."""


class Again(Strict):
    """The worker was killed while others ran; the cell is run once more, with the machine to itself."""

    event: Literal["again"] = "again"
    reason: str


class Confined(Strict):
    """The worker is about to import the plugin."""

    event: Literal["confined"] = "confined"
    held: str = Field(max_length=200)
    """What the system holds it to, or ``unconfined`` and why."""


class PhaseBegan(Strict):
    """The worker begins a phase."""

    event: Literal["phase"] = "phase"
    name: Literal["import", "load", "fit", "validate", "recommend", "explain", "save"]


class Progress(Strict):
    """How far a long step has come."""

    event: Literal["progress"] = "progress"
    done: int = Field(ge=0, le=MOST)
    total: int | None = Field(ge=0, le=MOST)
    unit: str = Field(max_length=60)


class Validated(Strict):
    """A model in training was scored on validation users."""

    event: Literal["validation"] = "validation"
    stage: str = Field(max_length=200)
    """Empty unless the model trains in several stages and names them."""
    epoch: int = Field(ge=0, le=MOST)
    metric: str = Field(max_length=60)
    score: float = Field(allow_inf_nan=False)
    improved: bool


class Failed(Strict):
    """The worker is about to end; told here too since its outcome may not be written on a full disk."""

    event: Literal["failed"] = "failed"
    reason: str = Field(max_length=4000)


class Finished(Strict):
    """The cell has its result, a failed one too."""

    event: Literal["finished"] = "finished"
    result: Result


class Kept(Strict):
    """The cell had its result already."""

    event: Literal["kept"] = "kept"
    result: Result


WorkerEvent = Confined | PhaseBegan | Progress | Validated | Failed
Event = Waiting | Started | Again | WorkerEvent | Finished | Kept

_WORKER_EVENT: TypeAdapter[WorkerEvent] = TypeAdapter(Annotated[WorkerEvent, Field(discriminator="event")])


def parse(line: bytes) -> WorkerEvent:
    """An event of a worker, which may be anything.

    Raises
    ------
    pydantic.ValidationError
        If it is none.
    """
    return _WORKER_EVENT.validate_json(line)
