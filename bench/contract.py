"""All that the author of a plugin has to read.

A model is a subclass of :class:`Recommender`, and one line of packaging metadata that names it::

    # toy.py
    import numpy as np
    from bench import Recommender

    class Toy(Recommender):
        \"\"\"Most popular items.\"\"\"
        deterministic = True
        personalized = False
        state = ("counts",)

        def fit(self, train, valid, context):
            self.counts = np.bincount(train.items, minlength=train.n_items).astype(np.float32)

        def score(self, users, history):
            return np.tile(self.counts, (len(users), 1))

    # pyproject.toml
    [project.entry-points."bench.models"]
    toy = "toy:Toy"

The core calls it in a process of its own, in this order::

    model = Toy(Toy.Config(**options))
    model.fit(train, valid, context)
    model.recommend(users, history, exclude, k)

:class:`bench.testing.ModelChecks` tests a model against this page. Users and items are integers ``0 … n-1`` (sorted by
original id, so an id says nothing of popularity or time). The test set is not here: what a model may know of a user
when it recommends comes as ``history``.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np
import pluggy
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from bench.interactions import UNFILLED, Interactions, Recommendations, save_array
from bench.topk import rank

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "UNFILLED",
    "Arrays",
    "Context",
    "Interactions",
    "ModelConfig",
    "RawData",
    "Reader",
    "Recommendations",
    "Recommender",
    "Search",
    "TextInputs",
    "Validation",
    "hookimpl",
]

hookimpl = pluggy.HookimplMarker("bench")
"""Marks the functions with which a plugin answers the hooks of :mod:`bench.plugins`."""

Arrays = Mapping[str, NDArray[Any]]
"""Named arrays of any shape and type."""


class ModelConfig(BaseModel):
    """Base of every model's config: unknown keys and numbers that are not finite are errors, and the docstring under a
    field is its description.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Search:
    """Where tuning looks for the value of a config field. A field without one keeps its value.

    ::

        learning_rate: Annotated[float, Search(1e-4, 1e-2, log=True)] = 1e-3
        loss: Annotated[Literal["bce", "softmax"], Search(choices=("bce", "softmax"))] = "softmax"
    """

    low: float | None = None
    high: float | None = None
    """Both ends belong to the range; a field of whole numbers takes whole numbers of it."""
    log: bool = False
    """Whether factors count rather than differences."""
    choices: tuple[Any, ...] = ()
    """Values to choose from, in place of a range."""
    only_if: tuple[str, Any] | None = None
    """Another field, which is not tuned, and the value that it has to have, or a tuple of such values: with others this
    one has no effect, and no trial is spent on it. ``Search(0.5, 4.0, only_if=("init", "svd"))``."""

    def __post_init__(self) -> None:
        ends = (self.low, self.high)
        if self.choices:
            fits = ends == (None, None) and not self.log
        else:
            fits = None not in ends and self.low < self.high and (self.low > 0 or not self.log)  # type: ignore[operator]
        if not fits:
            raise ValueError(f"{self}: give low < high (above 0 if log), or choices")

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        """Shown in the schema of the config, as ``search``."""
        space: dict[str, Any] = {"low": self.low, "high": self.high, "log": self.log}
        if self.choices:
            space = {"choices": list(self.choices)}
        if self.only_if:
            name, value = self.only_if
            space["only_if"] = [name, list(value) if isinstance(value, tuple) else [value]]
        return {**handler(core_schema), "search": space}


class Validation(NamedTuple):
    """What :meth:`Context.validate` found."""

    score: float | None
    """Value of the stopping metric; None when this epoch is not due for validation."""
    improved: bool
    """Best so far: keep a copy of the weights."""
    stop: bool
    """Patience is over: leave the loop and restore the copy."""


