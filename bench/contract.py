"""All that the author of a model plugin has to read.

A model is a class with the members of :class:`Model`. The core calls them in a process of its own, in this order::

    model = ModelClass(ModelClass.Config(**options))
    model.fit(train, valid, context)
    model.recommend(users, history, exclude, k)

A plugin is a module that answers one hook, and one line of packaging metadata that names it::

    # toy.py
    from bench.contract import hookimpl

    @hookimpl
    def bench_model(name): return Toy

    # pyproject.toml
    [project.entry-points."bench.models"]
    toy = "toy"

``plugins/classic`` is the example to start from. :func:`bench.evaluation.topk.rank` turns any function that scores all
items for some users into a correct ``recommend``; :class:`bench.testing.ModelChecks` tests a model against this page.

Users and items are integers ``0 … n-1`` (sorted by original id, so an id says nothing of popularity or time). The test
set is not here: what a model may know of a user when it recommends comes as ``history``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
import pluggy
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import pandas as pd

hookimpl = pluggy.HookimplMarker("bench")
"""Marks the functions with which a plugin answers the hooks of :mod:`bench.plugins`."""

UNFILLED = -1
"""Item id of a slot that a model could not fill; its score is minus infinity, and it stands behind all filled slots."""


class ModelConfig(BaseModel):
    """Base of every model's config: unknown keys are errors, and the docstring under a field is its description."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True)
class Interactions:
    """Who interacted with what: a sparse users × items matrix by rows, each row in time order."""

    indptr: NDArray[np.int64]
    """(n_users + 1,): row ``u`` is ``items[indptr[u]:indptr[u + 1]]``."""
    items: NDArray[np.int32]
    """(n_interactions,): item ids, oldest first within a row. No item stands twice in a row."""
    times: NDArray[np.int64]
    """(n_interactions,): seconds since 1970."""
    n_items: int
    """Size of the catalogue, not only of the items that occur here."""

    def __len__(self) -> int:
        """Number of interactions."""
        return len(self.items)

    @property
    def n_users(self) -> int:
        return len(self.indptr) - 1

    @property
    def shape(self) -> tuple[int, int]:
        return self.n_users, self.n_items

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(n_users,): interactions per user."""
        return np.diff(self.indptr)

    @property
    def users(self) -> NDArray[np.int64]:
        """(n_interactions,): the row of each interaction."""
        return np.repeat(np.arange(self.n_users), self.lengths)

    def select(self, users: NDArray[np.integer[Any]]) -> Interactions:
        """The rows of ``users``, in that order, as a matrix of ``len(users)`` rows."""
        lengths = self.lengths[users]
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        at = np.arange(indptr[-1]) + np.repeat(self.indptr[:-1][users] - indptr[:-1], lengths)
        return Interactions(indptr, self.items[at], self.times[at], self.n_items)

    def where(self, chosen: NDArray[np.bool_]) -> Interactions:
        """Only the interactions that the mask ``chosen`` (n_interactions,) names; the rows stay."""
        indptr = np.concatenate([[0], np.cumsum(chosen)])[self.indptr]
        return Interactions(indptr, self.items[chosen], self.times[chosen], self.n_items)


class Recommendations(NamedTuple):
    """Top-K lists, best first."""

    items: NDArray[np.int32]
    """(n_users, k): item ids, :data:`UNFILLED` behind the last one where a list is shorter than k."""
    scores: NDArray[np.float32]
    """(n_users, k): higher is better and never rising within a row; minus infinity where unfilled."""


class Validation(NamedTuple):
    """What :meth:`Context.validate` found."""

    score: float | None
    """Value of the stopping metric; None when this epoch is not due for validation."""
    improved: bool
    """Best so far: keep a copy of the weights."""
    stop: bool
    """Patience is over: leave the loop and restore the copy."""


class Context(Protocol):
    """What ``fit`` receives beside the data."""

    seed: int
    """Seed of the model: the only source of randomness, and not the seed of the split."""
    device: str
    """A torch device name: ``cpu``, ``cuda``, …"""
    folder: Path
    """A folder for checkpoints and other working files, empty at first and gone when the cell is done.

    When an attempt at a cell ends before its time (killed, out of time or memory, crashed, interrupted), the files that
    it wrote here are found by the next attempt at the same cell: same code, config, data and seed, but perhaps another
    path. A model may go on from them, see :meth:`epochs`, or ignore them. It has to expect a half-written file; one
    that is written under another name and then renamed is whole.
    """
    time_budget: float | None
    """Seconds that ``fit`` may take, or None. A model that cannot stop early ignores it."""
    validation_rule: str
    """Hash of how :meth:`validate` judges: part of the key of what a model stopped by it and keeps."""

    def epochs(self, most: int, unit: str = "epoch", stage: str = "", done: int = 0) -> Iterator[int]:
        """Count 1, 2, … ``most``, reporting progress, and end early when the time budget is used up.

        A model that trains in several stages, such as item vectors and then a generator that reads them, calls this
        once per stage and names it. Each call begins a stage: the best score and patience begin anew, since scores of
        two stages are not those of one model getting better. The time budget is one for all of ``fit``: it ends the
        stage that would go beyond it, and each later one after its first epoch.

        A model that goes on from a checkpoint in :attr:`folder` says how many epochs of the stage it has ``done``, also
        of a stage that was over. Counting begins behind them, and their scores and time count as if there had been no
        interruption. The lists have to be those of an uninterrupted ``fit``, so a checkpoint holds all that training
        depends on: weights and the best ones so far, the optimiser's state, the state of random generators.
        """

    def validate(self) -> Validation:
        """Score the model as it is now on the core's sample of validation users, if this epoch is due.

        It calls ``recommend`` with train as history, and excludes train unless the protocol excludes nothing. All
        models stop by the same users, metric, interval and patience.
        """

    def progress(self, done: int, total: int | None, unit: str) -> None:
        """Report how far a long step other than :meth:`epochs` has come."""

    def log(self, message: str) -> None:
        """Write one line to the log of the cell."""

    def note(self, name: str, value: Any) -> None:
        """Put a JSON-ready fact about the model, such as its number of parameters, into ``result.json``.

        Tables know this name: ``backbone``, what the model was built on, stands beside the preset. A model with a
        pretrained backbone notes its name, such as ``t5-small``, and ``scratch`` where it trains the same from nothing.
        """

    def item_texts(self) -> pd.DataFrame:
        """(n_items) rows in item order: column ``id`` (original) and the data set's text fields, missing as ``""``."""

    def user_texts(self) -> pd.DataFrame:
        """(n_users) rows in user order: column ``id`` and the fields that the data set has of its users."""


