"""The ways to split a data set. Each assigns the parts itself; the arithmetic is in :mod:`bench.data.splits`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from bench.data import splits
from bench.errors import DataError
from bench.strict import Strict

if TYPE_CHECKING:
    from bench.data.dataset import Dataset

Ratios = tuple[float, float, float]


class SplitRule(Strict, ABC):
    """A rule that gives each interaction of a data set its part."""

    @abstractmethod
    def describe(self) -> str:
        """The rule in words."""

    @abstractmethod
    def assign(self, dataset: Dataset, fold: int | None) -> splits.Parts:
        """The part (n_interactions,) int8 of each interaction; ``fold`` is None unless there are folds.

        Raises
        ------
        DataError
            If the rule does not suit the data.
        """

    def identity(self, dataset: Dataset, parts: splits.Parts) -> splits.Parts:
        """What the fingerprint is made of, (n_interactions,) int8: ``parts``, where one fold is all."""
        return parts

    @property
    def by_time(self) -> bool:
        """Whether the time of a user's interactions decides which part they belong to."""
        return False

    @property
    def of_new_users(self) -> bool:
        """Whether users are tested that are not in train."""
        return False


class RatioSplit(SplitRule):
    """Per user, a share of the interactions for train, validation and test."""

    kind: Literal["ratio"] = "ratio"
    order: Literal["random", "time"] = "random"
    ratios: Ratios = (8, 1, 1)
    seed: int = Field(2024, ge=0)

    def describe(self) -> str:
        seed = f" (split seed {self.seed})" if self.order == "random" else ""
        return f"per-user {self.order} {_colons(self.ratios)}{seed}"

    @property
    def by_time(self) -> bool:
        return self.order == "time"

    def assign(self, dataset: Dataset, fold: int | None) -> splits.Parts:
        bounds = dataset.interactions.indptr
        counts = splits.ratio_counts(dataset.interactions.lengths, self.ratios)
        return splits.by_time(bounds, counts) if self.by_time else splits.at_random(bounds, counts, self.seed)


class LeaveOutSplit(SplitRule):
    """Per user, the newest k for test and the k before for validation; ties in time by row of the raw file."""

    kind: Literal["leave-out"] = "leave-out"
    k: int = Field(1, ge=1)

    def describe(self) -> str:
        return f"last {self.k} of each user for test, {self.k} before for validation"

    @property
    def by_time(self) -> bool:
        return True

    def assign(self, dataset: Dataset, fold: int | None) -> splits.Parts:
        whole = dataset.interactions
        return splits.by_time(whole.indptr, splits.leave_out_counts(whole.lengths, self.k))


class TemporalSplit(SplitRule):
    """Two cuts in time for all users alike."""

    kind: Literal["temporal"] = "temporal"
    ratios: Ratios = (8, 1, 1)

    def describe(self) -> str:
        return f"global cuts in time at {_colons(self.ratios)}"

    def assign(self, dataset: Dataset, fold: int | None) -> splits.Parts:
        times = dataset.moments
        if times.min() == times.max():
            name = dataset.facts["dataset"]
            raise DataError(f"'{name}' has no times: choose a --protocol that does not cut in time")
        return splits.global_cut(times, self.ratios)


class FoldSplit(SplitRule):
    """Cross-validation over the interactions of each user: one fold for test, the next for validation."""

    kind: Literal["fold"] = "fold"
    folds: int = Field(5, ge=3, le=127)
    seed: int = Field(2024, ge=0)

    def describe(self) -> str:
        return f"{self.folds}-fold cross-validation per user (split seed {self.seed})"

    def assign(self, dataset: Dataset, fold: int | None) -> splits.Parts:
        assert fold is not None
        return splits.fold_parts(dataset.interactions.indptr, self._numbers(dataset), self.folds, fold)

    def identity(self, dataset: Dataset, parts: splits.Parts) -> splits.Parts:
        """The fold of each interaction: the same for all folds."""
        return self._numbers(dataset)

    def _numbers(self, dataset: Dataset) -> splits.Parts:
        return splits.folds(dataset.interactions.indptr, self.folds, self.seed)