class TextInputs(NamedTuple):
    """All that a function for :meth:`Context.cached_from_texts` gets."""

    items: pd.DataFrame
    """See :meth:`Context.item_texts`."""
    users: pd.DataFrame
    """See :meth:`Context.user_texts`."""
    inputs: Mapping[str, Any]
    """What was given as ``inputs``."""
    progress: Callable[[int, int | None, str], None]
    """:meth:`Context.progress`."""


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
    """Processor seconds that ``fit`` may take, or None. A model that cannot stop early ignores it."""
    processes: int
    """How many processes may train the model together; 1 unless it is :attr:`Recommender.distributed`."""

    def epochs(self, max_epochs: int, unit: str = "epoch", stage: str = "", done: int = 0) -> Iterator[int]:
        """Count 1, 2, … ``max_epochs``, reporting progress, and end early when the time budget is used up.

        A model that trains in several stages, such as item vectors and then a generator that reads them, calls this
        once per stage and names it. Each call starts a new stage with its own best score and patience. The time budget
        is one for all of ``fit``: it ends the stage that would go beyond it, and each later one after its first epoch.

        A model that goes on from a checkpoint in :attr:`folder` says how many epochs of the stage it has ``done``, also
        of a stage that was over. Counting begins behind them, and their scores and time count as if there had been no
        interruption. The lists have to be those of an uninterrupted ``fit``, so a checkpoint holds all that training
        depends on: weights and the best ones so far, the optimizer's state, the state of random generators.
        """

    def validate(self) -> Validation:
        """Score the model as it is now on the core's sample of validation users, if this epoch is due.

        It calls ``recommend`` with train as history, and excludes train unless the protocol excludes nothing. All
        models stop by the same users, metric, interval and patience.
        """

    def cached(self, name: str, inputs: Mapping[str, Any], compute: Callable[[], Arrays]) -> dict[str, NDArray[Any]]:
        """The arrays that ``compute`` makes, kept by the core so that another cell does not compute them again.

        The seconds that the arrays took when they were made count as seconds of ``fit`` in every cell that uses them,
        and of its time budget. What a time budget or the pruning of a study cut short is not kept.

        Parameters
        ----------
        name
            A word of small letters, digits and dashes for the log, such as ``vectors``.
        inputs
            What the arrays depend on beside the data and the code: JSON-ready values, arrays, and the seed if it
            matters. Train, validation, texts, the plugin's code, the stopping rule and the device are in the key
            anyway.
        compute
            Makes the arrays. It may train, with :meth:`epochs` and :meth:`validate`.
        """

    def cached_from_texts(
        self, name: str, inputs: Mapping[str, Any], compute: Callable[[TextInputs], Arrays]
    ) -> dict[str, NDArray[Any]]:
        """As :meth:`cached`, for arrays that texts alone decide: one entry serves all splits of a data set.

        ``compute`` has to be a function of a module, without a closure, so that it cannot see train.
        """

    def progress(self, done: int, total: int | None, unit: str) -> None:
        """Report how far a long step other than :meth:`epochs` has come; ``unit`` is one of what is counted."""

    def log(self, message: str) -> None:
        """Write one line to the log of the cell."""

    def note(self, name: str, value: Any) -> None:
        """Put a fact about the model, such as its number of parameters, into ``result.json``: JSON, or of numpy.

        ``backbone`` is reserved: leaderboards show it next to the preset. A model with a pretrained backbone notes its
        name, such as ``t5-small``, and ``scratch`` where it trains the same from nothing. So is ``caveat``: what a
        reader of the table has to know of the row, in one sentence, which stands below it.

        Raises
        ------
        TypeError
            At once, if the value is not JSON-ready.
        """

    def item_texts(self) -> pd.DataFrame:
        """(n_items) rows in item order: column ``id`` (original) and the data set's text fields, missing as ``""``."""

    def user_texts(self) -> pd.DataFrame:
        """(n_users) rows in user order: column ``id`` and the fields that the data set has of its users."""


