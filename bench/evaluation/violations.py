"""Does a model keep the contract? The core checks every list and counts what is wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.errors import PluginError
from bench.evaluation.metrics import hit_matrix
from bench.interactions import UNFILLED, Interactions, Recommendations


def check(found: Recommendations, exclude: Interactions, k: int) -> tuple[Recommendations, dict[str, int]]:
    """The lists (n_users, k) as they are measured, and how many slots break the contract, by kind.

    ``exclude`` has the same rows. ``unknown``: ids outside the catalogue; ``duplicate``: an item that stands higher up
    already; ``excluded``: an item that must not be recommended; ``short``: unfilled although allowed items were left;
    ``disordered``: a score above that of a slot before, or an unfilled slot before; ``not-finite``: a filled slot
    without a finite score. A slot that breaks the contract in whatever way is measured as unfilled: no violation can
    earn a hit, and slots keep their ranks.

    Raises
    ------
    PluginError
        See :func:`check_form`.
    """
    check_form(found, (exclude.n_users, k))
    items, scores = np.asarray(found[0]), np.asarray(found[1])
    kinds = _wrong(items, scores, exclude)
    wrong = np.logical_or.reduce([items == UNFILLED, *kinds.values()])
    clean = Recommendations(
        np.where(wrong, UNFILLED, items).astype(np.int32), np.where(wrong, -np.inf, scores).astype(np.float32)
    )
    allowed = np.minimum(exclude.n_items - exclude.lengths, k)
    short = int(np.maximum(allowed - (items != UNFILLED).sum(axis=1), 0).sum())
    return clean, {**{kind: int(slots.sum()) for kind, slots in kinds.items()}, "short": short}


def check_form(found: Recommendations, expected: tuple[int, int]) -> None:
    """Refuse lists of which nothing can be counted.

    Raises
    ------
    PluginError
        If the arrays have another shape than ``expected``, or the wrong type.
    """
    items, scores = np.asarray(found[0]), np.asarray(found[1])
    for name, array, kind in (("items", items, "iu"), ("scores", scores, "f")):
        if array.shape != expected or array.dtype.kind not in kind:
            raise PluginError(
                f"the plugin returned {name} of shape {array.shape} and type {array.dtype} where the contract asks for "
                f"shape {expected} and {'integers' if kind == 'iu' else 'floats'}: fix its recommend()"
            )


def _wrong(
    items: NDArray[np.integer], scores: NDArray[np.floating], exclude: Interactions
) -> dict[str, NDArray[np.bool_]]:
    """Masks (n_users, k) of the slots that break the contract, by kind."""
    filled = items != UNFILLED
    unknown = filled & ((items < 0) | (items >= exclude.n_items))
    valid = filled & ~unknown
    finite = np.isfinite(scores)
    order = np.argsort(items, axis=1, kind="stable")
    ordered = np.take_along_axis(items, order, 1)
    repeated = np.zeros(items.shape, bool)
    np.put_along_axis(repeated, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], 1)
    # The lowest finite score so far: a score above it rises, wherever a slot without one lies between.
    floor = np.minimum.accumulate(np.where(filled & finite, scores, np.inf), axis=1)
    rises = np.zeros(items.shape, bool)
    rises[:, 1:] = finite[:, 1:] & (scores[:, 1:] > floor[:, :-1])
    gap = np.zeros(items.shape, bool)
    gap[:, 1:] = np.logical_or.accumulate(~filled, axis=1)[:, :-1]
    return {
        "unknown": unknown,
        "duplicate": repeated & valid,
        "excluded": hit_matrix(np.where(valid, items, UNFILLED), exclude) & valid,
        "disordered": filled & (rises | gap),
        "not-finite": filled & ~finite,
    }
