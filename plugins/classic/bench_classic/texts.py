"""Texts of items as tf-idf vectors, by scipy alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench import Context, DataError, TextInputs

if TYPE_CHECKING:
    import pandas as pd

_WORD = re.compile(r"\w+")
_ROWS = 256
"""Rows of a product at a time: as a sparse matrix it takes more memory than as the array that is wanted."""


def text_vectors(context: Context) -> sp.csr_matrix | None:
    """(n_items, n_words) float32: tf-idf vectors of length 1, without entries where an item has no word.

    None if no item has one. Words are those of the field ``text``, or of all fields where a data set has no such one.
    """
    if not any(_WORD.search(text) for text in _texts(context.item_texts())):
        return None
    parts = context.cached_from_texts("tf-idf", {}, _tf_idf)
    return sp.csr_matrix((parts["data"], parts["indices"], parts["indptr"]), shape=tuple(parts["shape"]))


def required_text_vectors(context: Context, model: str) -> sp.csr_matrix:
    """The same.

    Raises
    ------
    DataError
        If no item has a word; ``model`` is for the message.
    """
    found = text_vectors(context)
    if found is None:
        raise DataError(f"{model}: no item of this data set has a text: name text fields in its card ('texts')")
    return found


def _texts(frame: pd.DataFrame) -> list[str]:
    if "text" in frame:
        return [str(text) for text in frame["text"]]
    rows = frame.drop(columns="id").astype(str).to_numpy(object)
    return [" ".join(row) for row in rows]


def _tf_idf(given: TextInputs) -> dict[str, NDArray[np.generic]]:
    found = tf_idf(_texts(given.items))
    shape = np.array(found.shape)
    return {"data": found.data, "indices": found.indices, "indptr": found.indptr, "shape": shape}


def tf_idf(texts: Sequence[str]) -> sp.csr_matrix:
    """(n_texts, n_words) float32: (1 + ln tf) · ln((1 + n) / (1 + df)), rows of length 1, columns in order of words.

    A word of all texts, such as the name of a field, weighs nothing. A text without words is an empty row.
    """
    words = [_WORD.findall(text.lower()) for text in texts]
    numbers = {word: number for number, word in enumerate(sorted({word for row in words for word in row}))}
    columns = np.array([numbers[word] for row in words for word in row], np.int64)
    rows = np.repeat(np.arange(len(words)), [len(row) for row in words])
    found = sp.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(words), len(numbers)))
    in_texts = np.bincount(found.indices, minlength=len(numbers))
    idf = np.log((1 + len(words)) / (1 + in_texts))
    found.data = (1 + np.log(found.data)) * idf[found.indices]
    found.eliminate_zeros()
    return normalized(found).astype(np.float32)


def normalized(rows: sp.csr_matrix) -> sp.csr_matrix:
    """Rows of length 1; empty ones stay empty."""
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    scale = (1 / np.maximum(lengths, 1e-12)).astype(rows.dtype)
    return sp.csr_matrix(sp.diags_array(scale) @ rows)


def similarities(queries: sp.csr_matrix, words: sp.csr_matrix) -> NDArray[np.float32]:
    """(n, m) float32: products of the rows of ``queries`` (n, n_words) and the columns of ``words`` (n_words, m)."""
    found = np.empty((queries.shape[0], words.shape[1]), np.float32)
    for rows in blocks(len(found)):
        found[rows] = (queries[rows] @ words).toarray()
    return found


def blocks(n: int) -> Iterator[NDArray[np.int64]]:
    """The numbers 0 to n − 1, :data:`_ROWS` at a time."""
    for start in range(0, n, _ROWS):
        yield np.arange(start, min(start + _ROWS, n))
