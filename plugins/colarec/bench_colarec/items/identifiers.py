"""Generative identifiers (GIDs): one short sequence of codes for each item (ColaRec, section 3.2).

All codes are (n_items, length) int32 with tokens ``0 … width-1``; no two rows are equal. Read as paths, they are a tree
in which items below the same inner node are alike. ``width`` is K of the paper.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from bench_torchkit.vectors import unit_rows
from numpy.typing import NDArray

from bench import ConfigError, DataError

Codes = NDArray[np.int32]

_GID = re.compile(r"\s*[0-9]{1,5}(\s+[0-9]{1,5})*\s*")


def smallest_width(n_items: int, length: int) -> int:
    """The width where none is given: the smallest K ≥ 2 whose tree has a place for every item, K ** length ≥ n_items.

    A tighter tree has fuller leaves: with K = 22 instead of the paper's 32, the 10,429 items of its Phone data stand 22
    to a leaf, not 10. From 2 items on, :func:`hierarchical` never makes leaves of one item only.
    """
    _check_length(length)
    width: int = max(2, round(n_items ** (1 / length)) - 1)
    while width**length < n_items:
        width += 1
    return width


def check_capacity(n_items: int, length: int, width: int) -> None:
    """Raise ConfigError if a tree of this shape has fewer places than there are items."""
    _check_length(length)
    if width < 2:
        raise ConfigError(f"codebook_size is {width}: it must be at least 2, or leave it out")
    if width**length >= n_items:
        return
    longer = length
    while width**longer < n_items:
        longer += 1
    raise ConfigError(
        f"a tree of K={width} and length {length} holds {width**length:,} items, the catalogue has {n_items:,}: "
        f"raise codebook_size to at least {smallest_width(n_items, length)} or codes to {longer}, "
        "or leave codebook_size out"
    )


def hierarchical(
    vectors: NDArray[np.floating],
    length: int,
    width: int,
    seed: int,
    progress: Callable[[int, int | None, str], None] | None = None,
) -> Codes:
    """Identifiers by hierarchical constrained k-means over item vectors (section 3.2 of the paper).

    At level t = 1 … length-1 the items of each node are clustered such that a cluster holds at most
    width ** (length - t) of them, as many as the tree below it has places. The last token is the running index in the
    leaf cluster, by distance to its centre, ties by item.

    The paper splits every node into K clusters. A node of m < 2K items is split into ⌈m / 2⌉: with more, most leaves
    would hold one item, and the last token would say nothing. No cluster is empty, so that the tokens of a node's
    children are 0, 1, … without gaps.

    Parameters
    ----------
    vectors
        (n_items, d), finite. Rows are scaled to unit length first, zero rows stay zero: the direction of a LightGCN
        vector says who likes the item, its length mostly how popular the item is.
    length
        Tokens of an identifier. With 1 there is nothing to cluster, and the token is the running index.
    width
        Tokens to choose from at each position, K. See :func:`check_capacity`.
    seed
        Of the k-means++ starts. The same seed gives the same codes.
    progress
        Called with the numbers of items placed and of all items, and ``"item"``, as :meth:`Context.progress` is.
    """
    n = len(vectors)
    check_capacity(n, length, width)
    if not np.isfinite(vectors).all():
        bad = int((~np.isfinite(vectors).all(axis=1)).sum())
        raise DataError(f"vectors of {bad:,} of {n:,} items are not finite: the model that made them diverged")
    points = unit_rows(np.asarray(vectors, np.float64))
    codes = np.zeros((n, length), np.int32)
    rng = np.random.default_rng(seed)
    placed = 0
    nodes: list[tuple[NDArray[np.int64], int]] = [(np.arange(n), 0)]
    while nodes:
        items, level = nodes.pop()
        if level == length - 1:
            distance = np.square(points[items] - points[items].mean(axis=0)).sum(axis=1)
            codes[items[np.lexsort((items, distance.round(9)))], level] = np.arange(len(items))
            placed += len(items)
            if progress is not None:
                progress(placed, n, "item")
            continue
        labels = _clusters(points[items], width, width ** (length - level - 1), int(rng.integers(2**31)))
        codes[items, level] = labels
        nodes += [(items[labels == token], level + 1) for token in range(labels.max(initial=-1), -1, -1)]
    return codes


def _clusters(points: NDArray[np.float64], width: int, most: int, seed: int) -> NDArray[np.int32]:
    """Labels (m,) of constrained k-means with 1 to ``most`` points in each cluster."""
    m = len(points)
    n_clusters = min(width, -(-m // 2))
    if n_clusters <= 1:
        return np.zeros(m, np.int32)
    from k_means_constrained import KMeansConstrained  # type: ignore[import-untyped]  # takes a second to import

    # The solver rounds distances to thousandths, which is fine enough for points on the unit sphere.
    means = KMeansConstrained(n_clusters, size_min=1, size_max=min(most, m), n_init=1, max_iter=30, random_state=seed)
    return np.asarray(means.fit(points).labels_, np.int32)


def random_codes(n_items: int, length: int, width: int, seed: int) -> Codes:
    """Identifiers that say nothing of the item (the ablation "random GIDs"): places spread evenly over the tree.

    Every node's items differ by at most one in number between its children, and which item gets which place is random.
    """
    check_capacity(n_items, length, width)
    # Place p of the tree in mixed radix, first token fastest: consecutive places fall into different subtrees.
    places = np.random.default_rng(seed).permutation(n_items)
    return (places[:, None] // width ** np.arange(length, dtype=np.int64) % width).astype(np.int32)


def published(gids: Sequence[str], n_items: int | None = None) -> Codes:
    """Identifiers that came with the data, such as ``"12 12 1"``.

    Tokens may count from 0 or from 1, as those of ColaRec's release do: if no 0 occurs, all are lowered by 1. Their
    width is the highest one plus 1.

    Parameters
    ----------
    gids
        One string of integers for each item, in item order; the column ``gid`` of ``item_texts()``.
    n_items
        Size of the catalogue, where that is not the number of ``gids`` by construction.

    Raises
    ------
    DataError
        If one is missing or malformed, if their lengths or their number differ, or if two are equal.
    """
    gids = list(gids)
    if not gids or n_items not in (None, len(gids)):
        raise DataError(f"there are {len(gids):,} published GIDs for {n_items or 0:,} items: each item needs one")
    if missing := sum(not gid.strip() for gid in gids):
        raise DataError(f"{missing:,} of {len(gids):,} items have no published GID: choose another gid_source")
    rows: list[list[int]] = []
    for gid in gids:
        if not _GID.fullmatch(gid):
            raise DataError(f"published GID {gid!r} is not a row of integers below 100,000 with spaces between: fix it")
        rows.append([int(token) for token in gid.split()])
        if len(rows[-1]) != len(rows[0]):
            raise DataError(f"published GIDs {gids[0]!r} and {gid!r} are not equally long: fix the data")
    codes = np.array(rows, np.int32)
    codes -= min(1, codes.min())
    if (twins := _first_twins(codes)) is not None:
        raise DataError(
            f"published GID {gids[twins[0]]!r} stands for two items, {twins[0]} and {twins[1]}: fix the data"
        )
    return codes


def _check_length(length: int) -> None:
    if length < 1:
        raise ConfigError(f"codes is {length}: an identifier needs at least one token")


def _first_twins(codes: NDArray[np.integer]) -> tuple[int, int] | None:
    """The first two rows that are equal, if any are."""
    order = np.lexsort(codes.T[::-1])
    same = np.flatnonzero((codes[order[1:]] == codes[order[:-1]]).all(axis=1))
    if not len(same):
        return None
    first, second = sorted((int(order[same[0]]), int(order[same[0] + 1])))
    return first, second
