"""What the parent asks of a worker, and what the worker leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, JsonValue

from bench.messages.cell import Cell, Phase, ValidationRecord
from bench.strict import Strict


class JobFolder(NamedTuple):
    """The folders of one job. A confined worker reads ``input`` and ``cache`` and writes the others."""

    input: Path
    """``request.json``, ``users.npy``, ``split/`` and perhaps ``model/``: what it is given."""
    output: Path
    """``outcome.json``, ``items.npy``, ``scores.npy``, and perhaps ``explanations.json``, ``model/``, ``cache/``."""
    work: Path
    """``checkpoints/`` and ``epochs.jsonl``: found by the next attempt."""
    scratch: Path
    """Home and temporary folder of the process."""
    cache: Path
    """Intermediate results that were kept, in ``split/`` and ``texts/``."""


class Request(Strict):
    """``request.json``."""

    cell: Cell
    k: int
    """Length of the lists."""
    save_model: bool = False
    load_model: bool = False
    """Whether the model in ``model/`` is loaded instead of training one."""
    explain: bool = False
    """Whether the model is asked to explain its lists, in ``explanations.json``."""
    memory_limit: int | None = None
    """Bytes of address space."""


class Outcome(Strict):
    """``outcome.json``: the worker's last word."""

    status: Literal["done", "failed"]
    reason: str | None = None
    """Why it failed, in one line."""
    phases: dict[str, Phase] = {}
    packages: dict[str, str] = {}
    stopped_by_budget: bool = False
    resumed_seconds: float = Field(0.0, ge=0, allow_inf_nan=False)
    cached_seconds: float = Field(0.0, ge=0, allow_inf_nan=False)
    facts: dict[str, JsonValue] = {}
    validations: list[ValidationRecord] = []
