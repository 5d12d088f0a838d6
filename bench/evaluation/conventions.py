"""The conventions of other tools: what each makes of one set of lists, where relevance is binary.

Read from the sources of RecBole 1.2.1 (``recbole/evaluator/metrics.py``), WarpRec and Elliot (``evaluation/metrics``),
ranx 0.3.21 (``ranx/metrics``) and trec_eval 9 (``form_res_rels.c``, ``m_*.c``; as ``trec_eval`` without ``-c``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.evaluation import metrics
from bench.interactions import UNFILLED, Interactions

Floats = NDArray[np.float64]
Hits = NDArray[np.bool_]

GAIN = "1 for a test item, which 2^relevance − 1 makes no other; ideal of min(r, k)"
"""Of NDCG, in all of them, over log2(rank + 1)."""


@dataclass(frozen=True)
class Convention:
    """What a tool decides; ``r`` is the number of test items of a user."""

    tool: str
    map_divisor: Literal["min(r, k)", "r", "k"] = "min(r, k)"
    """Of the sum of precisions at hits; with ``k`` of those at all ranks."""
    mrr_within: Literal["k", "the list"] = "k"
    users: Literal["with a test item", "of these, with a list"] = "with a test item"
    """Whom the means are over; users without a test item never count."""
    ties: Literal["as listed", "undefined", "higher id first"] = "as listed"
    """Order of items of equal score."""
    duplicates: Literal["misses", "impossible", "count", "last counts", "refused"] = "misses"
    """What becomes of an item that stands higher up already."""


OURS = Convention("recsys-bench")
CONVENTIONS = (
    OURS,
    Convention("RecBole", ties="undefined", duplicates="impossible"),
    Convention("WarpRec", ties="undefined", duplicates="impossible"),
    Convention("Elliot", map_divisor="k", users="of these, with a list", ties="undefined", duplicates="count"),
    Convention("ranx", map_divisor="r", ties="undefined", duplicates="last counts"),
    Convention(
        "trec_eval",
        map_divisor="r",
        mrr_within="the list",
        users="of these, with a list",
        ties="higher id first",
        duplicates="refused",
    ),
)


def means(
    convention: Convention,
    items: NDArray[np.int32],
    scores: NDArray[np.float32],
    relevant: Interactions,
    id_order: NDArray[np.int64],
    ks: Sequence[int],
) -> dict[str, float]:
    """Every metric at every k, mean over the users that count; not a number if none does.

    Parameters
    ----------
    items, scores
        (n_users, width) lists, best first, :data:`bench.interactions.UNFILLED` where unfilled.
    relevant
        The test rows of the same users, none of them empty.
    id_order
        (n_items,): rank of each item when original ids are sorted by their bytes.
    """
    if convention.ties == "higher id first":
        items = _by_id_in_ties(items, scores, id_order)
    counted = np.ones(len(items), bool)
    if convention.users == "of these, with a list":
        counted = (items != UNFILLED).any(axis=1)
    rows = np.flatnonzero(counted)
    if not len(rows):
        return {f"{name}@{k}": float("nan") for name in metrics.METRICS for k in ks}
    relevant = relevant.select(rows)
    hits = metrics.hit_matrix(items[rows], relevant)
    found = {}
    for name, metric in metrics.METRICS.items():
        for k in ks:
            if name == "map":
                values = _average_precision(convention, hits, relevant.lengths, k)
            else:
                whole_list = name == "mrr" and convention.mrr_within == "the list"
                values = metric(hits, relevant.lengths, hits.shape[1] if whole_list else k)
            found[f"{name}@{k}"] = float(values.mean())
    return found


def _average_precision(convention: Convention, hits: Hits, relevant: NDArray[np.int64], k: int) -> Floats:
    if convention.map_divisor == "min(r, k)":
        return metrics.average_precision(hits, relevant, k)
    top = hits[:, :k]
    precisions: Floats = np.cumsum(top, axis=1) / np.arange(1, top.shape[1] + 1)
    every_rank = convention.map_divisor == "k"
    sums: Floats = (precisions if every_rank else precisions * top).sum(axis=1)
    return sums / (k if every_rank else relevant)


def _by_id_in_ties(
    items: NDArray[np.int32], scores: NDArray[np.float32], id_order: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Lists whose filled slots of equal score are in falling order of ids; slots that are no item keep their ranks."""
    filled = items != UNFILLED
    ids = np.where(filled, id_order[items], -1)
    order = np.lexsort((-ids, -scores, ~filled), axis=1)
    found = np.full_like(items, UNFILLED)
    places = np.argsort(~filled, axis=1, kind="stable")  # of the filled slots first
    np.put_along_axis(found, places, np.take_along_axis(items, order, axis=1), axis=1)
    return found
