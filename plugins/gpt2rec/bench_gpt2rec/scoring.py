"""The score of a user and an item: the product of their vectors, a small network over both, or the sum.

The first layer of the network sees [user, item] side by side, so it is the sum of a half for users and a half for
items. Each half is computed once per user and once per item; what is left for a pair is a sum, and the layers above.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench_gpt2rec.config import Gpt2RecConfig

_PAIRS_AT_ONCE = 2**14
"""Pairs whose hidden layers are held at a time when ranking: 4 MiB at 64 hidden units, so they stay in the cache."""


class Halves(NamedTuple):
    """All that the score needs of n users, or of n items."""

    vectors: Tensor
    """(n, D)."""
    first: Tensor | None
    """(n, H): their half of the first layer, if there is a network."""
    bias: Tensor | None
    """(n,): of items, if there is a product."""

    def rows(self, chosen: Tensor) -> Halves:
        """Some of them."""
        first, bias = (None if part is None else part[chosen] for part in (self.first, self.bias))
        return Halves(self.vectors[chosen], first, bias)


class Scorer(nn.Module):
    """He et al., Neural Collaborative Filtering, WWW 2017, section 3.4: a product, layers over both vectors, or both.

    That a product is hard to beat: Rendle et al., Neural Collaborative Filtering vs. Matrix Factorization Revisited,
    RecSys 2020.
    """

    def __init__(self, config: Gpt2RecConfig, width: int, n_items: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(n_items)) if config.head != "mlp" else None
        self.rest: nn.Sequential | None = None
        if config.head == "product":
            return
        sizes = [*config.hidden, 1]
        self.user_half = nn.Linear(width, sizes[0])
        self.item_half = nn.Linear(width, sizes[0], bias=False)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.ReLU(inplace=True), nn.Linear(before, after)]
        if config.head == "both":  # it begins as the product alone
            nn.init.zeros_(layers[-1].weight)  # type: ignore[arg-type]
            nn.init.zeros_(layers[-1].bias)  # type: ignore[arg-type]
        self.rest = nn.Sequential(*layers)

    def users(self, vectors: Tensor) -> Halves:
        """For ``vectors`` (n, D) of users."""
        return Halves(vectors, None if self.rest is None else self.user_half(vectors), None)

    def items(self, vectors: Tensor, items: Tensor) -> Halves:
        """For ``vectors`` (n, D) of ``items`` (n,)."""
        first = None if self.rest is None else self.item_half(vectors)
        return Halves(vectors, first, None if self.bias is None else self.bias[items])

    def pairs(self, users: Halves, items: Halves) -> Tensor:
        """(n,): scores of user ``r`` with item ``r``."""
        found = users.vectors.new_zeros(len(users.vectors))
        if items.bias is not None:
            found = found + (users.vectors * items.vectors).sum(dim=1) + items.bias
        if self.rest is not None:
            found = found + self.rest(users.first + items.first).squeeze(-1)  # type: ignore[operator]
        return found

    def every(self, users: Halves, items: Halves) -> Tensor:
        """(n, m): scores of n users with m items, with gradients; a network holds (n, m, H)."""
        found = self._products(users, items)
        if users.first is not None and items.first is not None and self.rest is not None:
            found = found + self.rest(users.first[:, None] + items.first[None]).squeeze(-1)
        return found

    def rank(self, users: Halves, items: Halves) -> Tensor:
        """(n, m): as :meth:`every`, without gradients, and few pairs at a time are held."""
        found = self._products(users, items)
        if users.first is None or items.first is None or self.rest is None:
            return found
        n, m = found.shape
        width = max(1, min(m, _PAIRS_AT_ONCE))
        rows = max(1, _PAIRS_AT_ONCE // width)
        for column in range(0, m, width):
            second = items.first[column : column + width]
            for row in range(0, n, rows):
                hidden = users.first[row : row + rows, None] + second[None]
                found[row : row + rows, column : column + width] += self.rest(hidden).squeeze(-1)
        return found

    def _products(self, users: Halves, items: Halves) -> Tensor:
        if items.bias is None:
            return users.vectors.new_zeros(len(users.vectors), len(items.vectors))
        return torch.addmm(items.bias, users.vectors, items.vectors.T)
