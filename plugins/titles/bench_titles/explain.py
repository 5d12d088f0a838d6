"""What was written for each item of a list, and what it was grounded to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench import Interactions, Recommendations
from bench_titles.grounding import Grounder

_SAME = 1e-3
"""Difference of two log-probabilities that are one."""

_FILLED: Mapping[str, Any] = {"written": "nothing: it fills the list by its popularity"}


def by_trie(
    grounder: Grounder, history: Interactions, recommendations: Recommendations
) -> list[list[Mapping[str, Any]]]:
    """For each filled slot ``written`` (a title), its ``log_probability``, and ``shared_with``: others that bear it."""
    catalogue = grounder.catalogue
    listed = recommendations.items
    others = [np.setdiff1d(np.arange(catalogue.n_items), row) for row in listed]
    indptr = np.concatenate([[0], np.cumsum([len(one) for one in others])]).astype(np.int64)
    items = np.concatenate(others).astype(np.int32)
    rest = Interactions(indptr, items, np.zeros(len(items), np.int64), catalogue.n_items)
    written: list[dict[int, float]] = [{} for _ in listed]
    for users, titles, scores in grounder.titles(history, rest, listed.shape[1]):
        for user, title, score in zip(users.tolist(), titles.tolist(), scores.tolist(), strict=True):
            written[user][title] = score
    found: list[list[Mapping[str, Any]]] = []
    for row, slots in enumerate(recommendations.items):
        found.append([])
        for place, item in enumerate(slots[slots >= 0].tolist()):
            title = int(catalogue.titles[item])
            score = written[row].get(title)  # none of an item without a title
            if score is None or abs(score - recommendations.scores[row, place]) > _SAME * max(1.0, abs(score)):
                found[-1].append(_FILLED)
                continue
            about: dict[str, Any] = {"written": catalogue.texts[item], "log_probability": score}
            sharing = np.flatnonzero(catalogue.titles == title)
            if len(sharing) > 1:
                about["shared_with"] = [{"item": int(other)} for other in sharing if other != item]
            found[-1].append(about)
    return found


def by_bm25(
    grounder: Grounder, history: Interactions, recommendations: Recommendations
) -> list[list[Mapping[str, Any]]]:
    """For each filled slot ``written`` (a query), its ``log_probability``, and the ``bm25`` of the item for it."""
    retriever, place_of = grounder.retriever(), np.argsort(grounder.catalogue.popular)
    found: list[list[Mapping[str, Any]]] = []
    for row, queries in enumerate(grounder.queries(history)):
        found.append([])
        slots = recommendations.items[row]
        for place, item in enumerate(slots[slots >= 0].tolist()):
            gaps = [abs(query.log_probability - recommendations.scores[row, place]) for query in queries]
            nearest = int(np.argmin(gaps))
            query = queries[nearest]
            value = float(retriever.scores(query.text)[place_of[item]])
            if gaps[nearest] > _SAME * max(1.0, abs(query.log_probability)) or not value:
                found[-1].append(_FILLED)
                continue
            about = {"written": query.text, "log_probability": query.log_probability, "query": nearest + 1}
            found[-1].append({**about, "grounded_to": {"item": item}, "bm25": value})
    return found
