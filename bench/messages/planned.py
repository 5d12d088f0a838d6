"""What ``bench plan`` writes down before anything runs: a table and how its rows are tuned."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from bench.data.protocol import Protocol
from bench.files import content_hash
from bench.messages.spec import RunSpec
from bench.strict import Strict

OF_THE_MACHINE = (
    "plan",
    "raw_dir",
    "jobs",
    "threads",
    "processes",
    "device",
    "energy",
    "timeout",
    "memory_limit",
    "save_models",
    "confine",
    "executor",
    "address",
)
"""Fields of a run that a plan leaves open: they say how it is carried out."""


class Budget(Strict):
    """Of tuning, the same for each model."""

    trials: int = Field(20, ge=1)
    """Configs that are tried of a model."""
    trial_time: float | None = Field(None, gt=0)
    """Processor seconds that a trial may train."""
    sampler_seed: int = Field(1, ge=0)
    """What is tried."""
    at_once: int = Field(1, ge=1)
    """Trials that are asked for together, none of them knowing the score of another."""
    prune: bool = True
    """Whether a trial is given up that falls behind the median of those before."""


class PlannedRow(Strict):
    """A row of the table."""

    preset: str
    """Of a tuned row, where its study begins."""
    config: dict[str, Any]
    """Of that preset and the options of the run, whole."""
    space: dict[str, dict[str, Any]] = {}
    """Where a study looks, by field; empty for a row that is not tuned, or has nowhere to look."""


class PlanFile(Strict):
    """A plan file, in YAML."""

    hash: str = ""
    """Of all the rest, 16 hex digits."""
    run: RunSpec
    """The table, without what is :data:`OF_THE_MACHINE`."""
    tuning: Budget | None = None
    """None if no row is tuned."""
    rows: dict[str, PlannedRow]
    """By name, as in ``run``."""
    dataset: str
    """Its name, where ``run`` may have the path of a card."""
    protocol: Protocol
    """In full."""
    fingerprint: str
    """Of the data under the protocol."""

    def content(self) -> dict[str, Any]:
        """All but the hash, JSON-ready."""
        return self.model_dump(mode="json", exclude={"hash": True, "run": set(OF_THE_MACHINE)})


def hash_of(content: dict[str, Any]) -> str:
    """Of a plan."""
    return content_hash(content)[:16]
