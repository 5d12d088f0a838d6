"""What tuning found: the trials of one model on one split, by validation alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from bench.messages.cell import Cell
from bench.strict import Strict

TUNED = "tuned"
"""The preset of a tuned model; with ``:DATASET`` or ``:DATASET-FINGERPRINT`` of one that was tuned on other data."""


def tuned_on(preset: str | None) -> str | None:
    """The other data that a preset names, empty for those at hand; None if it is none of a tuned model."""
    name, colon, where = (preset or "").partition(":")
    return where if name == TUNED and bool(colon) == bool(where) else None


class Trial(Strict):
    """One config and what it came to."""

    number: int = Field(ge=0)
    """0 is the preset itself."""
    options: dict[str, Any]
    """What is set of the config, by field."""
    score: float | None
    """Of the metric, over all validation users; None if it failed."""
    reason: str | None = None
    """Why it failed."""
    seconds: float = Field(ge=0)
    """Of ``fit``."""
    epochs: int | None = None
    """How many were best, of a model that trains in one stage of epochs."""
    pruned: int | None = None
    """The epoch that ended its training, below the median of the trials before."""
    at_limit: bool = False
    """Whether ``--trial-time`` ended its training."""
    cell: str
    """Id of its cell below ``tuning/``."""


class Study(Strict):
    """``tuning/DATASET-FINGERPRINT-MODEL.json``, of one of several splits ``…-MODEL-foldN.json``."""

    schema_version: int = 1
    model: str
    preset: str
    """Where it began."""
    dataset: str
    protocol: str = ""
    """Its name; empty in studies of before this was kept."""
    fingerprint: str
    """Of the protocol; trials have the rules of :meth:`bench.data.protocol.Protocol.at_validation`."""
    fold: int | None = None
    """The split that it was tuned in, of several; None if there is one."""
    metric: str
    seed: int
    """Of the sampler; models have seed 1."""
    at_once: int = 1
    """Trials that were asked for together, none of them knowing the score of another."""
    carved: str = ""
    """Where the split leaves no validation part: the rule by which one was carved from train."""
    space: dict[str, dict[str, Any]]
    """Where was looked, by field."""
    code: str
    """Hash of what the plugin's code means."""
    config: dict[str, Any] | None = None
    """Of the first trial, whole; None in studies of before this was kept."""
    trials: list[Trial] = []
    plan: str = ""
    """Hash of the plan that it carries out; empty if there is none."""

    @property
    def title(self) -> str:
        """The model, and the split."""
        return self.model if self.fold is None else f"{self.model} fold {self.fold}"

    @property
    def best(self) -> Trial | None:
        """The first of those with the best score, of the ones that were not given up; None if all failed."""
        done = [trial for trial in self.trials if trial.score is not None and trial.pruned is None]
        return max(done, key=lambda trial: trial.score or 0.0, default=None)

    @property
    def found(self) -> dict[str, Any]:
        """The config of the best trial; of studies of before it was kept, what was changed of the preset."""
        return {**(self.config or {}), **(self.best.options if self.best else {})}

    def gave(self, config: Mapping[str, Any]) -> bool:
        """Whether a config is that of the best trial, which may have ended before the epochs that were asked for."""
        return all(config.get(name) == value for name, value in self.found.items() if name != "epochs")

    def began_with(self, cell: Cell) -> bool:
        """Whether the first trial had the config of a cell, as far as that is known: a default may have changed."""
        if cell.model != self.model or cell.preset != self.preset:
            return False
        if self.config is not None:
            return cell.config == self.config
        given = self.trials[0].options
        return cell.code == self.code and all(cell.config.get(name) == value for name, value in given.items())

    def begins(self, longer: Study) -> bool:
        """Whether the trials of the other study begin with those of this one."""
        own, theirs = ([(trial.cell, trial.score) for trial in study.trials] for study in (self, longer))
        return own == theirs[: len(own)]

    @property
    def seconds(self) -> float:
        """Of all trials."""
        return sum(trial.seconds for trial in self.trials)
