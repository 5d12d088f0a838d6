"""Intra-list diversity: how unlike each other the items of a list are (Ziegler et al., WWW 2005)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from bench.interactions import UNFILLED

CATEGORIES = ("categories", "genres", "tags")
"""Fields of items, the first of which that is there has their categories: between commas, or else words."""

Texts = Sequence[str]


def category_vectors(column: Texts) -> csr_matrix:
    """(n_items, n_categories) unit vectors of categories, each counted once; zero rows where there are none."""
    commas = any("," in text for text in column)
    found = [_parts(text) if commas else _words(text) for text in column]
    return _unit([dict.fromkeys(one, 1) for one in found], idf=False)


def text_vectors(column: Texts) -> csr_matrix:
    """(n_items, n_words) unit vectors of words by (1 + ln tf) · ln(n / df); zero rows where no word tells."""
    return _unit([Counter(_words(text)) for text in column], idf=True)


def diversity(items: NDArray[np.int32], vectors: csr_matrix, ks: Iterable[int]) -> dict[int, float]:
    """By k, 1 − cosine of two items of a list, mean over its pairs and then over users.

    Items without a vector are in no pair, and users without a pair do not count; a k for which nobody counts is left
    out.

    Parameters
    ----------
    items
        (n, width) lists, best first, -1 where unfilled.
    vectors
        (n_items, d): of unit length, or zero.
    """
    known = np.diff(vectors.indptr) > 0
    found = {}
    for k in ks:
        top = items[:, :k]
        filled = (top != UNFILLED) & known[top]
        rows, places = np.nonzero(filled)
        chosen = csr_matrix((np.ones(len(rows)), (rows, top[rows, places])), shape=(len(top), vectors.shape[0]))
        # |Σ v|² counts each item with itself, and each pair twice.
        squares = np.asarray((chosen @ vectors).power(2).sum(axis=1)).ravel()
        numbers = filled.sum(axis=1)
        paired = numbers > 1
        if paired.any():
            n = numbers[paired]
            found[k] = float((1 - (squares[paired] - n) / (n * (n - 1))).mean())
    return found


def _parts(text: str) -> list[str]:
    return [part for part in re.split(r"\s*,\s*", text.strip().lower()) if part]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _unit(rows: Sequence[dict[str, int]], idf: bool) -> csr_matrix:
    numbers: dict[str, int] = {}
    columns = np.array([numbers.setdefault(term, len(numbers)) for row in rows for term in row], np.int64)
    counts = np.array([count for row in rows for count in row.values()], np.float64)
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    weights = 1 + np.log(counts)
    if idf:
        weights *= np.log(len(rows) / np.bincount(columns, minlength=len(numbers)))[columns]
    matrix = csr_matrix((weights, columns, indptr), shape=(len(rows), len(numbers)))
    matrix.eliminate_zeros()
    lengths = np.sqrt(np.asarray(matrix.power(2).sum(axis=1)).ravel())
    matrix.data /= np.repeat(lengths, np.diff(matrix.indptr))
    return matrix
