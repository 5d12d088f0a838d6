"""Figures of others, the cards of ``references.yaml``, and which of them a table may be compared with."""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from bench.data.catalog import Filters, Named, cards, read_cards
from bench.data.filters import filters_of
from bench.data.protocol import Exclusion, Parts, Protocol
from bench.data.split_rules import AnySplit
from bench.files import packaged
from bench.report.numbers import number
from bench.report.row import Row
from bench.report.table import Table
from bench.strict import Strict

_Metric = Annotated[str, StringConstraints(pattern=r"^[a-z]+@[1-9]\d{0,8}$")]
_Mean = Annotated[float, Field(gt=0, le=1)]
_Unknown = Literal["unknown"]


class Rules(Strict):
    """Of the evaluation. What is ``unknown`` equals nothing."""

    split: AnySplit | str
    """A text for a split that no rule of this harness makes. The seed of a random one does not matter."""
    history: Parts | _Unknown
    exclude: Exclusion | _Unknown
    candidates: Literal["all", "train"] | _Unknown

    def match(self, protocol: Protocol) -> bool:
        """Whether a table of this protocol says the same; figures of others are of models fitted on train."""
        if protocol.fit != "train":
            return False
        own, other = self._comparable(), Rules(**protocol.rules())._comparable()
        return "unknown" not in own.values() and own == other

    def describe(self) -> str:
        """In one line."""
        excluded = {"none": "nothing (the history is ranked too)", "unknown": "unknown"}.get(self.exclude, self.exclude)
        ranked = {"all": "all items", "train": "items seen in train", "unknown": "unknown items"}[self.candidates]
        return f"{self._split}, history {self.history}, excluding {excluded}, ranking {ranked}"

    def unlike(self, other: Rules) -> list[str]:
        """What is not as in ``other``, in words."""
        found = ["another split"] if self._split != other._split else []
        if self.exclude != other.exclude:
            what = {"none": "history ranked too", "unknown": "unknown what is excluded"}
            found.append(what.get(self.exclude, f"excluding {self.exclude}"))
        found += [f"history {self.history}"] if self.history != other.history else []
        return found + ([f"candidates {self.candidates}"] if self.candidates != other.candidates else [])

    @property
    def _split(self) -> str:
        words = self.split if isinstance(self.split, str) else self.split.describe()
        return re.sub(r" \(split seed \d+\)", "", words)

    def _comparable(self) -> dict[str, Any]:
        return {**self.model_dump(exclude={"split"}), "split": self._split}


class Figure(Strict):
    """What somebody reports of a model."""

    model: str
    metrics: dict[_Metric, _Mean] = Field(min_length=1)
    """Means by ``metric@k``, as printed."""
    sd: dict[_Metric, _Mean] = {}
    """Standard deviations over seeds of some of them."""
    row: dict[str, dict[str, Any]] = {}
    """Models of this harness that are the same one: by name, with the config that they must have to be it."""
    note: str = ""
    """Such as the loss, and whether it was tuned."""
    not_reached: str = ""
    """Who could not reach it, and what was reached; such a figure is shown, and no row is measured by it."""

    @model_validator(mode="after")
    def _spread_of_means(self) -> Figure:
        if strangers := self.sd.keys() - self.metrics.keys():
            raise ValueError(f"sd of {', '.join(sorted(strangers))}, of which there is no mean")
        return self

    def told(self, metric: str) -> str:
        """Mean and spread, as a cell of a table; empty if there is none."""
        if metric not in self.metrics:
            return ""
        spread = f" (SD {number(self.sd[metric])})" if metric in self.sd else ""
        return number(self.metrics[metric]) + spread

    def is_of(self, row: Row) -> bool:
        """Whether a row is of the same model."""
        cell = row.first.cell
        needed = self.row.get(cell.model)
        return needed is not None and not row.ablation and all(cell.config.get(k) == v for k, v in needed.items())


class Reference(Named):
    """A card: figures of one source, on one data set under one protocol."""

    datasets: list[str] = Field(min_length=1)
    """Names of the data set here."""
    filters: Filters
    users: int | None = Field(None, ge=1)
    """How many were tested, where that is known: a table with another number has other data."""
    protocol: Rules
    source: str
    """Paper, repository or thread."""
    revision: str = ""
    """Of a repository."""
    year: int | None = None
    note: str = ""
    """Holds for all figures."""
    figures: list[Figure] = Field(min_length=1)

    @property
    def origin(self) -> str:
        """The source with its revision and year."""
        year = f" ({self.year})" if self.year else ""
        return f"{self.source}{f' {self.revision}' if self.revision else ''}{year}"

    @property
    def data(self) -> str:
        """Filters and users in words."""
        steps = [step.name for step in filters_of(self.filters) if not step.name.startswith("one per user")]
        users = [f"{self.users:,} users"] if self.users else []
        return ", ".join([*(steps or ["no filters"]), *users])

    def match(self, table: Table) -> bool:
        """Whether a table has the same data under the same protocol, as far as both know."""
        if table.dataset not in self.datasets or not self.protocol.match(table.cell.protocol):
            return False
        known = cards().get(table.dataset)
        users = table.groups["all"][1] if "all" in table.groups else None
        return (known is None or known.filters == self.filters) and (self.users is None or self.users == users)


@cache
def references() -> dict[str, Reference]:
    """All cards by name, in the order of ``references.yaml``.

    Raises
    ------
    DataError
        If a card is not valid.
    """
    return read_cards(packaged("references.yaml"), Reference)


def matching(table: Table) -> list[Reference]:
    """The cards that a table may be compared with."""
    return [card for card in references().values() if card.match(table)]
