"""Vectors of users and items: from a file, or of items from their texts. :mod:`.lightgcn` learns them."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench_torchkit.text import minilm_folder, sentence_vectors
from numpy.typing import NDArray

from bench import DataError, TextInputs
from bench_colarec.items.identifiers import unit_rows

_NEAREST = 10
"""Items whose mean vector stands for an item without interactions."""

_ROUNDING = 1e-5
"""Smaller values of text vectors, whose rows have at most length 1, are errors of the decomposition."""


@dataclass(frozen=True)
class Vectors:
    """One vector for each user and each item; the inner product of two is a score."""

    users: NDArray[np.float32]
    """(n_users, d)."""
    items: NDArray[np.float32]
    """(n_items, d)."""


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
    """Latent semantic analysis: tf-idf of words, reduced to ``size`` dimensions by a truncated SVD.

    Returns
    -------
    (n_items, d ≤ size): fewer dimensions where there are fewer items or words. An item without words has a zero row.

    Raises
    ------
    DataError
        If no item has a word.
    """
    # A second to import, which most runs need not wait for.
    from sklearn.decomposition import TruncatedSVD  # type: ignore[import-untyped]
    from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]

    _check_texts(texts)
    weights = TfidfVectorizer(token_pattern=r"\w+", sublinear_tf=True).fit_transform(texts)  # noqa: S106
    found = TruncatedSVD(min(size, *weights.shape), random_state=seed).fit_transform(weights)
    return np.asarray(found, np.float32)


def fill_cold(vectors: Vectors, cold: NDArray[np.bool_], texts: Sequence[str], seed: int) -> Vectors:
    """``vectors`` in which an item without interactions has the mean of the ten items nearest to it by text.

    Vectors of interactions say nothing of such items, and leave their identifiers to chance. Nearness is the cosine of
    :func:`text_vectors`; all others keep their vectors, and so does an item whose text is like none of these.

    Parameters
    ----------
    cold
        (n_items,): whether an item has no interactions.
    texts
        (n_items,); an item may have none, and then keeps its vector.
    """
    found = text_vectors(texts, vectors.items.shape[1], seed)
    points = unit_rows(np.where(np.abs(found) < _ROUNDING, 0, found))
    warm = np.flatnonzero(~cold)
    items = vectors.items.copy()
    for item in np.flatnonzero(cold):
        alike = points[warm] @ points[item]
        nearest = np.argsort(-alike, kind="stable")[:_NEAREST]
        nearest = nearest[alike[nearest] > 0]
        if len(nearest):
            items[item] = vectors.items[warm[nearest]].mean(axis=0)
    return Vectors(vectors.users, items)


def minilm_vectors(given: TextInputs) -> dict[str, NDArray[np.float32]]:
    """``items`` (n_items, 384): sentence vectors of all-MiniLM-L6-v2, zero without text, for ``cached_from_texts``.

    Needs the extra ``minilm``, whose package holds the weights; nothing is downloaded. ``inputs`` names the ``device``.

    Raises
    ------
    DataError
        If no item has a word.
    ConfigError
        If the package is not installed.
    """
    texts = [str(text) for text in given.items["text"]]
    _check_texts(texts)
    folder = minilm_folder("colarec", "gid_source=minilm")
    return {"items": sentence_vectors(texts, folder, given.inputs["device"], given.progress)}


def _check_texts(texts: Sequence[str]) -> None:
    if not any(re.search(r"\w", text) for text in texts):
        raise DataError("no item of this data set has a text: choose another gid_source than text or minilm")
