"""Codes of items: where each stands along the leading singular vectors of the interactions."""

from __future__ import annotations

from typing import Any

import numpy as np
from bench_torchkit.graph import normalized_adjacency, singular_vectors
from numpy.typing import NDArray

from bench import Interactions


def item_components(train: Interactions, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(n_items, ``size``): leading singular vectors, rows of length 1 or 0, and noise where there are too few."""
    adjacency: Any = normalized_adjacency(train)
    found = singular_vectors(adjacency[: train.n_users, train.n_users :], size, rng)[train.n_users :]
    noise = rng.normal(0, 1e-3, (train.n_items, size - found.shape[1]))
    return np.concatenate([found, noise], axis=1)


def quantile_codes(components: NDArray[np.float64], values: int) -> NDArray[np.int64]:
    """(n_items, m): bin of each item along each column of ``components``, from 0; bins are equally full.

    Equal numbers stand in one bin, so that items of which nothing is known have one code. A bin may then be empty.
    Petrov and Macdonald, RecJPQ: Training Large-Catalogue Sequential Recommenders, WSDM 2024, section 4.1.
    """
    n_items = len(components)
    ordered = np.sort(components, axis=0)
    # How many items are smaller: the first place of a number among the sorted ones.
    places = [np.searchsorted(column, own, side="left") for column, own in zip(ordered.T, components.T, strict=True)]
    return np.stack(places, axis=1) * values // max(1, n_items)


def bin_means(components: NDArray[np.float64], codes: NDArray[np.int64], values: int) -> NDArray[np.float64]:
    """(m, ``values``): mean of each column of ``components`` over the items of a bin; 0 of an empty one."""
    found = np.zeros((components.shape[1], values))
    for column, (own, bins) in enumerate(zip(components.T, codes.T, strict=True)):
        sizes = np.bincount(bins, minlength=values)
        found[column] = np.bincount(bins, own, values) / np.maximum(sizes, 1)
    return found
