"""Approximate lists of a model whose score is the product of two vectors and a number of the item, by faiss."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bench import UNFILLED, ConfigError, Interactions, ModelConfig, Recommendations
from bench.topk import top_k

Floats = NDArray[np.float32]

_ROWS = 1024
"""Users that are searched for together."""
_DEPTH = 100
"""Items that are searched for at least, so that shorter lists are the beginnings of those of this length."""
_PER_LIST = 39
"""Items of an inverted list, below which faiss says that it cannot learn the lists."""


class SearchConfig(ModelConfig):
    """How lists are found."""

    search: Literal["exact", "faiss"] = "exact"
    """By the scores of all items, or approximately, by faiss (the package of the extra of that name): items lie in
    inverted lists, some of which are looked at. What that loses is measured and stands below the table."""
    probes: float = Field(0.1, gt=0, le=1)
    """Share of the inverted lists that are looked at."""


class Index:
    """Inverted lists of items, 4 · √n_items of them, or fewer of a small catalogue.

    Largest products become smallest distances by a dimension more, in which each item has what it lacks to the longest
    one (Bachrach et al., Speeding Up the Xbox Recommender System, RecSys 2014): lists by products alone find less.

    Parameters
    ----------
    items
        (n_items, d): vectors.
    bias
        (n_items,): what is added to each product.
    """

    def __init__(self, items: Floats, bias: Floats, probes: float) -> None:
        try:
            import faiss
        except ImportError as error:
            raise ConfigError("search=faiss needs faiss: pip install 'recsys-bench-neural[faiss]'") from error
        table = np.ascontiguousarray(np.column_stack([items, bias]), dtype=np.float32)
        lists = max(1, min(4 * math.isqrt(len(items)), len(items) // _PER_LIST))
        squares = np.square(table).sum(axis=1)
        self._longest = squares.max(initial=0)
        placed = np.column_stack([table, np.sqrt(self._longest - squares)])
        self._index: Any = faiss.index_factory(placed.shape[1], f"IVF{lists},Flat")
        self._index.train(placed)
        self._index.add(placed)
        faiss.ParameterSpace().set_index_parameter(self._index, "nprobe", max(1, math.ceil(probes * lists)))
        self._table = table

    def lists(self, users: Floats, exclude: Interactions, k: int) -> Recommendations:
        """The ``k`` best items that are found for each row of ``users`` (n, d); all items are looked at for a row for
        which fewer than ``k``, or than a list of usual length has, are found.
        """
        found = self._found(users, exclude, max(k, _DEPTH))
        return Recommendations(found.items[:, :k].copy(), found.scores[:, :k].copy())

    def _found(self, users: Floats, exclude: Interactions, k: int) -> Recommendations:
        n, n_items = exclude.shape
        found = Recommendations(np.full((n, k), UNFILLED, np.int32), np.full((n, k), -np.inf, np.float32))
        order = np.argsort(exclude.lengths, kind="stable")
        for begin in range(0, n, _ROWS):
            rows = order[begin : begin + _ROWS]
            some = exclude.select(rows)
            queries = np.column_stack([users[rows], np.ones(len(rows), np.float32)])
            deep = min(n_items, k + int(some.lengths.max(initial=0)))
            placed = np.column_stack([queries, np.zeros(len(rows), np.float32)])
            distances, items = self._index.search(placed, deep)
            scores = (np.square(queries).sum(axis=1, keepdims=True) + self._longest - distances) / 2
            pairs = np.arange(len(rows))[:, None] * n_items + items
            scores[(items < 0) | np.isin(pairs, some.users * n_items + some.items)] = -np.inf
            by_item = np.argsort(items, axis=1, kind="stable")  # ties go to the lower item
            items, scores = (np.take_along_axis(array, by_item, axis=1) for array in (items, scores))
            best = top_k(np.ascontiguousarray(scores), k)
            filled = best.items != UNFILLED
            chosen = np.take_along_axis(items, np.where(filled, best.items, 0), axis=1)
            found.items[rows], found.scores[rows] = np.where(filled, chosen, UNFILLED), best.scores
            wanted = np.minimum(k, n_items - some.lengths)
            short = np.flatnonzero(filled.sum(axis=1) < wanted)
            if len(short):
                left = queries[short] @ self._table.T
                own = some.select(short)
                left[own.users, own.items] = -np.inf
                found.items[rows[short]], found.scores[rows[short]] = top_k(left, k)
        return found


def recall(found: NDArray[np.int32], exact: NDArray[np.int32]) -> float:
    """Share of the items of the exact lists (n, k) that are found."""
    hits = sum(len(np.intersect1d(a[a >= 0], b[b >= 0])) for a, b in zip(found, exact, strict=True))
    return hits / max(1, int((exact >= 0).sum()))
