"""A row of a table: the results of one model with one config, and what is read off them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.errors import plain
from bench.evaluation.intervals import LEAST_USERS, Estimate, Part
from bench.messages.cell import Cell, Result

PHASES = ("import", "fit", "recommend")


@dataclass(frozen=True)
class Row:
    """The results of one model with one config, over runs."""

    results: list[Result]
    """The finished ones."""
    failures: list[Result]
    """The failed ones, which have no numbers."""
    variant: str = ""
    """What tells its config from that of other rows of the same model and preset."""
    differing: str = ""
    """All in which it differs from them, where ``variant`` does not say it."""

    @property
    def first(self) -> Result:
        return (self.results or self.failures)[0]

    @property
    def cells(self) -> list[Cell]:
        """A cell of each of its folds."""
        return list({result.cell.fold: result.cell for result in (*self.results, *self.failures)}.values())

    @property
    def failed(self) -> bool:
        """Whether no seed finished."""
        return not self.results

    @property
    def ablation(self) -> str:
        """Name of what was left away; empty for a whole model."""
        ablation = self.first.cell.ablation
        return ablation.name if ablation else ""

    @property
    def model(self) -> str:
        return plain(f"{self.first.cell.model} {self.ablation}") + self.variant

    @property
    def backbone(self) -> str:
        """What the model notes as its backbone, such as ``scratch``; empty if it notes nothing."""
        found = {plain(str(result.facts.get("backbone") or "")) for result in self.results}
        return ", ".join(sorted(found - {""}))

    @property
    def preset(self) -> str:
        """With the backbone, so that nobody takes one trained from scratch for a pretrained one."""
        return plain(self.first.cell.preset) + (f" ({self.backbone})" if self.backbone else "")

    @property
    def name(self) -> str:
        """The model with its preset, if it has several, and its ablation: what a user calls the row."""
        return plain(self.first.cell.name) + self.variant

    @property
    def title(self) -> str:
        """The name with the backbone."""
        return self.name + (f" ({self.backbone})" if self.backbone else "")

    @property
    def personalized(self) -> bool | None:
        """What its model declares; None where no result knows."""
        return next((r.personalized for r in self.results if r.personalized is not None), None)

    @property
    def plan(self) -> str:
        """Hash of the plan that all its runs were a part of; empty otherwise."""
        plans = {result.plan for result in (*self.results, *self.failures)}
        return plans.pop() if len(plans) == 1 else ""

    @property
    def seeds(self) -> int:
        """Number of different seeds."""
        return len({result.cell.seed for result in self.results or self.failures})

    @property
    def one_of_many_seeds(self) -> bool:
        """Whether it has one seed, and others would give something else."""
        return self.seeds == 1 and not self.first.cell.deterministic

    @property
    def spreads(self) -> bool:
        """Whether it has several seeds, whose lists differ."""
        return self.seeds > 1 and not self.first.cell.deterministic

    @property
    def folds(self) -> int:
        """Number of folds that were tested; 1 if the protocol has none."""
        return len({result.cell.fold for result in self.results or self.failures})

    @property
    def lacks(self) -> str:
        """The folds of the protocol that one of its seeds has not, as of a run that goes on: its mean is of other test
        items than those of other rows. Empty where nothing is missing.
        """
        has = {(result.cell.seed, result.cell.fold) for result in self.results}
        folds = [f for f in self.first.cell.protocol.folds if any((seed, f) not in has for seed, _ in has)]
        return f"fold{'s' * (len(folds) > 1)} {', '.join(map(str, folds))}" if folds else ""

    def values(self, group: str, metric: str) -> list[float]:
        """The metric of each run (a seed on a fold); empty where it was not measured."""
        found = (result.groups[group].metrics.get(metric) for result in self.results if group in result.groups)
        return [value for value in found if value is not None]

    def has(self, group: str, metric: str) -> bool:
        """Whether every run that has users in the group was measured so, and one has."""
        known = [result for result in self.results if group in result.groups]
        filled = sum(result.groups[group].n > 0 for result in known)
        return filled > 0 and len(known) == len(self.results) and len(self.values(group, metric)) == filled

    def mean(self, group: str, metric: str) -> float:
        """Mean over runs."""
        values = self.values(group, metric)
        return float(np.mean(values)) if values else math.nan

    def spread(self, group: str, metric: str) -> float:
        """Standard deviation over runs; not a number for fewer than two."""
        values = self.values(group, metric)
        return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan

    def user_error(self, group: str, metric: str) -> float:
        """Standard error of the mean over users, averaged over runs."""
        found = [result.groups[group].errors.get(metric, math.nan) for result in self.results if group in result.groups]
        return float(np.mean(found)) if found else math.nan

    def runs(self, group: str, metrics: Sequence[str]) -> list[list[float]]:
        """Of each run the ``metrics``; not a number where it was not measured."""
        found = [result.groups[group].metrics if group in result.groups else {} for result in self.results]
        return [[one.get(metric, math.nan) for metric in metrics] for one in found]

    def seed_means(self, group: str, metrics: Sequence[str]) -> NDArray[np.float64]:
        """(S, m): of each seed the means of ``metrics`` over its folds."""
        runs, seeds = np.array(self.runs(group, metrics)), np.array([result.cell.seed for result in self.results])
        return np.stack([runs[seeds == seed].mean(axis=0) for seed in np.unique(seeds)])

    def half_widths(self, group: str, metrics: Sequence[str]) -> list[float]:
        """Half of the 95 % interval over users and seeds of each metric, from what results alone tell.

        Of several seeds it is a little wider than that of a verdict, which is from the values per user: the chance
        within users is in both parts. Not a number below :data:`LEAST_USERS` users.
        """
        if self.users(group) < LEAST_USERS:
            return [math.nan] * len(metrics)
        runs, means = np.array(self.runs(group, metrics)), self.seed_means(group, metrics)
        parts = (Part.of(means),) if self.spreads else ()
        users = np.array([self.user_error(group, metric) for metric in metrics])
        return [float(half) for half in Estimate(runs.mean(axis=0), users, parts).half_width()]

    def users(self, group: str) -> int:
        """The smallest number of users of a run that has some; 0 where it was not measured."""
        found = (result.groups[group].n for result in self.results if group in result.groups)
        return min((n for n in found if n), default=0)

    @property
    def validation(self) -> float:
        """Mean over runs of the score on validation users; not a number where it was not measured."""
        found = [result.validation for result in self.results if result.validation is not None]
        return float(np.mean(found)) if found else math.nan

    def look(self, name: str) -> float:
        """Mean over runs of what lists are like, such as ``coverage@10``; not a number where it was not measured."""
        found = [result.beyond[name] for result in self.results if name in result.beyond]
        return float(np.mean(found)) if found else math.nan

    def cost(self, phase: str, what: str) -> float:
        """Mean over runs of ``seconds`` or ``peak_mib`` of a phase."""
        found = [getattr(result.phases[phase], what) for result in self.results if phase in result.phases]
        return float(np.mean(found)) if found else math.nan

    @property
    def epoch_seconds(self) -> float:
        """Seconds of ``fit`` for each epoch, mean over runs; not a number of a model that counts none."""
        runs = [result for result in self.results if "fit" in result.phases]
        found = [result.phases["fit"].seconds / result.epochs for result in runs if result.epochs]
        return float(np.mean(found)) if found else math.nan

    @property
    def kwh(self) -> float:
        """Mean over the runs that were measured; not a number if none was."""
        found = [result.kwh for result in self.results if result.kwh is not None]
        return float(np.mean(found)) if found else math.nan

    @property
    def parameters(self) -> float:
        """Of the first run, as the model tells them; not a number where it does not."""
        told = self.first.facts.get("parameters")
        return float(told) if isinstance(told, int) else math.nan

    @property
    def peak_mib(self) -> float:
        """Largest memory of any phase."""
        return max(self.cost(phase, "peak_mib") for phase in PHASES)

    def violations(self) -> dict[str, int]:
        """Sum over runs, by kind, of what is not zero."""
        kinds = sorted({kind for result in self.results for kind in result.violations})
        sums = {kind: sum(result.violations.get(kind, 0) for result in self.results) for kind in kinds}
        return {kind: number for kind, number in sums.items() if number}
