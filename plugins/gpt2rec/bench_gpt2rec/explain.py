"""Why an item was recommended: the words of its text, and of the user's, that carried the attention.

Words that nearly all texts have come from their template, such as ``Genres``, or say nothing of one text; what they
carried is left out, and the others share the rest.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bench import Interactions, Recommendations
from bench_gpt2rec import tokens
from bench_gpt2rec.documents import NONE, Documents
from bench_gpt2rec.network import Network
from bench_gpt2rec.recommender import fuse_items, fuse_users, rebuild_cache

_WORDS = 5
_READ = 3
_EVERYWHERE = 0.8
"""Share of the texts of all items, or of all users, from which on a word is of their template."""


def explain(
    network: Network,
    tokenizer: Tokenizer,
    users: NDArray[np.int64],
    history: Interactions,
    recommendations: Recommendations,
) -> list[list[Mapping[str, Any]]]:
    """For each filled slot ``item_words`` and ``user_words``, and ``read`` where the history describes the user.

    Words have their share of the attention to words that are of no template, as the mean over heads and the sum over a
    word's tokens; ``read`` are the items of the history with the largest shares. Without attention over tokens, the
    mappings are empty.
    """
    network.eval()
    with torch.inference_mode():
        rebuild_cache(network)
        attention = fuse_users(network, users, history).attention
        if attention is None or network.encoder is None:
            return [[{} for item in row if item >= 0] for row in recommendations.items]
        documents = network.encoder.documents
        described = documents.of_users(users, history)
        weights = attention.mean(dim=1).cpu().numpy()
        common = template(documents.texts, documents.items)
        of_users = common if documents.profiles is None else template(documents.texts, documents.profiles)
        found: list[list[Mapping[str, Any]]] = []
        for row, items in enumerate(recommendations.items):
            about: dict[str, Any] = {"user_words": _words(documents, tokenizer, described[row], weights[row], of_users)}
            if documents.profiles is None:
                about["read"] = _read(history, row, weights[row].sum(axis=1))
            found.append([{**of_item, **about} for of_item in _items(network, tokenizer, items[items >= 0], common)])
    return found


def template(texts: Sequence[str], described: NDArray[np.int64]) -> frozenset[str]:
    """The words that nearly all of the texts ``described`` (n,) have; none of them if there is one text alone."""
    chosen = np.unique(described[described != NONE])
    counts = Counter(word for number in chosen for word in {_cleaned(word) for word in texts[number].split()})
    return frozenset(word for word, count in counts.items() if count >= max(2, _EVERYWHERE * len(chosen)))


def _cleaned(word: str) -> str:
    return word.strip(".,:;!?\"'()[]")


def _items(
    network: Network, tokenizer: Tokenizer, items: NDArray[np.int32], common: frozenset[str]
) -> list[dict[str, Any]]:
    if not len(items):
        return []
    numbers = items.astype(np.int64)
    attention = fuse_items(network, numbers).attention
    assert attention is not None
    assert network.encoder is not None
    documents = network.encoder.documents
    described = documents.of_items(numbers)
    weights = attention.mean(dim=1).cpu().numpy()
    return [
        {"item_words": _words(documents, tokenizer, described[row], weights[row], common)}
        for row in range(len(numbers))
    ]


def _words(
    documents: Documents,
    tokenizer: Tokenizer,
    described: NDArray[np.int64],
    weights: NDArray[np.float32],
    common: frozenset[str],
) -> dict[str, float]:
    """The words of some documents with the largest weights (m, L), largest first; none of the ``common`` ones."""
    sums: dict[str, float] = {}
    for document, row in zip(described, weights, strict=True):
        if document == NONE:
            continue
        words = tokens.words(tokenizer, documents.texts[document], int(documents.max_tokens[document]))
        for word, weight in zip(words, row.tolist(), strict=False):
            if (cleaned := _cleaned(word)) and cleaned not in common:
                sums[cleaned] = sums.get(cleaned, 0.0) + weight
    best = sorted(sums.items(), key=lambda pair: -pair[1])[:_WORDS]
    whole = sum(sums.values())
    return {word: _share(weight / whole) for word, weight in best if whole > 0}


def _read(history: Interactions, row: int, weights: NDArray[np.float32]) -> list[dict[str, Any]]:
    """The items of a history that describe a user, latest first as they are read, by their weights."""
    known = history.items[history.indptr[row] : history.indptr[row + 1]][::-1]
    best = np.argsort(-weights[: len(known)], kind="stable")[:_READ]
    return [{"item": int(known[at]), "weight": _share(float(weights[at]))} for at in best]


def _share(weight: float) -> float:
    """Three digits, never rounded up, so that shares are no more than 1 together."""
    return math.floor(weight * 1000) / 1000
