"""What a run is asked to do: one typed object for the shell, for Python and for ``bench run --spec``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from bench.data.protocol import Exclusion, Parts
from bench.strict import Strict

LARGEST_K = 10_000
"""Largest cut-off: lists of that length are made and stored for each user."""
LIST_LENGTH = 100
"""Shortest lists that are asked for, so that all usual cut-offs share one cell."""
USUAL_KS = [5, 10, 20]
"""Cut-offs where none are given."""


class Stopping(Strict):
    """The one stopping rule of all models that train in epochs."""

    metric: Literal["ndcg", "recall", "precision", "hit", "mrr", "map"] = "ndcg"
    k: int = Field(10, ge=1)
    """Cut-off of the metric."""
    users: int = Field(2000, ge=1)
    """Size of the fixed sample of validation users; all of them if there are fewer."""
    every: int = Field(1, ge=1)
    """Epochs between two validations."""
    patience: int = Field(10, ge=1)
    """Validations without a better score after which training ends."""

    @property
    def name(self) -> str:
        return f"{self.metric}@{self.k}"


class RunSpec(Strict):
    """Models × seeds on one data set under one protocol."""

    models: list[str] = Field(min_length=1)
    """Names as in ``bench models list``, each perhaps with a preset: ``MODEL@PRESET``."""
    dataset: str
    """A name of ``bench datasets list``, or the path of a card (``….yaml``)."""
    options: dict[str, dict[str, Any]] = {}
    """Config changes by model name."""
    protocol: str | None = None
    """A name of :data:`bench.data.protocol.PROTOCOLS`; the data set's own by default."""
    split_seed: int | None = Field(None, ge=0)
    """Seed of the split; another one is another protocol."""
    history: Parts | None = None
    """What a model may know of a user at test; the protocol's own by default."""
    exclude: Exclusion | None = None
    """What must not be recommended at test; the protocol's own by default."""
    fit: Parts | None = None
    """What models are fitted on; the protocol's own by default."""
    candidates: str | None = Field(None, pattern="^(all|train)$")
    """Which items are ranked; the protocol's own by default."""
    groups: list[str] = []
    """More groups of users or items: names of :data:`bench.data.groups.FAMILIES`, or CSV files."""
    strict: bool = False
    """Whether raw rows that cannot be used are an error."""
    seeds: list[int] = Field([1], min_length=1)
    """Seeds of the models; deterministic ones run once."""
    ks: list[int] = Field(USUAL_KS, min_length=1)
    """Cut-offs of the metrics; those of lists that are longer than usual are measured at the usual ones too."""
    raw_dir: Path | None = None
    """Folder of raw files; ``$BENCH_RAW_DIR`` by default."""
    jobs: int = Field(1, ge=1)
    """Cells at a time; the machine's cores are shared among them."""
    threads: int | None = Field(None, ge=1)
    """CPU threads of a cell; cores / jobs by default."""
    processes: int = Field(1, ge=1)
    """That train one model together, if it is one that can; they share its CPU threads, and have a GPU each."""
    energy: bool = False
    """Whether the energy that the machine takes while a cell runs is measured, one cell at a time."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, …"""
    timeout: float | None = Field(None, gt=0)
    """Seconds after which a cell is killed."""
    time_budget: float | None = Field(None, gt=0)
    """Processor seconds that a model may train, which it ends in good order."""
    memory_limit: float | None = Field(None, gt=0)
    """GiB of address space of a worker."""
    save_models: bool | None = None
    """Whether trained models are kept in their cells; None: those of at most 64 MiB."""
    stopping: Stopping = Stopping()
    """When models that train in epochs stop; another rule makes rows of their own."""
    ablate: list[str] = []
    """Ablations that are run beside the whole models: names, or ``all``."""
    confine: bool = True
    """Whether workers are confined where the system can do it."""
    executor: Literal["local", "ray"] = "local"
    """Where cells run: on this machine, or on a Ray cluster."""
    address: str | None = None
    """Of the Ray cluster; ``$RAY_ADDRESS`` by default, or else one that is begun on this machine."""
    plan: str = Field("", pattern="^[0-9a-f]*$")
    """Hash of the plan that is carried out (``bench plan``); empty if there is none."""

    @field_validator("ks")
    @classmethod
    def _cut_offs(cls, value: list[int]) -> list[int]:
        if min(value) < 1:
            raise ValueError("cut-offs must be 1 or more")
        if max(value) > LARGEST_K:
            raise ValueError(f"cut-offs must be {LARGEST_K:,} or less")
        return sorted(set(value))
