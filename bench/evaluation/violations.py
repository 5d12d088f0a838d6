"""Does a model keep the contract? The core checks every list and counts what is wrong."""

from __future__ import annotations

import numpy as np

from bench.errors import PluginError
from bench.evaluation.metrics import hit_matrix
from bench.interactions import UNFILLED, Interactions, Recommendations


def count(found: Recommendations, exclude: Interactions, k: int) -> dict[str, int]:
    """Slots that break the contract, by kind, over lists (n_users, k); ``exclude`` has the same rows.

    ``unknown``: ids outside the catalogue; ``duplicate``: an item that stands higher up already; ``excluded``: an item
    that must not be recommended; ``short``: unfilled although allowed items were left; ``disordered``: a score above
    that of the slot before, or an unfilled slot before; ``not-finite``: a filled slot without a finite score.

    Raises
    ------
    PluginError
        If the arrays have the wrong shape or type, so that nothing can be counted.
    """
    items, scores = np.asarray(found[0]), np.asarray(found[1])
    expected = (exclude.n_users, k)
    for name, array, kind in (("items", items, "iu"), ("scores", scores, "f")):
        if array.shape != expected or array.dtype.kind not in kind:
            raise PluginError(
                f"the plugin returned {name} of shape {array.shape} and type {array.dtype} where the contract asks for "
                f"shape {expected} and {'integers' if kind == 'iu' else 'floats'}: fix its recommend()"
            )
    filled = items != UNFILLED
    unknown = filled & ((items < 0) | (items >= exclude.n_items))
    valid = filled & ~unknown
    order = np.argsort(items, axis=1, kind="stable")
    ordered, ordered_valid = np.take_along_axis(items, order, 1), np.take_along_axis(valid, order, 1)
    allowed = np.minimum(exclude.n_items - exclude.lengths, k)
    higher = ~filled[:, :-1] | (scores[:, 1:] > scores[:, :-1])
    return {
        "unknown": int(unknown.sum()),
        "duplicate": int(((ordered[:, 1:] == ordered[:, :-1]) & ordered_valid[:, 1:]).sum()),
        "excluded": int((hit_matrix(np.where(valid, items, UNFILLED), exclude) & valid).sum()),
        "short": int(np.maximum(allowed - filled.sum(axis=1), 0).sum()),
        "disordered": int((higher & filled[:, 1:]).sum()),
        "not-finite": int((filled & ~np.isfinite(scores)).sum()),
    }


def sanitized(found: Recommendations, exclude: Interactions) -> Recommendations:
    """The lists that are measured: a slot with an unknown, excluded or repeated item counts as unfilled.

    No offence can then earn a hit, and slots keep their ranks.
    """
    items, scores = np.asarray(found[0]), np.asarray(found[1])
    wrong = (items < 0) | (items >= exclude.n_items)
    wrong |= hit_matrix(np.where(wrong, UNFILLED, items), exclude)
    order = np.argsort(items, axis=1, kind="stable")
    ordered = np.take_along_axis(items, order, 1)
    again = np.zeros(items.shape, bool)
    np.put_along_axis(again, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], 1)
    wrong |= again
    return Recommendations(
        np.where(wrong, UNFILLED, items).astype(np.int32), np.where(wrong, -np.inf, scores).astype(np.float32)
    )