class HeldOutSplit(SplitRule):
    """Strong generalisation: validation and test users are not in train."""

    kind: Literal["held-out"] = "held-out"
    user_ratios: Ratios = (8, 1, 1)
    fold_in_ratio: float = Field(0.8, gt=0, lt=1)
    """Share of a held-out user's interactions that is known when the rest is to be predicted."""
    seed: int = Field(2024, ge=0)

    @property
    def of_new_users(self) -> bool:
        return True

    def describe(self) -> str:
        shares = f"{_colons(self.user_ratios)}, fold-in {self.fold_in_ratio:.0%}"
        return f"held-out users {shares} (split seed {self.seed})"

    def assign(self, dataset: Dataset, fold: int | None) -> splits.Parts:
        bounds = dataset.interactions.indptr
        return splits.held_out_users(bounds, self.user_ratios, self.fold_in_ratio, self.seed)


class PredefinedSplit(SplitRule):
    """The parts that the raw files give."""

    kind: Literal["predefined"] = "predefined"

    def describe(self) -> str:
        return "split as published"

    def assign(self, dataset: Dataset, fold: int | None) -> splits.Parts:
        return dataset.published_parts


class RepeatedSplit(SplitRule):
    """Several splits by one rule, of seeds that follow each other; each is a fold, and users are averaged over them."""

    kind: Literal["repeated"] = "repeated"
    of: Annotated[RatioSplit | HeldOutSplit, Field(discriminator="kind")]
    repeats: int = Field(ge=2, le=100)

    @property
    def seed(self) -> int:
        """The first seed: the first split is that of the rule alone."""
        return self.of.seed

    @property
    def of_new_users(self) -> bool:
        return self.of.of_new_users

    def describe(self) -> str:
        return f"{self.repeats} times {self.of.describe()} and the seeds after it"

    def assign(self, dataset: Dataset, fold: int | None) -> splits.Parts:
        assert fold is not None
        return self.of.model_copy(update={"seed": self.seed + fold}).assign(dataset, None)

    def identity(self, dataset: Dataset, parts: splits.Parts) -> splits.Parts:
        """The parts of the first split and the number of splits, which tell the others."""
        return np.append(self.assign(dataset, 0), np.int8(self.repeats))


class CarvedSplit(SplitRule):
    """A split that leaves no validation, of each user a share of its train part put aside for it: to choose by."""

    kind: Literal["carved"] = "carved"
    of: Annotated[LeaveOutSplit | TemporalSplit | PredefinedSplit | RatioSplit, Field(discriminator="kind")]
    share: float = Field(0.1, gt=0, lt=1)
    seed: int = Field(2024, ge=0)

    def describe(self) -> str:
        return f"{self.of.describe()}, {self.share:.0%} of each user's train part for validation (seed {self.seed})"

    def assign(self, dataset: Dataset, fold: int | None) -> splits.Parts:
        parts = self.of.assign(dataset, fold)
        train = np.flatnonzero(parts == splits.TRAIN)
        bounds = np.searchsorted(train, dataset.interactions.indptr)
        counts = splits.ratio_counts(np.diff(bounds), (1 - self.share, self.share))
        parts = parts.copy()
        parts[train] = splits.at_random(bounds, counts, self.seed)
        return parts


AnySplit = Annotated[
    RatioSplit
    | LeaveOutSplit
    | TemporalSplit
    | FoldSplit
    | HeldOutSplit
    | PredefinedSplit
    | RepeatedSplit
    | CarvedSplit,
    Field(discriminator="kind"),
]


def _colons(ratios: Ratios) -> str:
    return ":".join(f"{ratio:g}" for ratio in ratios)
