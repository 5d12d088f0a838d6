"""A cell, the unit of work, and its result, the content of ``result.json``."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, FiniteFloat, NonNegativeInt

from bench.data.protocol import Protocol
from bench.files import content_hash
from bench.messages.spec import LIST_LENGTH, USUAL_KS, RunSpec, Stopping
from bench.strict import Strict

MOST = 2**53
"""Largest number of epochs, steps and the like that a worker may tell."""


def now() -> str:
    """The moment in ISO 8601, UTC. With parts of a second: of two results of one second, the later one counts."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")


class Ablation(Strict):
    """A part of a model that a cell leaves away."""

    name: str
    unablated: dict[str, Any]
    """The config with that part."""


class Floor(Strict):
    """Where the training of a trial ends whose best score so far is below others'."""

    stage: str
    epoch: int = Field(ge=0, le=MOST)
    score: FiniteFloat


class Cell(Strict):
    """What determines a list of recommendations. Two cells with the same content are the same cell."""

    model: str
    preset: str
    config: dict[str, Any]
    deterministic: bool
    """Whether the model declares that its lists do not depend on the seed."""
    code: str
    """Hash of what the plugin's code means (:mod:`bench.code`)."""
    dataset: str
    content: str
    """Hash of all that a model is given: train and validation parts with their times, texts, candidates."""
    files: dict[str, str] = {}
    """Files and folders that the config names, such as a backbone, with a hash of what is in them."""
    protocol: Protocol
    fingerprint: str
    """Of the protocol: prepared interactions, split, history, exclusion and candidate rules."""
    fold: int | None = None
    """Which fold is tested, if the protocol has folds."""
    seed: int
    device: str
    stopping: Stopping = Stopping()
    time_budget: float | None = None
    """Processor seconds that ``fit`` may take."""
    list_length: int = LIST_LENGTH
    ablation: Ablation | None = None
    floors: list[Floor] = []
    """Of a trial of a study (:mod:`bench.runs.pruning`)."""

    @cached_property
    def id(self) -> str:
        """Content hash of all fields, 16 hex digits; two names for the same rules are the same protocol."""
        fields = self.model_dump(mode="json", exclude=set() if self.floors else {"floors"})
        return content_hash({**fields, "protocol": self.protocol.rules()})[:16]

    @cached_property
    def without_preset(self) -> str:
        """What it has in common with cells that differ in the name of their preset alone."""
        return Cell.model_validate({**self.model_dump(), "preset": ""}).id  # a copy would have the id too

    def reached(self, ks: Iterable[int]) -> list[int]:
        """Those of the cut-offs for which its lists are long enough.

        With longer lists than usual a model is another cell, which takes the place of the one before in the tables:
        that has the usual ones too.
        """
        usual = USUAL_KS if self.list_length > LIST_LENGTH else []
        return sorted(k for k in {*ks, *usual} if k <= self.list_length)

    @property
    def unablated(self) -> Cell:
        """The same cell of the whole model."""
        if self.ablation is None:
            return self
        # Not model_copy, which would keep the cached id.
        return Cell.model_validate({**self.model_dump(), "config": self.ablation.unablated, "ablation": None})

    @property
    def name(self) -> str:
        """Model, preset and ablation for people."""
        preset = "" if self.preset == "default" else f"@{self.preset}"
        return f"{self.model}{preset}" + (f" {self.ablation.name}" if self.ablation else "")

    @property
    def label(self) -> str:
        """The name with fold and seed."""
        return self.name + self.run

    @property
    def run(self) -> str:
        """What stands behind the name of a row: fold and seed, each if it has one."""
        fold = "" if self.fold is None else f" fold {self.fold}"
        return fold + ("" if self.deterministic else f" seed {self.seed}")


