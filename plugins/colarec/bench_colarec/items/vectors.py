"""Vectors of users and items: from a file, or of items from their texts. :mod:`.lightgcn` learns them."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench_torchkit.item_texts import check_words
from bench_torchkit.text import word_vectors, word_weights
from numpy.typing import NDArray

from bench import DataError

INSTEAD = "choose another gid_source than text or minilm"


@dataclass(frozen=True)
class Vectors:
    """One vector for each user and each item; the inner product of two is a score."""

    users: NDArray[np.float32]
    """(n_users, d)."""
    items: NDArray[np.float32]
    """(n_items, d)."""
    twins: NDArray[np.int64] | None = None
    """(n_items,): whose vector an item has, see :func:`twins`; None: its own."""


def from_file(path: Path | str, n_users: int, n_items: int) -> Vectors:
    """Vectors made elsewhere: an .npz file with ``items`` (n_items, d) and perhaps ``users`` (n_users, d), numbers.

    Rows are in the order of the data set's ids. Where the file has no users, theirs are zero: nothing is known of them.

    Raises
    ------
    DataError
        If the file is not there or no .npz file, or if an array has another shape or values that are not finite.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("items", "users") if name in file}
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"vectors file {path} cannot be read as .npz: {' '.join(str(error).split())}") from error
    if "items" not in arrays:
        raise DataError(f"vectors file {path} has no array 'items': write it with numpy.savez(path, items=...)")
    for name, n in (("items", n_items), ("users", n_users)):
        if name in arrays:
            arrays[name] = _checked(arrays[name], f"array '{name}' of {path}", n)
    items = arrays["items"]
    users = arrays.get("users", np.zeros((n_users, items.shape[1]), np.float32))
    if users.shape[1] != items.shape[1]:
        raise DataError(f"vectors of {path} have {users.shape[1]} dimensions for users and {items.shape[1]} for items")
    return Vectors(users, items)


def _checked(array: NDArray[np.generic], what: str, n: int) -> NDArray[np.float32]:
    if array.ndim != 2 or len(array) != n or not array.shape[1] or array.dtype.kind not in "fiu":
        raise DataError(f"{what} is {array.dtype} of shape {array.shape}, not numbers of shape ({n}, d)")
    with np.errstate(over="ignore"):
        found = array.astype(np.float32)
    if bad := int((~np.isfinite(found).all(axis=1)).sum()):
        raise DataError(f"{what} has {bad:,} rows with values that are not finite: fix them")
    return found


def text_vectors(texts: Sequence[str], size: int, seed: int) -> NDArray[np.float32]:
    """(n_items, ≤ size): see :func:`bench_torchkit.text.word_vectors`.

    Raises
    ------
    DataError
        If no item has a word.
    """
    check_words(texts, "colarec", INSTEAD)
    return word_vectors(texts, size, seed)


def twins(cold: NDArray[np.bool_], texts: Sequence[str]) -> NDArray[np.int64]:
    """(n_items,): of an item without interactions the one most like it by text; of all others, themselves.

    Vectors of interactions say nothing of such items, and leave their identifiers to chance. Likeness is the cosine of
    :func:`bench_torchkit.text.word_weights`. An item that shares no word with one of these is its own twin.

    Parameters
    ----------
    cold
        (n_items,): whether an item has no interactions.
    texts
        (n_items,).

    Raises
    ------
    DataError
        If no item has a word.
    """
    check_words(texts, "colarec", INSTEAD)
    weights, nearest = word_weights(texts), np.arange(len(cold))
    warm, columns = np.flatnonzero(~cold), weights[~cold].T.tocsr()
    for item in np.flatnonzero(cold):
        alike = weights[[item]] @ columns
        alike.sort_indices()  # of several, the first
        if alike.nnz:
            nearest[item] = warm[alike.indices[alike.data.argmax()]]
    return nearest