@runtime_checkable
class Model(Protocol):
    """A recommender. Nothing here has behaviour: any class with these members is a model."""

    Config: ClassVar[type[ModelConfig]]
    """The typed config; its defaults are the first preset."""
    deterministic: ClassVar[bool]
    """True if the lists do not depend on the seed."""
    config: Any
    """The ``Config`` that the model was made with."""

    # Optional: presets: ClassVar[Mapping[str, Mapping[str, Any]]], named changes to the defaults of Config. The first
    # is the default one; without presets the only one is called "default".
    #
    # Optional: ablations: ClassVar[Mapping[str, Mapping[str, Any]]], named changes to the config, each of which takes
    # one part of the model away, for ``bench run --ablate``. They win over the preset and over the user's options.

    def __init__(self, config: Any) -> None: ...

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Learn from ``train``. ``valid`` is for choices such as when to stop, never to learn from.

        Both have all users and all items; a user's row may be empty.
        """

    def recommend(
        self, users: NDArray[np.int64], history: Interactions, exclude: Interactions, k: int
    ) -> Recommendations:
        """The best ``k`` items for each of ``users``, shape ``(len(users), k)``.

        Row ``i`` of ``history`` is what may be known of ``users[i]`` now, row ``i`` of ``exclude`` what must not be
        recommended. A user may be one whose train row is empty.
        """

    def save(self, folder: Path) -> None:
        """Write all that :meth:`recommend` needs into the existing, empty ``folder``, without pickle."""

    def load(self, folder: Path, device: str) -> None:
        """The inverse of :meth:`save`, on a new model made with the same config, for recommending on ``device``."""


@runtime_checkable
class Explains(Protocol):
    """The optional part of a model: why these items?"""

    def explain(
        self, users: NDArray[np.int64], history: Interactions, recommendations: Recommendations
    ) -> list[list[Mapping[str, Any]]]:
        """For each user and each filled slot, a JSON-ready mapping of what led to it.

        A mapping within it that has an item's number as ``item`` is shown with the item's id and title.
        """
