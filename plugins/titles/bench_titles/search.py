"""Search for the titles that a language model finds most probable behind a history.

A history is read once, and its keys and values serve all of its beams: the beams of a user stand side by side as one
row of new tokens, and a mask says to each which of the tokens before it are its own. So nothing is copied or moved when
beams are chosen, and any causal model of ``transformers`` that takes such a mask will do.

The score of a title is the logarithm of its probability, its end included, with no division by its length.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from bench_torchkit.ragged import pointers, within
from numpy.typing import NDArray
from torch import Tensor

from bench_titles.backbone import Writer
from bench_titles.trie import Grammar


class Prompts(NamedTuple):
    """n beginnings, each the end of a title and then whole titles with their ends."""

    ids: NDArray[np.int64]
    """(n, L): the tokens of a row stand at its end."""
    mask: NDArray[np.bool_]
    """(n, L): where there are some."""


class Beams(NamedTuple):
    """Beginnings of titles, or whole ones, of some users; m of them, those of a user together and best first."""

    users: NDArray[np.int64]
    """(m,): rows of the prompts, ascending."""
    scores: NDArray[np.float64]
    """(m,): log-probabilities."""
    nodes: NDArray[np.int64]
    """(m,): where the grammar has come to."""
    tokens: NDArray[np.int64]
    """(m, depth): what was written, −1 behind the end of a title."""
    columns: NDArray[np.int64]
    """(m, depth): where the keys and values of each token stand, from the first token behind the prompts."""
    ends: NDArray[np.bool_]
    """(m,): whether the title is whole."""

    def where(self, chosen: NDArray[Any]) -> Beams:
        """Some of them."""
        return Beams(*(part[chosen] for part in self))


def search(writer: Writer, prompts: Prompts, grammar: Grammar, num_beams: int) -> Beams:
    """The ``num_beams`` most probable titles of each prompt, or as many as ``grammar`` allows.

    It is exact where no more beginnings than that have to be followed; otherwise an unlikely beginning may hide a
    likely title, as in every beam search.
    """
    users = np.arange(len(prompts.ids))
    none = np.zeros((len(users), 0), np.int64)
    live = Beams(users, np.zeros(len(users)), np.zeros(len(users), np.int64), none, none, np.zeros(len(users), bool))
    whole = live.where(users[:0])
    reader = _Reader(writer, prompts)
    logits = reader.prompts()
    while len(live.users):
        steps = grammar.steps(live.nodes, live.users, logits)
        longer = Beams(
            live.users[steps.rows],
            live.scores[steps.rows] + steps.gains,
            steps.nodes,
            np.column_stack([live.tokens[steps.rows], steps.tokens]),
            np.column_stack([live.columns[steps.rows], np.full(len(steps.rows), -1)]),
            steps.ends,
        )
        padding = np.full((len(whole.users), 1), -1)
        whole = whole._replace(tokens=np.hstack([whole.tokens, padding]), columns=np.hstack([whole.columns, padding]))
        best = _best(Beams(*(np.concatenate(parts) for parts in zip(whole, longer, strict=True))), num_beams)
        whole, live = best.where(best.ends), best.where(~best.ends)
        if len(live.users):
            logits = reader.step(live)
    return whole


def _best(beams: Beams, num_beams: int) -> Beams:
    """The best ``num_beams`` of each user; of equals, what stands first."""
    ordered = beams.where(np.lexsort((-beams.scores, beams.users)))
    counts = np.bincount(ordered.users, minlength=1)
    return ordered.where(within(counts) < num_beams)


class _Reader:
    """Reads tokens behind prompts, and says what may come next."""

    def __init__(self, writer: Writer, prompts: Prompts) -> None:
        from transformers import DynamicCache

        self._writer = writer
        self._ids = torch.from_numpy(prompts.ids).to(writer.device)
        self._mask = torch.from_numpy(prompts.mask).to(writer.device)
        self._lengths = self._mask.sum(dim=1)
        self._cache = DynamicCache(config=writer.model.config)
        self._read = 0
        """Tokens of a row behind the prompt that were read."""

    def prompts(self) -> Tensor:
        """(n, V): logits of the first token."""
        length = self._ids.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=self._ids.device).tril()
        itself = torch.eye(length, dtype=torch.bool, device=self._ids.device)
        mask = (causal & self._mask[:, None]) | itself  # what stands before a prompt has to look at something
        positions = (torch.arange(length, device=self._ids.device) - length + self._lengths[:, None]).clamp(min=0)
        return self._writer.logits(self._states(self._ids, mask, positions)[:, -1]).float()

    def step(self, live: Beams) -> Tensor:
        """(m, V): logits of what follows the last token of each of m beams, whose column is now known."""
        n, device = len(self._ids), self._ids.device
        counts = np.bincount(live.users, minlength=n)
        place, width = within(counts), int(counts.max())
        live.columns[:, -1] = self._read + place
        ids = np.full((n, width), self._writer.end)
        ids[live.users, place] = live.tokens[:, -1]
        mask = torch.zeros(n, width, self._mask.shape[1] + self._read + width, dtype=torch.bool)
        mask[:, :, : self._mask.shape[1]] = self._mask.cpu()[:, None]
        own = torch.from_numpy(live.columns) + self._mask.shape[1]
        mask[torch.from_numpy(live.users)[:, None], torch.from_numpy(place)[:, None], own] = True
        depth = live.columns.shape[1] - 1
        positions = (self._lengths[:, None] + depth).expand(n, width)
        self._read += width
        states = self._states(torch.from_numpy(ids).to(device), mask.to(device), positions)
        states = states[torch.from_numpy(live.users).to(device), torch.from_numpy(place).to(device)]
        return self._writer.logits(states).float()

    def _states(self, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        return self._writer.states(
            ids, attention_mask=mask[:, None], position_ids=positions, past_key_values=self._cache, use_cache=True
        )


def prompts_of(
    indptr: NDArray[np.int64], titles: NDArray[np.int64], tokens: NDArray[np.int64], ends: NDArray[np.int64], end: int
) -> Prompts:
    """Of n histories: row r is the titles ``titles[indptr[r]:indptr[r + 1]]``, oldest first.

    ``tokens`` are those of all titles, and those of title t end before ``ends[t + 1]`` and begin at ``ends[t]``.
    """
    sizes = (np.diff(ends)[titles] + 1).astype(np.int64)
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    lengths = 1 + np.bincount(rows, sizes, len(indptr) - 1).astype(np.int64)
    longest = int(lengths.max(initial=1))
    ids = np.full((len(lengths), longest), end, np.int64)
    place = pointers(sizes)
    flat = np.full(int(place[-1]), end, np.int64)
    inside = within(sizes) < np.repeat(sizes - 1, sizes)
    flat[inside] = tokens[(np.repeat(ends[titles], sizes) + within(sizes))[inside]]
    mask = np.arange(longest) >= longest - lengths[:, None]
    behind = mask & (np.arange(longest) > longest - lengths[:, None])
    ids[behind] = flat
    return Prompts(ids, mask)
