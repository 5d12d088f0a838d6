"""From vectors to codes: residual k-means, and product quantisation.

A quantizer takes vectors (n_items, d) float32 and gives codes (n_items, m) int32, each from 0 and below ``values``.
Where there are fewer different vectors than values, the rest of the values is not used.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench import ConfigError

Codes = NDArray[np.int32]
Vectors = NDArray[np.float32]

_ITERATIONS = 50
"""Of k-means at most."""

_ITERATIONS_A_ROUND = 4
"""Of k-means between two rotations."""


class Clusters(NamedTuple):
    """What k-means found."""

    labels: NDArray[np.int32]
    """(n,)."""
    centres: Vectors
    """(k, d)."""


def k_means(
    points: Vectors, values: int, seed: int, begin: Vectors | None = None, iterations: int = _ITERATIONS
) -> Clusters:
    """Lloyd's iterations for at most ``values`` clusters, from k-means++ or from centres to ``begin`` with."""
    from sklearn.cluster import KMeans  # type: ignore[import-untyped]  # takes a second to import

    if begin is None:
        values = min(values, len(np.unique(points, axis=0)))
    init: Any = "k-means++" if begin is None else begin
    n = values if begin is None else len(begin)
    means: Any = KMeans(n, init=init, n_init=1, max_iter=iterations, random_state=seed).fit(points)
    return Clusters(means.labels_.astype(np.int32), means.cluster_centers_.astype(np.float32))


def residual_k_means(vectors: Vectors, codes: int, values: int, seed: int) -> Codes:
    """Each code is the cluster of what the ones before it have left over.

    As in the tokenizers of GRID and of RecBoard's TIGER: additive quantisation without training.
    """
    found = np.zeros((len(vectors), codes), np.int32)
    rest = vectors.copy()
    for level in range(codes):
        clusters = k_means(rest, values, seed + level)
        found[:, level] = clusters.labels
        rest -= clusters.centres[clusters.labels]
    return found


def product(vectors: Vectors, codes: int, values: int, seed: int) -> Codes:
    """Each code is the cluster of one slice of the dimensions.

    Jégou et al., Product Quantization for Nearest Neighbor Search, PAMI 2011.
    """
    return _labels([k_means(part, values, seed + level) for level, part in enumerate(_slices(vectors, codes))])


def rotated_product(vectors: Vectors, codes: int, values: int, seed: int, rounds: int = 16) -> Codes:
    """:func:`product` of vectors that are rotated so that the slices lose least.

    Ge et al., Optimized Product Quantization, PAMI 2014, the non-parametric solution: a few iterations of k-means, then
    the best rotation for its clusters, in turns. The first rotation is random, so that all slices say equally much.
    """
    size = vectors.shape[1]
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0].astype(np.float32)
    parts = _slices(vectors @ rotation, codes)
    clusters = [k_means(part, values, seed + level) for level, part in enumerate(parts)]
    for _ in range(rounds):
        restored = np.concatenate([one.centres[one.labels] for one in clusters], axis=1)
        left, _, right = np.linalg.svd(vectors.T @ restored)
        parts = _slices(vectors @ (left @ right).astype(np.float32), codes)
        clusters = [
            k_means(part, values, seed, one.centres, _ITERATIONS_A_ROUND)
            for part, one in zip(parts, clusters, strict=True)
        ]
    return _labels(clusters)


def _slices(vectors: Vectors, codes: int) -> list[Vectors]:
    size = vectors.shape[1]
    if size % codes:
        raise ConfigError(f"vectors of {size} dimensions have no {codes} equal slices: choose codes that divides it")
    return [np.ascontiguousarray(part) for part in np.split(vectors, codes, axis=1)]


def _labels(clusters: list[Clusters]) -> Codes:
    return np.stack([one.labels for one in clusters], axis=1)
