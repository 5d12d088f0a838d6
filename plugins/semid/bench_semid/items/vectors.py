"""Vectors of items that codes are made of: of texts, of interactions, or from a file."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from bench_torchkit.graph import normalized_adjacency, singular_vectors
from bench_torchkit.item_texts import minilm_vectors, texts_of
from bench_torchkit.text import word_vectors
from bench_torchkit.vectors import unit_rows
from numpy.typing import NDArray

from bench import Context, DataError, Interactions, TextInputs

Vectors = NDArray[np.float32]


def of_words(given: TextInputs) -> dict[str, Vectors]:
    """``items`` (n_items, ≤ ``size`` of the inputs): :func:`word_vectors`, for ``cached_from_texts``."""
    return {"items": word_vectors([str(text) for text in given.items["text"]], given.inputs["size"], seed=0)}


def of_interactions(train: Interactions, size: int) -> Vectors:
    """(n_items, ≤ size): leading singular vectors of the train interactions, rows of length 1 or 0."""
    adjacency = normalized_adjacency(train)[: train.n_users, train.n_users :]
    found = singular_vectors(adjacency, size, np.random.default_rng(0))
    return found[train.n_users :].astype(np.float32)


def from_file(path: str, ids: Sequence[str]) -> Vectors:
    """Vectors made elsewhere, found by the items' original ids.

    Parameters
    ----------
    path
        ``.npz`` with ``ids`` (n,) and ``vectors`` (n, d), or ``.parquet`` with a column ``id`` and numbers in the
        others. Items of other data sets may be there too.
    ids
        Of this data set, in item order.

    Raises
    ------
    DataError
        If the file cannot be read, lacks an item or has one twice, or has values that are not finite.
    """
    known, vectors = _read(path)
    row_of = {one: row for row, one in enumerate(known)}
    if len(row_of) < len(known):
        first = next(one for row, one in enumerate(known) if row_of[one] != row)
        raise DataError(f"vectors file {path} has {first} more than once: give each item one vector")
    if missing := [one for one in ids if one not in row_of]:
        raise DataError(f"vectors file {path} lacks {len(missing):,} of {len(ids):,} items, such as {missing[0]}")
    found = vectors[[row_of[one] for one in ids]].astype(np.float32)
    if bad := int((~np.isfinite(found).all(axis=1)).sum()):
        raise DataError(f"vectors file {path} has {bad:,} rows with values that are not finite: fix them")
    return found


def _read(path: str) -> tuple[list[str], NDArray[np.generic]]:
    if not Path(path).is_file():
        raise DataError(f"there is no vectors file {path}: give .npz with 'ids' and 'vectors', or .parquet with 'id'")
    try:
        if Path(path).suffix == ".parquet":
            frame = pd.read_parquet(path)
            known, vectors = frame.pop("id").astype(str).tolist(), frame.to_numpy(np.float64)
        else:
            with np.load(path, allow_pickle=False) as file:
                known, vectors = file["ids"].astype(str).tolist(), file["vectors"]
    except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"vectors file {path} cannot be used: {reason}; it is .npz with 'ids' and 'vectors', or .parquet with 'id'"
        ) from error
    if vectors.ndim != 2 or len(vectors) != len(known) or not vectors.shape[1] or vectors.dtype.kind not in "fiu":
        raise DataError(
            f"vectors of {path} are {vectors.dtype} of shape {vectors.shape}, not numbers of ({len(known)}, d)"
        )
    return known, vectors


def principal(vectors: Vectors, size: int, whiten: bool) -> Vectors:
    """(n, size): along the directions of most variance, or scaled to the same variance in each; 0 where there is none.

    Signs are such that the largest entry of a direction is positive, the same on every machine.
    """
    if not vectors.shape[1]:
        return np.zeros((len(vectors), size), np.float32)
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    values, directions = np.linalg.eigh(centred.T @ centred / max(1, len(vectors)))
    values, directions = values[::-1][:size], directions[:, ::-1][:, :size]
    directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])])
    found: NDArray[np.float64] = centred @ directions
    deviation = np.sqrt(np.maximum(values, 0))
    real = deviation > 1e-6 * deviation.max(initial=0)
    if whiten:
        found = np.divide(found, deviation, out=np.zeros_like(found), where=real)
    return np.pad(found, ((0, 0), (0, size - found.shape[1]))).astype(np.float32)


def make(context: Context, train: Interactions, source: str, size: int, model: str) -> list[Vectors]:
    """The vectors that ``source`` names, one or two parts, rows of length 1 or 0.

    Raises
    ------
    ConfigError, DataError
        If it needs texts or a package that are not there.
    """
    parts = []
    instead = (
        f"name text fields in its card ('texts'), or make codes of interactions with --set {model}.vectors=interactions"
    )
    for part in source.split("+"):
        if part == "words":
            texts_of(context.item_texts(), model, instead)
            found = context.cached_from_texts("words", {"size": size}, of_words)["items"]
        elif part == "minilm":
            found = minilm_vectors(context, model, "vectors=minilm", instead)
        else:
            found = of_interactions(train, size)
        parts.append(unit_rows(np.asarray(found, np.float32)))
    return parts
