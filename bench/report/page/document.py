"""What the page holds: every number and text of it, with plain types. ``report.json`` is this document."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from bench.data.protocol import Protocol
from bench.evaluation.intervals import LEAST_USERS
from bench.strict import Strict

Numbers = list[float]
"""One per metric of the table; not a number (null in JSON) where it was not measured."""


class GroupPart(Strict):
    """A group of users, items or cases."""

    name: str
    rule: str
    n: int


class Failure(Strict):
    """A run that failed."""

    run: str
    reason: str
    log: list[str]
    """The last lines of its log; empty where there is none."""


class Change(Strict):
    """A field of a config that differs from that of the model's default row."""

    field: str
    before: Any
    now: Any


class Source(Strict):
    """Where the numbers of a row come from."""

    cells: list[str]
    runs: list[str]
    """What each run is called: its seed, and its fold if there are any."""
    created: str
    """When the newest run was finished."""
    commands: list[str]
    config: dict[str, Any]
    changes: list[Change]
    """To the default row of the model; empty if this is it, or if there is none."""
    code: str
    """Hash of what the code means."""
    content: str
    """Hash of what the model was given."""
    plugin: str
    git_revision: str
    device: str
    environment: int
    """Which of the page's environments its newest run had."""
    facts: dict[str, Any]


class Environment(Strict):
    """What runs had in common."""

    hardware: dict[str, Any]
    packages: dict[str, str]
    confinement: str


class RowPart(Strict):
    """A row of a table."""

    name: str
    model: str
    preset: str
    origins: list[str]
    """Which results folders its runs are from."""
    seeds: int
    folds: int
    one_of_many_seeds: bool
    ablation: bool
    failures: list[Failure]
    means: dict[str, Numbers] = {}
    """By group, over runs; empty if all runs failed."""
    half_widths: dict[str, Numbers] = {}
    """Of 95 % intervals over users and seeds."""
    runs: dict[str, list[Numbers]] = {}
    """By group, the values of each run, if there are several."""
    ranks: dict[str, tuple[int, int]] = {}
    """By group, the first and the last rank that it may have, by the table's first metric."""
    costs: dict[str, float] = {}
    """``fit`` and ``recommend`` in seconds, ``memory`` in MiB."""
    looks: dict[str, float] = {}
    """What its lists are like, by ``NAME@k``."""
    untuned: str = ""
    """The row whose config it was tuned from."""
    source: Source


class PairPart(Strict):
    """The paired difference a − b of two rows in the table's first metric."""

    a: int
    """Number of the row in the table."""
    b: int
    difference: float
    half_width: float
    """Of its 95 % interval."""
    p: float
    """By Holm's rule over all pairs of the table."""


class TuningPart(Strict):
    """A study."""

    model: str
    preset: str
    metric: str
    """At validation."""
    scores: Numbers
    """Of each trial."""
    best: Numbers
    """After each trial."""
    seconds: float
    options: dict[str, Any]
    """The best ones."""
    test: tuple[float, float] | None = None
    """The same metric at test: of the row that it began with, and of the tuned one."""


class ReferencePart(Strict):
    """What somebody else reports of a model, on the same data under the same protocol."""

    model: str
    source: str
    means: dict[str, float]
    """By ``metric@k``, for all users."""
    deviations: dict[str, float]
    """Standard deviations over seeds, of some of them."""
    notes: list[str]
    is_reached: bool
    """Whether nobody is known who tried in vain."""


class Listed(Strict):
    """An item of a list."""

    title: str
    hit: bool
    """Whether it is a test item of the user."""


class UserPart(Strict):
    """A user, and what the models recommend."""

    user: str
    known: int
    """Number of items of the history."""
    history: list[str]
    """Titles of the latest of them, newest first."""
    lists: list[list[Listed]]
    """One per model."""


class ListsPart(Strict):
    """Lists of several models side by side."""

    rows: list[str]
    users: list[UserPart]


class TablePart(Strict):
    """One data set under one protocol."""

    name: str
    dataset: str
    protocol: Protocol
    rules: str
    """The protocol in words."""
    fingerprint: str
    metrics: list[str]
    first: str
    """The metric that orders the rows; ranks and pairs are of it."""
    groups: list[GroupPart]
    by_history: list[str]
    """Names of the groups that divide users by the length of their history, shortest first."""
    looks: list[str]
    rows: list[RowPart]
    detectable: float
    """The difference that a pair would show by itself in 80 % of all cases: the median of pairs."""
    detectable_least: float
    """That of the pair of rows that is most alike."""
    seed_spread: float
    """As a share of the mean, what is assumed of a row of one of many seeds."""
    pairs: dict[str, list[PairPart]]
    """By group, among the first :data:`bench.report.page.build.MOST_PAIRED` rows with ranks."""
    tuning: list[TuningPart]
    references: list[ReferencePart]
    reached: list[str]
    """What the rows reach of them, a line each."""
    lists: ListsPart | None
    notes: list[str]
    latex: str
    markdown: str


class Page(Strict):
    """Everything."""

    schema_version: int = 1
    folders: list[str]
    """What the results folders are called; the first is one's own."""
    created: str
    """When its newest result was finished."""
    least_users: int = LEAST_USERS
    """Groups of fewer have neither intervals nor ranks."""
    tables: list[TablePart]
    environments: list[Environment]
    left_out: list[str] = Field(default_factory=list)
    """Records that could not be read, and others that are not on the page, a line each."""
