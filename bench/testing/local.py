"""The worker's context over data in memory, synthetic data, and how two models' lists are compared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from bench.contract import Recommender
from bench.data.visible import Visible
from bench.evaluation import metrics
from bench.interactions import Interactions, Recommendations
from bench.messages.events import WorkerEvent
from bench.messages.spec import Stopping
from bench.worker.context import WorkerContext
from bench.worker.kept import KeptArrays


def interactions_from(rows: list[list[int]], n_items: int) -> Interactions:
    """The matrix whose row ``u`` holds the items ``rows[u]``, in that order, one second apart."""
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    items = np.array([item for row in rows for item in row], np.int32)
    matrix = Interactions(indptr, items, 1_000_000_000 + np.arange(len(items)), n_items)
    for array in (matrix.indptr, matrix.items, matrix.times):
        array.flags.writeable = False  # as in a worker, where they are mapped read-only
    return matrix


class MemorySplit(Visible):
    """What a model may see, in memory; items have made-up titles."""

    def __init__(self, train: Interactions, valid: Interactions, known: Interactions | None = None) -> None:
        self._parts = {"train": train, "valid": valid} | ({} if known is None else {"known": known})
        titles = [f"thing {item} of kind {item % 4}" for item in range(train.n_items)]
        texts = [f"title {title}" for title in titles]
        self.items = pd.DataFrame(
            {"id": [f"i{item:03}" for item in range(len(titles))], "title": titles, "text": texts}
        )
        self.users = pd.DataFrame({"id": [f"u{user:03}" for user in range(train.n_users)]})

    @property
    def part_names(self) -> list[str]:
        return list(self._parts)

    @property
    def candidates(self) -> str:
        return "all"

    def load(self, name: str) -> Interactions:
        return self._parts[name]

    def item_texts(self) -> pd.DataFrame:
        return self.items

    def user_texts(self) -> pd.DataFrame:
        return self.users


def block_interactions(
    n_users: int = 60, n_items: int = 48, n_blocks: int = 4, noise: float = 0.1, seed: int = 0
) -> MemorySplit:
    """Synthetic data that can be learnt: users and items belong to blocks, and users mostly stay in theirs.

    User ``u`` and item ``i`` belong to blocks ``u % n_blocks`` and ``i % n_blocks``. A user has 3 to 8 train items,
    each from outside the block with probability ``noise``, and 2 validation items from within. The last user has none.
    """
    rng = np.random.default_rng(seed)
    train, valid = [], []
    for user in range(n_users):
        inside = np.arange(user % n_blocks, n_items, n_blocks)
        outside = np.setdiff1d(np.arange(n_items), inside)
        mixed = np.where(rng.random(len(inside)) < noise, rng.choice(outside, len(inside), replace=False), inside)
        length = 0 if user == n_users - 1 else min(int(rng.integers(3, 9)), len(inside) - 2)
        train.append(rng.permutation(mixed)[:length].tolist())
        unseen = np.setdiff1d(inside, train[-1])
        valid.append(rng.permutation(unseen)[: 2 if length else 0].tolist())
    return MemorySplit(interactions_from(train, n_items), interactions_from(valid, n_items))


def renumbered(data: MemorySplit, rng: np.random.Generator) -> MemorySplit:
    """The same data, users and items under other numbers; what is known of an item goes with it."""
    new_user, new_item = rng.permutation(data.train.n_users), rng.permutation(data.train.n_items)
    parts = []
    for part in (data.train, data.valid):
        rows = [[int(new_item[item]) for item in part.select(np.array([user])).items] for user in np.argsort(new_user)]
        parts.append(interactions_from(rows, part.n_items))
    found = MemorySplit(*parts)
    order = np.argsort(new_item)
    found.items = data.items.iloc[order].reset_index(drop=True).assign(id=data.items["id"])
    return found


class Interrupted(BaseException):
    """The end of an attempt, as sudden as a test can make it."""


class LocalContext(WorkerContext):
    """The worker's own context over data in memory, which keeps what the model reports.

    Parameters
    ----------
    folder
        Holds ``checkpoints/`` and ``epochs.jsonl``; give that of an earlier attempt to go on from it.
    interrupt_after
        Raise :class:`Interrupted` when so many epochs are over.
    kept
        Folder of kept arrays; None: nothing is kept.
    """

    def __init__(
        self,
        model: Recommender,
        data: Visible,
        folder: Path,
        seed: int = 1,
        device: str = "cpu",
        *,
        interrupt_after: int = 0,
        stopping: Stopping = Stopping(),  # noqa: B008 (frozen)
        time_budget: float | None = None,
        processes: int = 1,
        kept: Path | None = None,
    ) -> None:
        self.events: list[WorkerEvent] = []
        self.messages: list[str] = []
        self._left = interrupt_after
        checkpoints = folder / "checkpoints"
        checkpoints.mkdir(parents=True, exist_ok=True)
        arrays = None if kept is None else KeptArrays(kept, kept)
        super().__init__(
            model,
            data,
            self.events.append,
            seed=seed,
            device=device,
            folder=checkpoints,
            stopping=stopping,
            time_budget=time_budget,
            processes=processes,
            epoch_log=folder / "epochs.jsonl",
            split_arrays=arrays,
            text_arrays=arrays,
        )

    @property
    def scores(self) -> list[float]:
        """Of all validations so far."""
        return [validation.score for validation in self.validations]

    def epochs(self, max_epochs: int, unit: str = "epoch", stage: str = "", done: int = 0) -> Iterator[int]:
        assert 0 <= done <= max_epochs, f"{done} of {max_epochs} {unit}s are done"
        return self._interrupted(super().epochs(max_epochs, unit, stage, done))

    def _interrupted(self, epochs: Iterator[int]) -> Iterator[int]:
        for epoch in epochs:
            yield epoch
            self._left -= 1
            if not self._left:
                raise Interrupted

    def log(self, message: str) -> None:
        self.messages.append(message)


def ndcg(model: Recommender, data: MemorySplit) -> float:
    """NDCG@10 of the validation items, over the users that have some."""
    users = np.flatnonzero(data.valid.lengths).astype(np.int64)
    known = data.train.select(users)
    found = model.recommend(users, known, known, 10)
    return float(metrics.per_user(found.items, data.valid.select(users), [10], ["ndcg"])["ndcg@10"].mean())


def assert_same_lists(found: Recommendations, expected: Recommendations, tolerance: float = 1e-4) -> None:
    """Equal items and nearly equal scores; only items whose scores are nearly tied may change places.

    A batch of another size is summed in another order, so that scores differ in the last digits. ``tolerance`` is
    relative to the largest score.
    """
    scores = np.asarray(expected.scores, np.float64)
    filled = np.isfinite(scores)
    near = tolerance * max(1e-30, float(np.abs(scores[filled]).max(initial=0.0)))
    np.testing.assert_array_equal(np.isfinite(found.scores), filled)
    assert np.allclose(found.scores[filled], scores[filled], rtol=0, atol=near), "the scores differ"
    padded = np.pad(np.where(filled, scores, -np.finfo(np.float64).max), ((0, 0), (1, 1)), constant_values=np.nan)
    gaps = np.fmin(np.abs(padded[:, 1:-1] - padded[:, :-2]), np.abs(padded[:, 1:-1] - padded[:, 2:]))
    # The last slot of a list that was cut off may be tied with an item that did not get in.
    gaps[:, -1] = np.where(filled[:, -1], 0.0, gaps[:, -1])
    clear = gaps > 2 * near
    np.testing.assert_array_equal(found.items[clear], expected.items[clear])
