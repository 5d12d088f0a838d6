"""Prepared data on disk: matrices as ``.npy`` files that are mapped, texts in Parquet, facts in JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.contract import Interactions
from bench.data.order import within_users
from bench.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd

ARRAYS = ("indptr", "items", "times")


def save_array(path: Path, array: NDArray[Any]) -> None:
    """``np.save`` that notices a full disk: given a real file, numpy does not see that the last bytes were not written.

    Raises
    ------
    OSError
        If the file could not be written as a whole.
    """
    with path.open("wb") as file:
        np.save(SimpleNamespace(write=file.write), array, allow_pickle=False)


def save_interactions(folder: Path, name: str, interactions: Interactions) -> None:
    """Write ``NAME.indptr.npy``, ``NAME.items.npy`` and ``NAME.times.npy``."""
    for array in ARRAYS:
        save_array(folder / f"{name}.{array}.npy", getattr(interactions, array))


def load_interactions(folder: Path, name: str, n_items: int) -> Interactions:
    """Map what :func:`save_interactions` wrote; nothing is read before it is used."""
    indptr, items, times = (np.load(folder / f"{name}.{array}.npy", mmap_mode="r") for array in ARRAYS)
    return Interactions(indptr, items, times, n_items)


def merged(parts: list[Interactions]) -> Interactions:
    """The union of disjoint parts over the same users, each row in time order, ties in the order of the parts."""
    if len(parts) == 1:
        return parts[0]
    users = np.concatenate([part.users for part in parts])
    times = np.concatenate([part.times for part in parts])
    order = within_users(users, times)
    indptr = np.sum([part.indptr for part in parts], axis=0)
    items = np.concatenate([part.items for part in parts])
    return Interactions(indptr, items[order], times[order], parts[0].n_items)


@dataclass(frozen=True)
class _Folder:
    path: Path

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The folder's ``facts.json``."""
        try:
            found: dict[str, Any] = json.loads((self.path / "facts.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BenchError(f"prepared data in {self.path} is damaged ({error}): delete that folder") from error
        return found

    @property
    def n_items(self) -> int:
        return int(self.facts["items"])

    @property
    def n_users(self) -> int:
        return int(self.facts["users"])

    def _interactions(self, name: str) -> Interactions:
        try:
            return load_interactions(self.path, name, self.n_items)
        except (OSError, ValueError, EOFError) as error:
            raise BenchError(f"prepared data in {self.path} is damaged ({error}): delete that folder") from error


class Texts(_Folder):
    """The part of a folder that describes items and users."""

    def item_texts(self) -> pd.DataFrame:
        """See :meth:`bench.contract.Context.item_texts`."""
        return self._texts("item_texts")

    def user_texts(self) -> pd.DataFrame:
        """See :meth:`bench.contract.Context.user_texts`."""
        return self._texts("user_texts")

    def _texts(self, name: str) -> pd.DataFrame:
        import pandas as pd

        return pd.read_parquet(self.path / f"{name}.parquet")


class Dataset(Texts):
    """All interactions of a data set after filtering, users and items numbered by sorted original id."""

    @cached_property
    def interactions(self) -> Interactions:
        return self._interactions("all")

    @property
    def published_parts(self) -> NDArray[np.int8]:
        """(n_interactions,) the part of each interaction, as the raw files give it.

        Raises
        ------
        BenchError
            If they do not.
        """
        path = self.path / "parts.npy"
        if not path.is_file():
            raise BenchError(f"the raw files of '{self.facts['dataset']}' give no split: choose another --protocol")
        parts: NDArray[np.int8] = np.load(path)
        return parts


class VisibleSplit(Texts):
    """What a worker may see: train, validation, texts."""

    @cached_property
    def train(self) -> Interactions:
        return self._interactions("train")

    @cached_property
    def valid(self) -> Interactions:
        return self._interactions("valid")

    def parts(self, names: str) -> Interactions:
        """The union of the parts that ``names`` lists, such as ``train+valid``; of held-out users, what is known."""
        if names not in self._unions:
            known = ["known"] if "known" in self.facts["parts"] else []
            self._unions[names] = merged([self._interactions(name) for name in [*known, *names.split("+")]])
        return self._unions[names]

    @cached_property
    def _unions(self) -> dict[str, Interactions]:
        """What :meth:`parts` gave before: it sorts everything, and is asked for each chunk of users."""
        return {}

    @cached_property
    def barred(self) -> NDArray[np.int32]:
        """Items that nobody may be recommended, since the protocol does not rank them; sorted."""
        if self.facts["candidates"] == "all":
            return np.empty(0, np.int32)
        return np.flatnonzero(np.bincount(self.train.items, minlength=self.n_items) == 0).astype(np.int32)

    def excluded(self, names: str, users: NDArray[np.int64]) -> Interactions:
        """One row per user of ``users``: what must not be recommended, given the parts that count, or ``none``."""
        if names == "none":
            empty = np.empty(0, np.int32)
            own = Interactions(np.zeros(len(users) + 1, np.int64), empty, empty.astype(np.int64), self.n_items)
        else:
            own = self.parts(names).select(users)
        if not len(self.barred):
            return own
        own = own.where(~np.isin(own.items, self.barred))  # a held-out user's known items may be barred too
        every = np.tile(self.barred, len(users))
        bounds = np.arange(len(users) + 1) * len(self.barred)
        barred = Interactions(bounds, every, np.zeros(len(every), np.int64), self.n_items)
        return merged([barred, own])


class HiddenTest(_Folder):
    """The test part, kept apart from everything that a worker is given."""

    @cached_property
    def test(self) -> Interactions:
        return self._interactions("test")


@dataclass(frozen=True)
class Split:
    """A split data set as the parent process sees it."""

    visible: VisibleSplit
    hidden: HiddenTest

    @property
    def fingerprint(self) -> str:
        """Identity of the protocol: rows with different ones are never compared."""
        return str(self.visible.facts["fingerprint"])