class Phase(Strict):
    """The cost of one phase of a worker."""

    seconds: float = Field(ge=0, allow_inf_nan=False)
    peak_mib: float = Field(ge=0, allow_inf_nan=False)
    """Peak resident memory of the worker process during this phase, in MiB."""
    cpu_seconds: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Of processors, of the worker and of what it started and waited for; None in results of older versions. In ``fit``
    are interrupted attempts that the model went on from, and what kept intermediate results took."""

    @property
    def processor_seconds(self) -> float:
        """Those of processors; of the clock where only that was recorded."""
        return self.seconds if self.cpu_seconds is None else self.cpu_seconds


class Size(Strict):
    """How large the data of a cell are."""

    users: int = Field(ge=0)
    items: int = Field(ge=0)
    interactions: int = Field(ge=0)
    """Of train."""
    tested: int = Field(ge=0)
    """Users that get a list."""


class ValidationRecord(Strict):
    """One validation of a model in training."""

    stage: str
    epoch: int = Field(ge=0, le=MOST)
    score: float = Field(allow_inf_nan=False)
    improved: bool


def pruned_at(floors: Sequence[Floor], validations: Sequence[ValidationRecord]) -> int | None:
    """The first epoch of a stage with floors at which the best score so far is below one; None if there is none."""
    best = {floor.stage: -math.inf for floor in floors}
    least = {(floor.stage, floor.epoch): floor.score for floor in floors}
    for record in validations:
        if record.stage in best:
            best[record.stage] = max(best[record.stage], record.score)
            if best[record.stage] < least.get((record.stage, record.epoch), -math.inf):
                return record.epoch
    return None


class GroupResult(Strict):
    """Metrics of one group of users."""

    rule: str
    members: str
    """Hash of who is in the group: two groups of one name with other members are two groups."""
    n: int = Field(ge=0)
    """Users of the group with at least one test item."""
    metrics: dict[str, FiniteFloat]
    """Mean over these users, by ``metric@k``; empty if n is 0."""
    errors: dict[str, FiniteFloat]
    """Standard error of these means over users; empty if n is below 2."""


class PluginVersion(Strict):
    """The distribution that brought a model. Provenance only: what its code means is in the cell's ``code``."""

    distribution: str
    version: str
    environment: str = ""
    """Name of the environment of its own that it ran in; empty: beside the core."""


class Result(Strict):
    """Everything known of a cell that was run."""

    schema_version: Literal[2] = 2
    cell_id: str
    cell: Cell
    status: Literal["finished", "failed"]
    reason: str | None = None
    """Why it failed, in one line."""
    created: str
    """When it was finished, ISO 8601, UTC."""
    asked: str = ""
    """When a run found it there although a newer result of its row had been made, as of code that went back to what it
    was: it counts from then on. Empty as a rule."""
    groups: dict[str, GroupResult] = {}
    beyond: dict[str, FiniteFloat] = {}
    """What the lists are like, by ``NAME@k`` (``bench/evaluation/beyond.py``)."""
    violations: dict[str, NonNegativeInt] = {}
    """Slots that broke the contract, by kind (``bench/evaluation/violations.py``)."""
    metrics_version: int = 0
    """Of the definitions of the metrics."""
    size: Size | None = None
    """Of its data; None in results of older versions."""
    validations: list[ValidationRecord] = []
    """While it trained."""
    validation: FiniteFloat | None = None
    """The stopping metric of the fitted model over the validation users that all models are scored on; None in results
    of older versions, and where the split has no validation part."""
    stopped_by_budget: bool = False
    phases: dict[str, Phase] = {}
    """Cost of ``import``, ``fit`` and ``recommend``."""
    resumed_seconds: float = 0.0
    """Of the seconds of ``fit``, those of interrupted attempts that the model went on from."""
    cached_seconds: float = 0.0
    """Of the seconds of ``fit``, those that kept intermediate results took when they were made."""
    kwh: float | None = Field(None, ge=0, allow_inf_nan=False)
    """That processors and GPUs of the whole machine took while its worker ran; None if it was not measured, or if a
    part of the training was done before."""
    warnings: list[str] = []
    """What went wrong without harm to the lists, a line each."""
    personalized: bool | None = None
    """Whether the model declares that its lists depend on the user; None in results of older versions."""
    facts: dict[str, Any] = {}
    """What the model tells of itself, for instance its number of parameters."""
    plugin: PluginVersion
    confinement: str = ""
    """What the worker was held to, or ``unconfined``."""
    raw_checksums: dict[str, str] = {}
    packages: dict[str, str] = {}
    """Versions of the packages that the worker had imported."""
    git_revision: str | None = None
    hardware: dict[str, Any] = {}
    command: str = ""
    """The command line of the run."""
    spec: RunSpec | None = None
    """What was asked for."""

    @property
    def epochs(self) -> int | None:
        """That it was trained for, of all stages, as far as it was validated; None of a model that counts none."""
        last: dict[str, int] = {}
        for record in self.validations:
            last[record.stage] = max(record.epoch, last.get(record.stage, 0))
        return sum(last.values()) or None

    @property
    def counts_from(self) -> str:
        """Of the results of a row, those of the latest code and data count."""
        return max(self.created, self.asked)

    @property
    def plan(self) -> str:
        """Hash of the plan that it was a part of; empty if there was none."""
        return self.spec.plan if self.spec else ""
