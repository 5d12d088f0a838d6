"""One stack that reads the tokens of a history and goes on with those of the next item."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from bench_torchkit.codesearch import CodeDecoder
from bench_torchkit.rows import Rows
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench_semid.config import TigerConfig
from bench_semid.network import Trunk, initialize
from bench_semid.tiger.tokens import TokenBatch


class Beginnings(NamedTuple):
    """What is kept of the codes so far of m beginnings of each of n users."""

    total: Tensor | None
    """(n, m, d): sum of their vectors; None before the first code."""
    blocks: list[tuple[Tensor, Tensor]]
    """For each block, keys and values (n, m, heads, steps, d / heads)."""


class DecoderOnly(nn.Module):
    """A table of tokens, a trunk, and a layer for each level that says how likely each of its codes comes next.

    A token is the sum of the vectors of its code and of those before it in its item, and its place is that of the item.
    So the last token of an item stands for all of it, and no block has to learn which tokens belong together.
    """

    def __init__(self, config: TigerConfig, levels: int, width: int) -> None:
        super().__init__()
        self.levels, self.width = levels, width
        # A row more for the places of a batch that hold nothing.
        self.tokens = nn.Embedding(levels * width + 1, config.embedding_size)
        self.trunk = Trunk(config, config.max_length + 1)
        self.heads = nn.ModuleList(nn.Linear(config.embedding_size, width) for _ in range(levels))
        initialize(self, config.initializer_range)

    def begin_at(self, tables: NDArray[np.float32]) -> None:
        """Let the vectors of tokens begin at ``tables`` (m, values, d); those of the numbers stay random."""
        with torch.no_grad():
            for level, table in enumerate(torch.from_numpy(tables)):
                self.tokens.weight[level * self.width : level * self.width + len(table)] = table

    def states(self, rows: Rows, at: Tensor) -> Tensor:
        """(t, d): of the places ``at`` (t,) of the flattened rows."""
        out: Tensor = self.trunk(self.sums(rows), rows.places // self.levels, rows, at)
        return out

    def sums(self, rows: Rows) -> Tensor:
        """(R, W, d): of the tokens of an item up to each."""
        vectors: Tensor = self.tokens(rows.items)
        level, found = (rows.places % self.levels)[..., None], vectors
        for back in range(1, self.levels):
            earlier = nn.functional.pad(vectors, (0, 0, back, 0))[:, : vectors.shape[1]]
            found = found + earlier * (level >= back)
        return found

    def log_likelihoods(self, batch: TokenBatch) -> Tensor:
        """(t, levels): log-probability of each code of the targets, behind all tokens before it."""
        states = self.states(batch.rows, batch.at).view(-1, self.levels, self.tokens.embedding_dim)
        logits = torch.stack([head(states[:, level]) for level, head in enumerate(self.heads)], 1)
        return -cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="none").view_as(batch.targets)

    def decoder(self, rows: Rows) -> Continuation:
        """Of n users, whose histories are ``rows``, one a row."""
        return Continuation(self, rows)


class History(NamedTuple):
    """What the blocks have made of the histories of n users."""

    keys: list[Tensor]
    """For each block (n, heads, W, d / heads)."""
    values: list[Tensor]
    """For each block (n, heads, W, d / heads)."""
    mask: Tensor
    """(n, 1, 1, W): 0 where there is a token, minus infinity where there is none."""
    n_items: Tensor
    """(n,): items."""
    last: Tensor
    """(n, d): states of the last token."""


class Continuation(CodeDecoder[Beginnings]):
    """Goes on from histories whose keys and values are computed once, however many beginnings there are."""

    def __init__(self, network: DecoderOnly, rows: Rows) -> None:
        self.network = network
        self.history = _read(network, rows)

    def first(self) -> tuple[Tensor, Beginnings]:
        """From the state of the last token."""
        return self.network.heads[0](self.history.last[:, None]).float().log_softmax(-1), Beginnings(None, [])

    def next(self, level: int, codes: Tensor, nodes: Tensor | None, cache: Beginnings) -> tuple[Tensor, Beginnings]:
        """One more token for each beginning."""
        network = self.network
        total: Tensor = network.tokens(codes + (level - 1) * network.width)
        if cache.total is not None:
            total = total + cache.total
        x = network.trunk.begin(total, self.history.n_items[:, None])
        kept: list[tuple[Tensor, Tensor]] = []
        block: Any
        for number, block in enumerate(network.trunk.blocks):
            query, key, value = _split(block.attention, x)
            keys, values = key.unsqueeze(3), value.unsqueeze(3)
            if cache.blocks:
                before = cache.blocks[number]
                keys, values = torch.cat([before[0], keys], 3), torch.cat([before[1], values], 3)
            kept.append((keys, values))
            x = block.feed_forward(block.norm(x + self._attention(block.attention, number, query, keys, values)))
        return network.heads[level](x).float().log_softmax(-1), Beginnings(total, kept)

    def _attention(self, attention: Any, number: int, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(n, m, d): of ``query`` (n, m, heads, d / heads) to the history and to the codes of its own beginning."""
        history, scale = self.history, query.shape[-1] ** -0.5
        before = query.transpose(1, 2) @ history.keys[number].transpose(2, 3) * scale + history.mask
        own = (keys @ query.unsqueeze(-1)).squeeze(-1).transpose(1, 2) * scale
        weights = torch.cat([before, own], 3).softmax(-1)
        width = before.shape[3]
        found = (weights[..., :width] @ history.values[number]).transpose(1, 2)
        found = found + (weights[..., width:].transpose(1, 2).unsqueeze(3) @ values).squeeze(3)
        out: Tensor = attention.output(found.flatten(2))
        return out

    def reorder(self, cache: Beginnings, parents: Tensor) -> Beginnings:
        """By rows of the beginnings."""
        if cache.total is None:
            return cache
        rows = torch.arange(len(cache.total), device=parents.device)[:, None]
        blocks = [(keys[rows, parents], values[rows, parents]) for keys, values in cache.blocks]
        return Beginnings(cache.total[rows, parents], blocks)


def _split(attention: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key, value (…, heads, d / heads) of states (…, d)."""
    query, key, value = attention.inputs(x).unflatten(-1, (3, attention.heads, -1)).unbind(-3)
    return query, key, value


def _read(network: DecoderOnly, rows: Rows) -> History:
    trunk = network.trunk
    x = trunk.begin(network.sums(rows), rows.places // network.levels)
    everywhere = torch.arange(rows.items.numel(), device=x.device)
    keys, values = [], []
    for block in trunk.blocks:
        _, key, value = _split(block.attention, x)
        keys.append(key.transpose(1, 2))
        values.append(value.transpose(1, 2))
        x = block(x, rows, everywhere).view(x.shape)
    inside = rows.segments >= 0
    mask = torch.zeros(inside.shape, device=x.device).masked_fill(~inside, -torch.inf)[:, None, None]
    return History(keys, values, mask, inside.sum(1) // network.levels, x.flatten(0, 1)[rows.last])
