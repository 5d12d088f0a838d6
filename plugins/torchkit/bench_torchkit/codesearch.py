"""From a decoder of codes to items: beam search over the tree of all items' codes, or all items exactly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from bench import Interactions
from bench_torchkit.tree import Tree

Cache = TypeVar("Cache")


class CodeDecoder(ABC, Generic[Cache]):
    """Says how likely each code comes next, for several beginnings of each of n users."""

    @abstractmethod
    def first(self) -> tuple[Tensor, Cache]:
        """Log-probabilities (n, 1, K) of the first code, and what the next step needs."""

    @abstractmethod
    def next(self, level: int, codes: Tensor, nodes: Tensor | None, cache: Cache) -> tuple[Tensor, Cache]:
        """Log-probabilities (n, m, K) of the code of ``level`` ≥ 1, behind ``codes`` (n, m) of the level before.

        These led to ``nodes`` (n, m) of the tree, 0 where they led to none; or, if None, to all of the level, in order.
        """

    @abstractmethod
    def reorder(self, cache: Cache, parents: Tensor) -> Cache:
        """The cache of other beginnings: ``parents`` says which each comes from, (n, m), or (m,) for all users."""


def closed(tree: Tree, exclude: Interactions, device: torch.device | str) -> list[Tensor]:
    """For each level ≥ 1, at t - 1, (n, nodes of t) bool: below which nodes there are only items of ``exclude``."""
    users, nodes = exclude.users, tree.nodes[exclude.items, tree.length]
    found = []
    for level in range(tree.length, 0, -1):
        size = tree.size(level)
        below, counts = np.unique(users * size + nodes, return_counts=True)
        if level < tree.length:
            below = below[counts == np.bincount(tree.parents[level], minlength=size)[below % size]]
        mask = torch.zeros(exclude.n_users * size, dtype=torch.bool, device=device)
        mask[torch.from_numpy(below).to(device)] = True
        found.append(mask.view(-1, size))
        users, nodes = below // size, tree.parents[level - 1][below % size]
    return found[::-1]


def beam_search(
    decoder: CodeDecoder[Cache],
    tree: Tree,
    num_beams: int,
    exclude: Interactions | None = None,
    constrained: bool = True,
) -> tuple[Tensor, Tensor]:
    """The best ``num_beams`` items of each of n users, searched level by level.

    Parameters
    ----------
    exclude
        n rows of items that are not searched for. They are left out inside the tree: a beginning with nothing else
        below it takes no beam, so that there are ``num_beams`` other items wherever the tree has as many.
    constrained
        Whether only beginnings that some item has are followed. Without, the K codes of each level are all followed.

    Returns
    -------
    Items (n, num_beams) int64, best first, and their log-probabilities (n, num_beams); -1 for codes of no item, which
    are found only if not ``constrained``, and with minus infinity where there are fewer items than beams.

    Raises
    ------
    ValueError
        If a score is not a number, as :func:`bench.rank` does.
    """
    log_probs, cache = decoder.first()
    device = log_probs.device
    shut = [] if exclude is None else closed(tree, exclude, device)
    there = tree.on(device)
    nodes = torch.zeros(log_probs.shape[:2], dtype=torch.long, device=device)
    scores = torch.zeros_like(log_probs[..., 0])
    at = nodes
    for level in range(tree.length):
        if level:
            cache = decoder.reorder(cache, at // tree.width)
            log_probs, cache = decoder.next(level, at % tree.width, nodes.clamp(min=0), cache)
        children = there.children[level][nodes.clamp(min=0)].long()
        children = children.masked_fill(nodes[..., None] < 0, -1).flatten(1)
        reached = (scores[..., None] + log_probs).flatten(1)
        if constrained:
            reached = reached.masked_fill(children < 0, -torch.inf)
        if shut:
            reached = reached.masked_fill(shut[level].gather(1, children.clamp(min=0)) & (children >= 0), -torch.inf)
        most = tree.size(level + 1) if constrained else reached.shape[1]
        scores, at = reached.topk(min(num_beams, most, reached.shape[1]))
        nodes = children.gather(1, at).masked_fill(scores == -torch.inf, -1)
    if bad := int(scores.isnan().any(1).sum()):
        raise ValueError(f"scores of {bad} of {len(scores)} users are not numbers (NaN): the model diverged")
    items = there.items[nodes.clamp(min=0)].masked_fill(nodes < 0, -1)
    short = num_beams - items.shape[1]
    return (
        torch.nn.functional.pad(items, (0, short), value=-1),
        torch.nn.functional.pad(scores, (0, short), value=-torch.inf),
    )


def exact_scores(decoder: CodeDecoder[Cache], tree: Tree) -> Tensor:
    """Log-probabilities (n, n_items) of all items: every beginning goes through the decoder once for each user."""
    log_probs, cache = decoder.first()
    there = tree.on(log_probs.device)
    scores = torch.zeros_like(log_probs[..., 0])
    parents = labels = torch.zeros(1, dtype=torch.long, device=log_probs.device)
    for level in range(tree.length):
        if level:
            cache = decoder.reorder(cache, parents)
            log_probs, cache = decoder.next(level, labels.expand(len(scores), -1), None, cache)
        parents, labels = there.parents[level], there.labels[level]
        scores = scores[:, parents] + log_probs[:, parents, labels]
    return scores[:, there.leaves]