class Recommender(ABC):
    """A model. Give :meth:`fit`, and either :meth:`score` or :meth:`recommend`; the rest has defaults.

    The first line of the subclass's docstring is what ``bench models info`` shows. What holds of every model stands at
    the members below. ``bench plugin test NAME`` checks it, and ``bench doctor --leaks --models NAME`` whether a model
    has learnt from what it must not.
    """

    Config: ClassVar[type[ModelConfig]] = ModelConfig
    """The typed config; its defaults are the first preset."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"default": {}}
    """Named changes to the defaults of :attr:`Config`. The first is the default one."""
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named changes to the config, each of which takes one part of the model away, for ``bench run --ablate``. They win
    over the preset and over the user's options."""
    deterministic: ClassVar[bool] = False
    """True if the lists do not depend on the seed."""
    personalized: ClassVar[bool] = True
    """False if no list depends on a history by design, as with popularity. A model that gives everybody the same list
    has to say so: tables measure the others by it."""
    fold_in: ClassVar[bool] = True
    """Whether the history alone is enough to recommend to a user whose train row is empty. A model that knows users by
    id says False, and is refused under protocols that test users who are not in train."""
    distributed: ClassVar[bool] = False
    """Whether ``fit`` trains in :attr:`Context.processes` processes, as torchkit's ``Trainer`` does."""
    promised_seconds: ClassVar[float] = 10.0
    """What ``fit`` and ``recommend`` take together at most on one core, on data of 60 users and 48 items."""
    promised_mib: ClassVar[float] = 500.0
    """Memory in MiB that they add there at most to that of the imported plugin; a large backbone takes more."""
    state: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes that :meth:`recommend` needs: arrays, scipy sparse matrices and numbers."""
    popularity: NDArray[Any] | None = None
    """(n_items,): what users with an empty history get in place of :meth:`score`. A model whose scores say nothing of
    them keeps ``train.popularity`` here and names it in :attr:`state`; None: :meth:`score` serves them too."""

    def __init__(self, config: Any) -> None:
        self.config: Any = config

    @abstractmethod
    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Learn from ``train``. ``valid`` is for choices such as when to stop, never to learn from.

        Both have all users and all items; a user's row may be empty. The same data, config and seed give the same
        lists, and lists are as good where users and items have other numbers. There is no network, no home, and no
        file to read but those of the interpreter, of what it can import, and those that the config names; it writes
        into :attr:`Context.folder` alone. It may end early (:meth:`Context.epochs`), and then recommends all the same.
        """

    def score(self, users: NDArray[np.int64], history: Interactions) -> NDArray[np.float32]:
        """Scores (len(users), n_items) float32 of all items, higher is better; the core may overwrite the array.

        Row ``i`` of ``history`` is what may be known of ``users[i]`` now, who may be a user whose train row is empty.
        Minus infinity means "never recommend".
        """
        raise NotImplementedError(f"{type(self).__name__} has neither score nor recommend")

    def recommend(
        self, users: NDArray[np.int64], history: Interactions, exclude: Interactions, k: int
    ) -> Recommendations:
        """The best ``k`` items for each of ``users``, shape ``(len(users), k)``; by default of :meth:`score`.

        Row ``i`` of ``history`` is what may be known of ``users[i]`` now, row ``i`` of ``exclude`` what must not be
        recommended. Everybody gets a list, with an empty history too. It is short only where no more items are allowed,
        has no item twice, and its scores are finite and do not rise. The list of 5 is the beginning of that of 10, and
        it does not depend on who else is asked for.
        """

        def scores(rows: NDArray[np.int64]) -> NDArray[np.float32]:
            found = self.score(users[rows], history.select(rows))
            if self.popularity is not None and np.shape(found) == (len(rows), exclude.n_items):  # others are refused
                found[history.lengths[rows] == 0] = self.popularity
            return found

        return rank(scores, exclude, k)

    def explain(
        self, users: NDArray[np.int64], history: Interactions, recommendations: Recommendations
    ) -> list[list[Mapping[str, Any]]]:
        """For each user and each filled slot, a JSON-ready mapping of what led to it. Override it to explain.

        A mapping within it that has an item's number as ``item`` is shown with the item's id and title.
        """
        raise NotImplementedError(f"{type(self).__name__} does not explain")

    def save(self, folder: Path) -> None:
        """Write all that :meth:`recommend` needs into the existing, empty ``folder``, without pickle.

        A model that loads it, in another process too, gives the same lists.

        By default the attributes of :attr:`state`, one ``.npy`` file per array.
        """
        for name in self.state:
            value = getattr(self, name)
            if hasattr(value, "tocsr"):
                matrix = value.tocsr()
                for part in ("data", "indices", "indptr"):
                    save_array(folder / f"{name}.{part}.npy", getattr(matrix, part))
                save_array(folder / f"{name}.shape.npy", np.array(matrix.shape))
            else:
                array = np.asarray(value)
                if array.dtype.kind not in "biufcSU":
                    raise TypeError(
                        f"{type(self).__name__}.state names '{name}', a {type(value).__name__}: it may name arrays, "
                        "sparse matrices and numbers; override save and load for anything else"
                    )
                save_array(folder / f"{name}.npy", array)

    def load(self, folder: Path, device: str) -> None:
        """The inverse of :meth:`save`, on a new model made with the same config, for recommending on ``device``.

        By default arrays are mapped from their files, and can be written to, which changes no file.
        """
        for name in self.state:
            if (folder / f"{name}.npy").is_file():
                setattr(self, name, np.load(folder / f"{name}.npy", mmap_mode="c"))
            else:
                from scipy.sparse import csr_matrix

                parts = [np.load(folder / f"{name}.{part}.npy") for part in ("data", "indices", "indptr", "shape")]
                setattr(self, name, csr_matrix(tuple(parts[:3]), shape=tuple(parts[3])))

    @classmethod
    def longest_list(cls, config: Any) -> int | None:
        """How long lists can be with this config; None if every item can be ranked.

        The core keeps lists of 100 items. A model that decodes few candidates says how many are surely filled; metrics
        at deeper cut-offs are then absent.
        """
        return None

    @classmethod
    def fetch(cls, config: Any) -> None:
        """Download what ``config`` needs, such as a pretrained backbone, into the caches of its libraries.

        ``bench models fetch`` calls it in a process with network and without data; when a cell is run, there is no
        network. By default there is nothing to fetch.
        """
        return

    @classmethod
    def lacks(cls) -> str | None:
        """What is missing to be a model, in words; None if nothing is."""
        if inspect.isabstract(cls):
            return f"has no {', '.join(sorted(cls.__abstractmethods__))}()"
        if cls.score is Recommender.score and cls.recommend is Recommender.recommend:
            return "has neither score() nor recommend()"
        if not (isinstance(cls.Config, type) and issubclass(cls.Config, ModelConfig)):
            return "has a Config that is no subclass of ModelConfig"
        return None if cls.presets else "has no preset: leave presets away or name one"

    @classmethod
    def explains(cls) -> bool:
        """Whether it can say why it recommends an item."""
        return cls.explain is not Recommender.explain


@dataclass
class RawData:
    """What a reader of raw files found, with original ids as strings."""

    interactions: pd.DataFrame
    """Columns ``user`` str, ``item`` str, ``time`` int64 (seconds since 1970), in the order of the raw file; perhaps
    ``nanosecond`` int64 (the part of a second), ``rating`` float, not a number where there is none, and ``part``
    (:data:`bench.data.splits.TRAIN` and so on) where the split is published."""
    items: pd.DataFrame
    """Column ``id`` str, unique, and one str column per text field, missing as ``""``."""
    users: pd.DataFrame
    """The same of users; may have no rows."""
    problems: dict[str, int] = field(default_factory=dict)
    """Rows that could not be used, by reason."""


Reader = Callable[..., RawData]
"""``reader(files: Mapping[str, Path], **options) -> RawData``: parses raw files and nothing else. See
:mod:`bench.data.sources`."""
