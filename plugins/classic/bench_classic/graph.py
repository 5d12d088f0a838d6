"""A graph of transitions between items, untrained: a floor under tables of sequential models.

After Han et al. 2026 (arXiv:2605.07125), who go a few hops from the last one or two items and order what they find by
the similarity of texts. Here all that leads to an item is added up, where the paper gives each hop places in the list;
and a transition also links to the item after the next one, and backward, for less.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from pydantic import Field

from bench import Context, Interactions, ModelConfig, Recommender, Search
from bench_classic.texts import blocks, required_text_vectors, similarities, text_vectors

_POPULARITY = 1e-3
"""What the most popular item gets for it: less than any candidate for being one."""


class GraphConfig(ModelConfig):
    """Which items are linked, how far to go, and what decides the order."""

    recent: Annotated[int, Field(ge=1), Search(1, 5)] = 2
    """Items of the history to start from: the latest ones."""
    recency_decay: Annotated[float, Field(gt=0, le=1), Search(0.2, 1.0)] = 0.6
    """How much one of them counts against the next later one."""
    hops: Annotated[int, Field(ge=1), Search(1, 3)] = 2
    """Links that a candidate may be away."""
    hop_decay: Annotated[float, Field(gt=0, le=1), Search(0.01, 1.0, log=True)] = 0.1
    """How much each further hop counts against the one before."""
    second_step: Annotated[float, Field(ge=0, le=1), Search(0.0, 1.0)] = 0.5
    """How much a transition to the item after the next one counts against one to the next; 0: it makes no link."""
    backward: Annotated[float, Field(ge=0, le=1), Search(0.0, 1.0)] = 0.2
    """How much a transition counts in the other direction; 0: it makes no link."""
    order: Literal["auto", "text", "weight"] = "auto"
    """Whether candidates are ordered by transitions and the similarity of texts, or by transitions alone; ``auto`` uses
    texts if the data set has them."""
    text_weight: Annotated[float, Field(gt=0), Search(0.1, 10.0, log=True)] = 2.0
    """How much equal texts count against the most frequent transition from an item."""


class Graph(Recommender):
    """Items that followed the latest ones in other histories, nearest in the graph and by text; nothing is trained."""

    Config = GraphConfig
    ablations = {
        "no-text": {"order": "weight"},
        "last-item": {"recent": 1},
        "one-hop": {"hops": 1},
        "next-item": {"second_step": 0.0, "backward": 0.0},
    }
    deterministic = True
    state = ("links", "popularity", "texts")

    links: sp.csr_matrix
    """(n_items, n_items) float32: row i holds the weights of the links from i, the highest of which is 1."""
    popularity: NDArray[np.float32]
    """(n_items,): for ties and for what no link leads to."""
    texts: sp.csr_matrix
    """(n_items, n_words) float32; without words where they do not count."""

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Count transitions."""
        train.require_times()
        config: GraphConfig = self.config
        found = None
        if config.order != "weight":
            found = required_text_vectors(context, "graph") if config.order == "text" else text_vectors(context)
        self.texts = sp.csr_matrix(np.zeros((train.n_items, 0), np.float32)) if found is None else found
        context.note("order", "weight" if found is None else "text")
        counts = transitions(train, 1) + config.second_step * transitions(train, 2)
        self.links = _scaled(sp.csr_matrix(counts + config.backward * counts.T))
        of_items = train.popularity
        self.popularity = (_POPULARITY * of_items / max(1, of_items.max())).astype(np.float32)
        context.note("links", self.links.nnz)

    @cached_property
    def _words(self) -> sp.csr_matrix:
        return self.texts.T.tocsr()

    def score(self, users: NDArray[np.int64], history: Interactions) -> NDArray[np.float32]:
        """Candidates score above 1: their links and the similarity of texts; all others by popularity, below 1."""
        found = np.empty(history.shape, np.float32)
        for rows in blocks(len(users)):
            found[rows] = self._scores(history.select(rows))
        return found

    def _scores(self, history: Interactions) -> NDArray[np.float32]:
        config: GraphConfig = self.config
        start = latest(history, config.recent, config.recency_decay)
        reached = step = sp.csr_matrix(start @ self.links)
        for _ in range(1, config.hops):
            step = sp.csr_matrix(config.hop_decay * (step @ self.links))
            reached = sp.csr_matrix(reached + step)
        found: NDArray[np.float32] = reached.toarray()
        found[history.users, history.items] = 0  # nobody has an item twice, so nothing leads back
        candidates = found > 0
        if self.texts.shape[1]:
            found += np.float32(config.text_weight) * similarities(sp.csr_matrix(start @ self.texts), self._words)
        return (1 + found) * candidates + self.popularity


def transitions(train: Interactions, steps: int) -> sp.csr_matrix:
    """(n_items, n_items) float32: in how many rows the second item came so many steps after the first one."""
    rows, n = train.users, train.n_items
    together = rows[steps:] == rows[:-steps]
    pairs = train.items[:-steps][together], train.items[steps:][together]
    return sp.csr_matrix((np.ones(len(pairs[0]), np.float32), pairs), shape=(n, n))


def _scaled(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Logarithms of counts, divided by the highest one of the row."""
    counts.eliminate_zeros()
    highest = np.log1p(counts.max(axis=1).toarray().ravel())
    scaled = np.log1p(counts.data) / np.repeat(highest, np.diff(counts.indptr))
    return sp.csr_matrix((scaled, counts.indices, counts.indptr), shape=counts.shape)


def latest(history: Interactions, most: int, decay: float) -> sp.csr_matrix:
    """(n_users, n_items) float32: 1 for the last item of a row, ``decay`` for the one before, and so on."""
    recent = history.latest(most)
    from_end = np.repeat(recent.indptr[1:], recent.lengths) - np.arange(len(recent)) - 1
    weights = (decay**from_end).astype(np.float32)
    return sp.csr_matrix((weights, recent.items, recent.indptr), shape=recent.shape)
