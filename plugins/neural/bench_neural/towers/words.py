"""Words of items, hashed into a fixed number of buckets."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from bench_torchkit.ragged import pointers
from numpy.typing import NDArray

_WORD = re.compile(r"\w+")


class Bags(NamedTuple):
    """A bag of words for each item."""

    buckets: NDArray[np.int64]
    """(L,): item after item."""
    weights: NDArray[np.float32]
    """(L,): tf-idf, the squares of an item adding up to 1."""
    indptr: NDArray[np.int64]
    """(n_items + 1,): where those of an item begin and end."""


def bucket(word: str, n: int) -> int:
    """The same in every process, unlike ``hash``."""
    return zlib.crc32(word.encode()) % n


def bags(texts: Sequence[str], n_buckets: int) -> Bags:
    """Of ``texts`` in lower case; a word of n occurrences weighs 1 + ln n, times the logarithm of its rarity."""
    counted = [_count(text, n_buckets) for text in texts]
    lengths = np.array([len(one) for one in counted], np.int64)
    buckets = np.array([number for one in counted for number in one], np.int64)
    times = np.array([n for one in counted for n in one.values()], np.float64)
    having = np.bincount(buckets, minlength=n_buckets)
    weights = (1 + np.log(times)) * (np.log((1 + len(texts)) / (1 + having[buckets])) + 1)
    rows = np.repeat(np.arange(len(texts)), lengths)
    norms = np.sqrt(np.bincount(rows, weights**2, len(texts)))
    return Bags(buckets, (weights / norms[rows]).astype(np.float32), pointers(lengths))


def _count(text: str, n_buckets: int) -> dict[int, int]:
    found: dict[int, int] = {}
    for word in _WORD.findall(text.lower()):
        number = bucket(word, n_buckets)
        found[number] = found.get(number, 0) + 1
    return found
