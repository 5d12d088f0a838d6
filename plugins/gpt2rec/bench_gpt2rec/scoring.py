"""The score of a user and an item: the product of their vectors, a small network over both, or the sum."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from bench_torchkit.pairs import add_scores
from torch import Tensor, nn

from bench_gpt2rec.config import Gpt2RecConfig

_PAIRS_AT_ONCE = 2**14
"""Pairs whose hidden layers are held at a time when ranking: 4 MiB at 64 hidden units, so they stay in the cache."""


class PartialScores(NamedTuple):
    """What the score needs of n users, or of n items, each computed once."""

    vectors: Tensor
    """(n, D)."""
    first: Tensor | None
    """(n, H): their half of the first layer, if there is a network."""
    bias: Tensor | None
    """(n,): of items, if there is a product."""

    def rows(self, chosen: Tensor) -> PartialScores:
        """Some of them."""
        first, bias = (None if part is None else part[chosen] for part in (self.first, self.bias))
        return PartialScores(self.vectors[chosen], first, bias)


class Scorer(nn.Module):
    """He et al., Neural Collaborative Filtering, WWW 2017, section 3.4: a product, layers over both vectors, or both.

    That a product is hard to beat: Rendle et al., Neural Collaborative Filtering vs. Matrix Factorization Revisited,
    RecSys 2020.
    """

    def __init__(self, config: Gpt2RecConfig, size: int, n_items: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(n_items)) if config.scorer != "mlp" else None
        self.rest: nn.Sequential | None = None
        if config.scorer == "product":
            return
        sizes = [*config.hidden_sizes, 1]
        self.user_half = nn.Linear(size, sizes[0])
        self.item_half = nn.Linear(size, sizes[0], bias=False)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.ReLU(inplace=True), nn.Linear(before, after)]
        if config.scorer == "both":  # it begins as the product alone
            nn.init.zeros_(layers[-1].weight)  # type: ignore[arg-type]
            nn.init.zeros_(layers[-1].bias)  # type: ignore[arg-type]
        self.rest = nn.Sequential(*layers)

    def users(self, vectors: Tensor) -> PartialScores:
        """For ``vectors`` (n, D) of users."""
        return PartialScores(vectors, None if self.rest is None else self.user_half(vectors), None)

    def items(self, vectors: Tensor, items: Tensor) -> PartialScores:
        """For ``vectors`` (n, D) of ``items`` (n,)."""
        first = None if self.rest is None else self.item_half(vectors)
        return PartialScores(vectors, first, None if self.bias is None else self.bias[items])

    def score_pairs(self, users: PartialScores, items: PartialScores) -> Tensor:
        """(n,): scores of user ``r`` with item ``r``."""
        found = users.vectors.new_zeros(len(users.vectors))
        if items.bias is not None:
            found = found + (users.vectors * items.vectors).sum(dim=1) + items.bias
        if self.rest is not None:
            found = found + self.rest(users.first + items.first).squeeze(-1)  # type: ignore[operator]
        return found

    def score_all(self, users: PartialScores, items: PartialScores) -> Tensor:
        """(n, m): scores of n users with m items, with gradients; a network holds (n, m, H)."""
        found = self._products(users, items)
        if users.first is not None and items.first is not None and self.rest is not None:
            found = found + self.rest(users.first[:, None] + items.first[None]).squeeze(-1)
        return found

    def score_blocks(self, users: PartialScores, items: PartialScores) -> Tensor:
        """(n, m): as :meth:`score_all`, without gradients, and few pairs at a time are held."""
        found = self._products(users, items)
        rest = self.rest
        if users.first is not None and items.first is not None and rest is not None:
            add_scores(found, users.first, items.first, lambda hidden: rest(hidden).squeeze(-1), _PAIRS_AT_ONCE)
        return found

    def _products(self, users: PartialScores, items: PartialScores) -> Tensor:
        if items.bias is None:
            return users.vectors.new_zeros(len(users.vectors), len(items.vectors))
        return torch.addmm(items.bias, users.vectors, items.vectors.T)
