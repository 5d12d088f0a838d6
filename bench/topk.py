"""Top-K of a score matrix: masked, in chunks of users, with one tie rule.

The tie rule is: higher score first, then lower item index. It makes a list a function of the scores alone, the same for
every chunk size, thread count and process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.interactions import UNFILLED, Interactions, Recommendations

VERSION = 1
"""Goes up when lists of the same scores change: part of the key of every cell."""

MEMORY_BUDGET = 256 * 2**20
"""Bytes that one chunk of scores may take. Fixed, never taken from free memory: chunks are the same everywhere."""

_BLOCK = 32
"""Items per block of the pre-selection in :func:`top_k`."""

_CROWD = 8
"""A row with more than this many candidates per slot left after the pre-selection is nearly all ties."""


def chunk_size(n_items: int, memory_budget: int = MEMORY_BUDGET) -> int:
    """Users whose float32 scores of ``n_items`` items fit into ``memory_budget`` bytes; at least 1."""
    return max(1, memory_budget // (4 * max(1, n_items)))


def rank(
    score: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    exclude: Interactions,
    k: int,
    memory_budget: int = MEMORY_BUDGET,
) -> Recommendations:
    """Masked top-K for a model that scores all items of a user at once.

    Parameters
    ----------
    score
        Given row numbers (b,) int64 of ``exclude``, so positions in the users asked for and not their ids, returns
        scores (b, n_items) float32, which may be overwritten. Minus infinity means "never recommend".
    exclude
        One row for each user asked for: what must not be recommended.
    k
        Length of the lists. A user with fewer items left gets a short list.
    memory_budget
        Bytes of scores held at a time.

    Raises
    ------
    ValueError
        If a score is not a number, which means that the model diverged.
    """
    n, n_items = exclude.shape
    items = np.full((n, k), UNFILLED, np.int32)
    scores = np.full((n, k), -np.inf, np.float32)
    size = chunk_size(n_items, memory_budget)
    for start in range(0, n, size):
        rows = np.arange(start, min(start + size, n))
        given = score(rows)
        if given is None:
            raise ValueError("score() returned nothing")
        chunk = np.ascontiguousarray(given, dtype=np.float32)
        if chunk.shape != (len(rows), n_items):
            raise ValueError(f"score() gave an array of shape {chunk.shape}, expected {(len(rows), n_items)}")
        low, high = exclude.indptr[start], exclude.indptr[rows[-1] + 1]
        lengths = np.diff(exclude.indptr[start : rows[-1] + 2])
        chunk[np.repeat(rows - start, lengths), exclude.items[low:high]] = -np.inf
        items[rows], scores[rows] = top_k(chunk, k)
    return Recommendations(items, scores)


def popular_without_history(
    lists: Callable[[NDArray[np.int64]], Recommendations],
    popularity: NDArray[Any],
    history: Interactions,
    exclude: Interactions,
    k: int,
) -> Recommendations:
    """For a model that overrides :meth:`bench.Recommender.recommend`: what is popular for rows with an empty history.

    ``lists`` is given the numbers of the other rows, and returns theirs, (len(rows), k); ``popularity`` is (n_items,).
    """
    empty = history.lengths == 0
    if not empty.any():
        return lists(np.arange(len(empty)))
    rows, others = np.flatnonzero(~empty), np.flatnonzero(empty)
    items = np.full((len(empty), k), UNFILLED, np.int32)
    scores = np.full((len(empty), k), -np.inf, np.float32)
    popular = rank(lambda some: np.tile(popularity.astype(np.float32), (len(some), 1)), exclude.select(others), k)
    for chosen, found in ((rows, lists(rows)), (others, popular)):
        items[chosen], scores[chosen] = found.items, found.scores
    return Recommendations(items, scores)


def top_k(scores: NDArray[np.float32], k: int) -> Recommendations:
    """The ``k`` highest scores of each row, ties by lower index, minus infinity never.

    ``scores`` is (n, n_items) float32; the result is (n, k). See :func:`rank` for errors.
    """
    n = len(scores)
    threads = min(_threads(), max(1, n // 64))
    if threads == 1:
        return _top_k(scores, k)
    bounds = np.linspace(0, n, threads * 4 + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:  # numpy lets go of the interpreter lock in all the heavy steps
        parts = list(pool.map(lambda i: _top_k(scores[bounds[i] : bounds[i + 1]], k), range(threads * 4)))
    return Recommendations(np.concatenate([p.items for p in parts]), np.concatenate([p.scores for p in parts]))


def _threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


def _top_k(scores: NDArray[np.float32], k: int) -> Recommendations:
    n, n_items = scores.shape
    # Every item of the answer scores at least the floor, and few others do.
    candidate = scores >= _floor(scores, k)[:, None]
    crowded = np.count_nonzero(candidate, axis=1) > _CROWD * k
    candidate[crowded] = False
    flat = np.flatnonzero(candidate)
    values = scores.reshape(-1)[flat]
    finite = values > -np.inf
    flat, values = flat[finite], values[finite]
    rows, columns = np.divmod(flat, max(1, n_items))
    order = np.lexsort((columns, -values, rows))
    first = np.searchsorted(rows, np.arange(n))
    slot = np.arange(len(rows)) - first[rows]
    order, rows, slot = order[slot < k], rows[slot < k], slot[slot < k]
    items = np.full((n, k), UNFILLED, np.int32)
    best = np.full((n, k), -np.inf, np.float32)
    items[rows, slot] = columns[order]
    best[rows, slot] = values[order]
    if crowded.any():
        items[crowded], best[crowded] = _top_k_by_key(scores[crowded], k)
    return Recommendations(items, best)


def _floor(scores: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """A lower bound (n,) of each row's k-th highest score: the k-th highest of the maxima of blocks of items."""
    n, n_items = scores.shape
    starts = np.arange(0, n_items, _BLOCK)
    if len(starts) < k:
        maxima: NDArray[Any] = scores
    else:
        whole = n_items - n_items % _BLOCK
        maxima = scores[:, :whole].reshape(n, -1, _BLOCK).max(axis=2)
        if whole < n_items:
            maxima = np.concatenate([maxima, scores[:, whole:].max(axis=1, keepdims=True)], axis=1)
    if np.isnan(maxima).any():
        bad = int(np.isnan(maxima).any(axis=1).sum())
        raise ValueError(f"scores of {bad} of {n} users are not numbers (NaN): the model diverged, or divides by zero")
    if maxima.shape[1] <= k:
        return np.full(n, -np.inf, np.float32)
    floor: NDArray[np.float32] = np.partition(maxima, maxima.shape[1] - k, axis=1)[:, -k]
    return floor


def _top_k_by_key(scores: NDArray[np.float32], k: int) -> Recommendations:
    """Slow and sure, for rows of many equal scores: partition by one integer made of score and index."""
    n, n_items = scores.shape
    items = np.full((n, k), UNFILLED, np.int32)
    best = np.full((n, k), -np.inf, np.float32)
    size = chunk_size(2 * n_items, 2**24)
    for start in range(0, n, size):
        part = scores[start : start + size] + np.float32(0)  # -0.0 becomes 0.0
        bits = part.view(np.int32).astype(np.int64)
        bits = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)  # integers in the order of the floats
        keys = bits * 2**32 + (n_items - 1 - np.arange(n_items))
        width = min(k, n_items)
        keys = np.sort(np.partition(keys, n_items - width, axis=1)[:, n_items - width :], axis=1)[:, ::-1]
        columns = (n_items - 1 - (keys & 0xFFFFFFFF)).astype(np.int32)
        values = np.take_along_axis(part, columns, axis=1)
        rows = slice(start, start + len(part))
        items[rows, :width] = np.where(values > -np.inf, columns, UNFILLED)
        best[rows, :width] = values
    return Recommendations(items, best)
