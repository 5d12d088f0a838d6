"""What a worker may see of a split, and the one place that turns a protocol's rules into arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.data.dataset import Texts
from bench.data.protocol import Protocol
from bench.data.splits import by_user
from bench.interactions import Interactions

if TYPE_CHECKING:
    import pandas as pd


_EXCLUDED_AT_ONCE = 2**22
"""Items that are excluded for everybody, times the users that are looked at together: bounds memory to some 200 MiB."""


class Inputs(NamedTuple):
    """What ``recommend`` is given, a row per user."""

    history: Interactions
    exclude: Interactions


class Visible(ABC):
    """Train, validation and texts, on disk or in memory."""

    @property
    @abstractmethod
    def part_names(self) -> list[str]:
        """``train``, ``valid`` and, of held-out users, ``known``."""

    @property
    @abstractmethod
    def candidates(self) -> str:
        """See :attr:`bench.data.protocol.Protocol.candidates`."""

    @abstractmethod
    def load(self, name: str) -> Interactions:
        """One part."""

    @abstractmethod
    def item_texts(self) -> pd.DataFrame:
        """See :meth:`bench.contract.Context.item_texts`."""

    @abstractmethod
    def user_texts(self) -> pd.DataFrame:
        """See :meth:`bench.contract.Context.user_texts`."""

    @cached_property
    def train(self) -> Interactions:
        return self.load("train")

    @cached_property
    def valid(self) -> Interactions:
        return self.load("valid")

    def chunks(self, users: NDArray[np.int64], most: int) -> list[NDArray[np.int64]]:
        """``users`` (n,) in parts of at most ``most``, of fewer where many items are excluded for everybody."""
        at_once = max(1, min(most, _EXCLUDED_AT_ONCE // max(1, len(self.non_candidates))))
        return [users[begin : begin + at_once] for begin in range(0, len(users), at_once)]

    def inputs(self, protocol: Protocol, users: NDArray[np.int64]) -> Inputs:
        """What ``protocol`` lets a model know of ``users`` (n,), and what must not be recommended to them."""
        return Inputs(self.history(protocol).select(users), self._excluded(protocol, users))

    def history(self, protocol: Protocol) -> Interactions:
        """What may be known of each user; of held-out users, their known part."""
        return self.union(protocol.history)

    def union(self, names: str) -> Interactions:
        """The union of the parts that ``names`` lists, such as ``train+valid``, and of what is known."""
        if names not in self._unions:
            parts = [*(["known"] if "known" in self.part_names else []), *names.split("+")]
            self._unions[names] = union([self.load(name) for name in parts], [self.moments(name) for name in parts])
        return self._unions[names]

    def moments(self, name: str) -> NDArray[np.int64]:
        """(n_interactions,) times of one part, as exactly as they are known, in any one unit."""
        return self.load(name).times

    @cached_property
    def _unions(self) -> dict[str, Interactions]:
        """What :meth:`union` gave before: it sorts everything, and is asked for each chunk of users."""
        return {}

    @cached_property
    def non_candidates(self) -> NDArray[np.int32]:
        """Items that nobody may be recommended, since the protocol does not rank them; sorted."""
        if self.candidates == "all":
            return np.empty(0, np.int32)
        train = self.train
        return np.flatnonzero(train.popularity == 0).astype(np.int32)

    @cached_property
    def judged(self) -> Interactions:
        """The validation items by which models are judged: those that the protocol ranks."""
        valid, others = self.valid, self.non_candidates
        return valid.where(~np.isin(valid.items, others)) if len(others) else valid

    def _excluded(self, protocol: Protocol, users: NDArray[np.int64]) -> Interactions:
        if protocol.exclude == "none":
            empty = np.empty(0, np.int32)
            indptr = np.zeros(len(users) + 1, np.int64)
            own = Interactions(indptr, empty, empty.astype(np.int64), self.train.n_items)
        else:
            own = self.union(protocol.exclude).select(users)
        others = self.non_candidates
        if not len(others):
            return own
        own = own.where(~np.isin(own.items, others))  # a held-out user's known items may be among them too
        every = np.tile(others, len(users))
        bounds = np.arange(len(users) + 1) * len(others)
        return union([Interactions(bounds, every, np.zeros(len(every), np.int64), own.n_items), own])


class VisibleSplit(Texts, Visible):
    """A split on disk, without its test part."""

    required = {
        **Texts.required,
        "fingerprint": str,
        "parts": list,
        "candidates": str,
        "content": str,
    }

    @property
    def part_names(self) -> list[str]:
        return list(self.facts["parts"])

    @property
    def candidates(self) -> str:
        return str(self.facts["candidates"])

    def moments(self, name: str) -> NDArray[np.int64]:
        finer = (self.path / f"{name}.moments.npy").is_file()
        return self.array(f"{name}.moments") if finer else self.load(name).times

    @property
    def content(self) -> str:
        """SHA-256 in hex of all that is visible: the parts, the texts and which items are candidates."""
        return str(self.facts["content"])

    @property
    def texts_hash(self) -> str:
        """SHA-256 in hex of the texts alone."""
        return str(self.facts["texts_hash"])


def union(parts: list[Interactions], moments: list[NDArray[np.int64]] | None = None) -> Interactions:
    """The union of disjoint parts over the same users, each row in time order, ties in the order of the parts.

    ``moments``, for each part (n_interactions,), orders them where given, else the times in seconds do.
    """
    if len(parts) == 1:
        return parts[0]
    users = np.concatenate([part.users for part in parts])
    order = by_user(users, np.concatenate(moments or [part.times for part in parts]))
    indptr = np.sum([part.indptr for part in parts], axis=0)
    items, times = (np.concatenate([getattr(part, array) for part in parts]) for array in ("items", "times"))
    return Interactions(indptr, items[order], times[order], parts[0].n_items)
