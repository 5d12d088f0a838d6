"""What an epoch trains on: samples of a history and its targets, negatives, contrastive items, users of items.

All of it is a function of the seed, the epoch and the step, so that a training that was interrupted goes on as it would
have gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from bench_torchkit.negatives import NegativeSampler
from bench_torchkit.ragged import gather, pointers, sample, within
from bench_torchkit.tree import Tree
from numpy.typing import NDArray

from bench import Interactions
from bench_colarec.training.soft_targets import SoftTargets

Ints = NDArray[np.integer[Any]]

_BUCKET = 64
"""Batches among which samples are sorted by length: less padding, and still a random order."""

_ATTEMPTS_IN_POOL, _ATTEMPTS = 20, 60
"""Draws of a negative from a pool, and in all, before all items that are left for the user are listed."""


@dataclass(frozen=True)
class Batch:
    """Samples of one step."""

    users: NDArray[np.int64]
    """(n,): whose samples these are."""
    indptr: NDArray[np.int64]
    """(n + 1,): rows of ``history``."""
    history: NDArray[np.int32]
    """Items of the user inputs, oldest first; never a target of the same sample."""
    rows: NDArray[np.int64]
    """(n_targets,): sample of each target, ascending."""
    targets: NDArray[np.int32]
    """(n_targets,)."""
    places: NDArray[np.int64]
    """(n_targets,): 0, 1, … within each sample."""

    def split(self, parts: int) -> list[Batch]:
        """The batch in at most ``parts`` parts of whole samples, which together are the batch."""
        if parts == 1:
            return [self]
        return [self._between(at[0], at[-1] + 1) for at in np.array_split(np.arange(len(self.users)), parts) if len(at)]

    def _between(self, begin: int, end: int) -> Batch:
        low, high = self.indptr[begin], self.indptr[end]
        of_targets = slice(*np.searchsorted(self.rows, [begin, end]))
        return Batch(
            self.users[begin:end],
            self.indptr[begin : end + 1] - low,
            self.history[low:high],
            self.rows[of_targets] - begin,
            self.targets[of_targets],
            self.places[of_targets],
        )


class Sampler:
    """Draws batches from train interactions."""

    def __init__(self, train: Interactions, tree: Tree, seed: int, targets: NDArray[np.bool_] | None = None) -> None:
        self.train = train
        self.targets = np.ones(len(train), bool) if targets is None else targets
        """(n_interactions,): which interactions may be targets."""
        self.tree = tree
        self.seed = seed
        self._negatives = NegativeSampler(train)
        order = np.argsort(train.items, kind="stable")
        self._users_of = train.users[order]
        self.counts = train.popularity
        self._users_indptr = pointers(self.counts)
        """(n_items,): train interactions of each item."""
        # Siblings, the items that share all but the last code of an identifier, side by side.
        self._group = tree.nodes[:, -2]
        self._by_group = np.argsort(self._group, kind="stable")
        self._group_indptr = pointers(np.bincount(self._group))
        self._branch = tree.nodes[:, 1]

    def rng(self, *place: int) -> np.random.Generator:
        """Randomness of a place in the training, such as an epoch and a step."""
        return np.random.default_rng([self.seed, *place])

    def interactions(self, epoch: int, batch_size: int, history: int) -> Iterator[Batch]:
        """Every possible target is one once; at most ``history`` of the user's other items are the input."""
        train = self.train
        possible = np.flatnonzero(self.targets)
        lengths = np.minimum(train.lengths[train.users[possible]] - 1, history)
        for step, chosen_ones in enumerate(self._bucketed(self.rng(epoch, 0), lengths, batch_size)):
            at = possible[chosen_ones]
            users = train.users[at]
            lengths = train.lengths[users]
            places = gather(train.indptr, users)
            never = places == np.repeat(at, lengths)
            chosen = sample(self.rng(epoch, 1, step), lengths, np.full(len(at), history), never)
            rows = np.arange(len(at))
            yield self._batch(users, lengths, places, chosen, rows, at)

    def users(self, epoch: int, batch_size: int, history: int, most: int) -> Iterator[Batch]:
        """Every user with possible targets is a sample once.

        About a third of a user's items, at most ``most`` and as far as they may, are targets, the others the input.
        """
        train = self.train
        active = np.unique(train.users[self.targets])
        order = self._bucketed(self.rng(epoch, 0), np.minimum(train.lengths[active], history), batch_size)
        for step, at in enumerate(order):
            users = active[at]
            rng = self.rng(epoch, 1, step)
            lengths = train.lengths[users]
            places = gather(train.indptr, users)
            n_targets = np.clip((lengths + 1) // 3, 1, most)
            is_target = sample(rng, lengths, n_targets, ~self.targets[places])
            chosen = sample(rng, lengths, np.full(len(users), history), is_target)
            rows = np.repeat(np.arange(len(users)), lengths)[is_target]
            yield self._batch(users, lengths, places, chosen, rows, places[is_target])

    def taught(
        self, epoch: int, batch_size: int, history: int, draws: int, soft: SoftTargets, passes: int = 1
    ) -> Iterator[Batch]:
        """Every user with soft targets is a sample ``passes`` times; the latest ``history`` items are the input."""
        latest = self.train.latest(history)
        active = np.tile(soft.users, passes)
        for step, at in enumerate(self._bucketed(self.rng(epoch, 0), latest.lengths[active], batch_size)):
            users = active[at]
            known = latest.select(users)
            targets = soft.draw(self.rng(epoch, 1, step), users, draws).reshape(-1)
            rows, places = np.divmod(np.arange(len(targets)), draws)
            yield Batch(users, known.indptr, known.items, rows, targets, places)

    def _batch(
        self,
        users: NDArray[np.int64],
        lengths: Ints,
        places: Ints,
        chosen: NDArray[np.bool_],
        rows: NDArray[np.int64],
        targets: Ints,
    ) -> Batch:
        kept = np.add.reduceat(chosen, pointers(lengths)[:-1], dtype=np.int64)
        counts = np.bincount(rows, minlength=len(users))
        items = self.train.items
        return Batch(users, pointers(kept), items[places[chosen]], rows, items[targets], within(counts))

    def _bucketed(self, rng: np.random.Generator, lengths: Ints, batch_size: int) -> list[NDArray[np.int64]]:
        """Batches of indices of ``lengths``, at random, each of similar lengths."""
        shuffled = rng.permutation(len(lengths))
        found = []
        for begin in range(0, len(shuffled), batch_size * _BUCKET):
            bucket = shuffled[begin : begin + batch_size * _BUCKET]
            bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
            found += [bucket[at : at + batch_size] for at in range(0, len(bucket), batch_size)]
        return [found[at] for at in rng.permutation(len(found))]

    def negatives(
        self, rng: np.random.Generator, users: Ints, unlike: Ints | None = None, among: Ints | None = None
    ) -> NDArray[np.int64]:
        """(len(users),): an item at random that the user did not interact with.

        With ``unlike`` (len(users),) items, one that shares no code prefix with them, where there is one. With
        ``among`` (m,) items, one of these, if a few attempts find one.
        """
        found = np.full(len(users), -1)
        for pool, attempts in ((among, _ATTEMPTS_IN_POOL), (None, _ATTEMPTS - _ATTEMPTS_IN_POOL)):
            rows = np.flatnonzero(found < 0)
            barred = None if unlike is None else self._branch[unlike[rows]]
            reject = None if barred is None else lambda at, items, barred=barred: self._branch[items] == barred[at]
            found[rows] = self._negatives.draw(rng, users[rows], among=pool, reject=reject, attempts=attempts)
        for row in np.flatnonzero(found < 0):  # few or no items are left for this user
            found[row] = rng.choice(self._left(users[row], None if unlike is None else unlike[row]))
        return found

    def _left(self, user: int, unlike: int | None) -> NDArray[np.int64]:
        """All items that may be a negative of a user; the next best ones where there is none."""
        everything = np.arange(self.train.n_items)
        new = ~self._negatives.interacted(np.full(len(everything), user), everything)
        apart = new if unlike is None else new & (self._branch != self._branch[unlike])
        return everything[apart] if apart.any() else everything[new] if new.any() else everything

    def siblings(self, rng: np.random.Generator, items: Ints) -> NDArray[np.int64]:
        """(len(items),): another item with the same identifier but for the last code; -1 for an item alone there."""
        group = self._group[items]
        begin, end = self._group_indptr[group], self._group_indptr[group + 1]
        found = self._by_group[begin + (rng.random(len(items)) * (end - begin - 1)).astype(np.int64)]
        last = self._by_group[end - 1]  # stands in for the item itself
        return np.where(end - begin < 2, -1, np.where(found == items, last, found))

    def users_of(
        self, rng: np.random.Generator, items: Ints, most: int, never: Ints
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of at most ``most`` users at random who interacted with each of ``items``, none of ``never``."""
        places = gather(self._users_indptr, items)
        lengths = np.diff(self._users_indptr)[items]
        users = self._users_of[places]
        banned = np.zeros(self.train.n_users, bool)
        banned[never] = True
        chosen = sample(rng, lengths, np.full(len(items), most), banned[users])
        rows = np.repeat(np.arange(len(items)), lengths)[chosen]
        return pointers(np.bincount(rows, minlength=len(items))), users[chosen]
