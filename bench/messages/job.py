"""What the parent asks of a worker, and what the worker leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, JsonValue

from bench.messages.cell import Cell, Phase, ValidationRecord
from bench.strict import Strict

USERS_AT_ONCE = 8192
"""Users per call of ``recommend``: bounds its memory and lets it report progress."""


class JobFolders(NamedTuple):
    """The folders of one job. A confined worker reads ``input``, ``split_arrays`` and ``text_arrays``, and writes
    ``output`` and ``work``.
    """

    input: Path
    """``request.json``, ``users.npy`` and ``split/``: what it is given."""
    output: Path
    """``outcome.json``, ``items.npy``, ``scores.npy``, perhaps ``explanations.json``, ``model/`` and ``kept/``."""
    work: Path
    """``checkpoints/`` and ``epochs.jsonl``: found by the next attempt."""
    split_arrays: Path
    """Kept intermediate results of this code on this split."""
    text_arrays: Path
    """Kept intermediate results of this code on these texts."""


class Request(Strict):
    """``request.json``."""

    cell: Cell
    k: int
    """Length of the lists."""
    save_model: bool = False
    model_limit: int | None = None
    """Bytes beyond which a model is not saved."""
    model: str | None = None
    """Folder of a saved model, which is loaded instead of training one."""
    measure: bool = True
    """Whether lists are wanted; without, the model alone."""
    explain: bool = False
    """Whether the model is asked to explain its lists, in ``explanations.json``."""
    memory_limit: int | None = None
    """Bytes of address space."""
    processes: int = 1
    """That train together."""


class Outcome(Strict):
    """``outcome.json``: the worker's last word."""

    status: Literal["done", "failed"]
    reason: str | None = None
    """Why it failed, in one line."""
    personalized: bool | None = None
    """What the model declares; None if it was not imported."""
    confinement: str = ""
    """What the worker was told that the system holds it to."""
    phases: dict[str, Phase] = {}
    packages: dict[str, str] = {}
    stopped_by_budget: bool = False
    resumed_seconds: float = Field(0.0, ge=0, allow_inf_nan=False)
    cached_seconds: float = Field(0.0, ge=0, allow_inf_nan=False)
    warnings: list[str] = []
    facts: dict[str, JsonValue] = {}
    validations: list[ValidationRecord] = []
    validation: float | None = Field(None, allow_inf_nan=False)
    """Of the fitted model; see :attr:`bench.messages.cell.Result.validation`."""
