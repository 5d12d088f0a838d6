"""A cell, the unit of work, and its result, the content of ``result.json``."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from bench.files import content_hash


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Stopping(_Record):
    """The one stopping rule of all models that train in epochs."""

    metric: str = "ndcg"
    k: int = 10
    users: int = 2000
    """Size of the fixed sample of validation users; all of them if there are fewer."""
    every: int = 1
    """Epochs between two validations."""
    patience: int = 10
    """Validations without a better score after which training ends."""

    @property
    def name(self) -> str:
        return f"{self.metric}@{self.k}"


class PluginVersion(_Record):
    """Where a model's code comes from."""

    distribution: str
    version: str
    source_hash: str


class Ablation(_Record):
    """A part of a model that a cell leaves away."""

    name: str
    unablated: dict[str, Any]
    """The config with that part."""


class Cell(_Record):
    """What determines a list of recommendations. Two cells with the same content are the same cell."""

    model: str
    preset: str
    config: dict[str, Any]
    deterministic: bool
    """Whether the model declares that its lists do not depend on the seed."""
    plugin: PluginVersion
    dataset: str
    texts_hash: str
    protocol: dict[str, Any]
    fingerprint: str
    """Of the protocol: prepared interactions, split, history, exclusion and candidate rules."""
    fold: int | None = None
    """Which fold is tested, if the protocol has folds."""
    seed: int
    device: str
    stopping: Stopping = Stopping()
    time_budget: float | None = None
    """Seconds that ``fit`` may take."""
    list_length: int = 20
    ablation: Ablation | None = None

    @cached_property
    def id(self) -> str:
        """Content hash of all fields, 16 hex digits."""
        later = {"ablation"} if self.ablation is None else None  # ids from before there were ablations stay the same
        return content_hash(self.model_dump(mode="json", exclude=later))[:16]

    @property
    def unablated(self) -> Cell:
        """The same cell of the whole model."""
        if self.ablation is None:
            return self
        return Cell.model_validate({**self.model_dump(), "config": self.ablation.unablated, "ablation": None})

    @property
    def name(self) -> str:
        """Model, preset and ablation for people."""
        preset = "" if self.preset == "default" else f"@{self.preset}"
        return f"{self.model}{preset}" + (f" {self.ablation.name}" if self.ablation else "")

    @property
    def label(self) -> str:
        """The name with fold and seed."""
        fold = "" if self.fold is None else f" fold {self.fold}"
        return f"{self.name}{fold}" + ("" if self.deterministic else f" seed {self.seed}")


class Phase(_Record):
    """The cost of one phase of a worker."""

    seconds: float
    peak_mib: float
    """Peak resident memory of the worker process during this phase, in MiB."""


class GroupResult(_Record):
    """Metrics of one group of users."""

    rule: str
    n: int
    """Users of the group with at least one test item."""
    metrics: dict[str, float]
    """Mean over these users, by ``metric@k``; empty if n is 0."""
    errors: dict[str, float]
    """Standard error of these means over users; empty if n is below 2."""


class Result(_Record):
    """Everything known of a cell that was run."""

    schema_version: Literal[1] = 1
    cell_id: str
    cell: Cell
    status: Literal["finished", "failed"]
    reason: str | None = None
    """Why it failed, in one line."""
    log: str
    """Path of the worker's log, relative to the folder of the result."""
    created: str
    """When it was finished, ISO 8601, UTC."""
    groups: dict[str, GroupResult] = {}
    violations: dict[str, int] = {}
    """Slots that broke the contract, by kind (``bench/evaluation/violations.py``)."""
    versions: dict[str, int] = {}
    """Of the definitions of metrics and groups."""
    validations: list[dict[str, Any]] = []
    """``stage``, ``epoch``, ``score`` and ``improved`` of every validation."""
    stopped_by_budget: bool = False
    phases: dict[str, Phase] = {}
    """Cost of ``import``, ``fit`` and ``recommend``."""
    resumed_seconds: float = 0.0
    """Of the seconds of ``fit``, those of interrupted attempts that the model went on from."""
    facts: dict[str, Any] = {}
    """What the model tells of itself, for instance its number of parameters."""
    raw_checksums: dict[str, str] = {}
    packages: dict[str, str] = {}
    """Versions of the packages that the worker had imported."""
    git_revision: str | None = None
    hardware: dict[str, Any] = {}
    command: str = ""
    """The command line of the run."""
