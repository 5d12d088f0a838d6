"""What may be written: any title of a catalogue, or anything."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from bench_torchkit.ragged import gather, pointers, row_of, within
from numpy.typing import NDArray
from torch import Tensor

from bench_titles.catalogue import Catalogue


class Steps(NamedTuple):
    """Ways on from r beginnings of titles; all (c,)."""

    rows: NDArray[np.int64]
    """Which beginning, ascending."""
    tokens: NDArray[np.int64]
    """The next token."""
    nodes: NDArray[np.int64]
    """Where it leads."""
    ends: NDArray[np.bool_]
    """Whether the title ends there."""
    gains: NDArray[np.float64]
    """The log-probability of the token behind the beginning."""


class Grammar(Protocol):
    """Which tokens may follow; a search begins at node 0."""

    def steps(self, nodes: NDArray[np.int64], users: NDArray[np.int64], logits: Tensor) -> Steps:
        """From ``nodes`` (r,) of ``users`` (r,), where tokens have the ``logits`` (r, V)."""


class Trie:
    """All titles of a catalogue, each with its end, as a tree of tokens.

    Titles are in the order of their tokens, so that those below a node are ``lows`` to ``highs`` − 1. The node behind
    edge e is e + 1.
    """

    def __init__(self, catalogue: Catalogue, end: int) -> None:
        rows = [[*catalogue.tokens_of(title), end] for title in range(len(catalogue))]
        low, high, depth, at = [0], [len(rows)], [0], 0
        edge_tokens: list[int] = []
        sizes: list[int] = []
        while at < len(low):
            title, level, begin = low[at], depth[at], len(edge_tokens)
            while title < high[at] and level < len(rows[title]):
                token, first = rows[title][level], title
                while title < high[at] and rows[title][level] == token:
                    title += 1
                edge_tokens.append(token)
                low.append(first)
                high.append(title)
                depth.append(level + 1)
            sizes.append(len(edge_tokens) - begin)
            at += 1
        self.lows, self.highs, self.depths = np.array(low), np.array(high), np.array(depth)
        self.tokens = np.array(edge_tokens, np.int64)
        self.indptr = pointers(np.array(sizes, np.int64))
        self.leaf = np.array(sizes) == 0
        self.begins = pointers(catalogue.lengths + 1)
        """(T + 1,): where the steps of each title begin, its end being the last of them."""
        self.path = np.zeros(int(self.begins[-1]), np.int64)
        """The node before each step."""
        inner = np.flatnonzero(~self.leaf)
        below = self.highs[inner] - self.lows[inner]
        titles = np.repeat(self.lows[inner], below) + within(below)
        self.path[self.begins[titles] + np.repeat(self.depths[inner], below)] = np.repeat(inner, below)

    def edges(self, nodes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Those of ``nodes`` (r,), one node after another, and for each its place in ``nodes``."""
        found = gather(self.indptr, nodes)
        return found, row_of(pointers(np.diff(self.indptr)[nodes]), np.arange(len(found)))

    def log_p(self, logits: Tensor, edges: NDArray[np.int64], rows: NDArray[np.int64]) -> Tensor:
        """(c,): log-probabilities of ``edges`` (c,) of rows of ``logits`` (r, V), if there were no other tokens.

        Each row has all edges of its node.
        """
        row = torch.from_numpy(rows).to(logits.device)
        values = logits[row, torch.from_numpy(self.tokens[edges]).to(logits.device)]
        highest = torch.full((len(logits),), -torch.inf, dtype=values.dtype, device=logits.device)
        highest = highest.scatter_reduce(0, row, values.detach(), "amax")
        sums = torch.zeros_like(highest).index_add(0, row, (values - highest[row]).exp())
        return values - (highest + sums.log())[row]


class Titles:
    """Titles of a trie, for each user those of ``allowed`` (n_users, T) alone.

    ``within_trie`` says whether the probabilities of the tokens that may follow in the trie add up to 1, or those of
    all tokens.
    """

    def __init__(self, trie: Trie, allowed: NDArray[np.bool_], within_trie: bool) -> None:
        self._trie, self._within_trie = trie, within_trie
        self._before = np.zeros((len(allowed), allowed.shape[1] + 1), np.int64)
        np.cumsum(allowed, axis=1, out=self._before[:, 1:])

    def steps(self, nodes: NDArray[np.int64], users: NDArray[np.int64], logits: Tensor) -> Steps:
        """To all nodes above an allowed title."""
        trie, before = self._trie, self._before
        edges, rows = trie.edges(nodes)
        if self._within_trie:
            gains = trie.log_p(logits, edges, rows)
        else:
            gains = _at(torch.log_softmax(logits, dim=1), rows, trie.tokens[edges])
        below, who = edges + 1, users[rows]
        some = before[who, trie.highs[below]] > before[who, trie.lows[below]]
        found = Steps(rows, trie.tokens[edges], below, trie.leaf[below], gains.double().cpu().numpy())
        return Steps(*(part[some] for part in found))


class Anything:
    """Any tokens up to a length, and at least one; only the most probable ones are looked at. A node is a depth."""

    def __init__(self, end: int, most: int, wanted: int) -> None:
        self._end, self._most, self._wanted = end, most, wanted

    def steps(self, nodes: NDArray[np.int64], users: NDArray[np.int64], logits: Tensor) -> Steps:
        """The end, or the ``wanted`` most probable tokens; behind the last one that there may be only the end."""
        n, log_p = len(nodes), torch.log_softmax(logits, dim=1)
        if nodes[0] == self._most:
            rows, tokens = np.arange(n), np.full(n, self._end)
        else:
            tokens = log_p.topk(min(self._wanted + 1, log_p.shape[1]), dim=1).indices.cpu().numpy().ravel()
            rows = np.repeat(np.arange(n), len(tokens) // n)
            some = (tokens != self._end) | (nodes[0] > 0)  # no title is empty
            rows, tokens = rows[some], tokens[some]
        gains = _at(log_p, rows, tokens).double().cpu().numpy()
        return Steps(rows, tokens, nodes[rows] + 1, tokens == self._end, gains)


def _at(log_p: Tensor, rows: NDArray[np.int64], tokens: NDArray[np.int64]) -> Tensor:
    return log_p[torch.from_numpy(rows).to(log_p.device), torch.from_numpy(tokens).to(log_p.device)]
