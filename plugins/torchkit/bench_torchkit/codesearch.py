"""From a decoder of codes to items: beam search over the tree of all items' codes, or all items exactly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import torch
from torch import Tensor

from bench_torchkit.tree import Tree

Cache = TypeVar("Cache")


class CodeDecoder(ABC, Generic[Cache]):
    """Says how likely each code comes next, for several beginnings of each of n users."""

    @abstractmethod
    def first(self) -> tuple[Tensor, Cache]:
        """Log-probabilities (n, 1, K) of the first code, and what the next step needs."""

    @abstractmethod
    def next(self, level: int, codes: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """Log-probabilities (n, m, K) of the code of ``level`` ≥ 1, behind ``codes`` (n, m) of the level before."""

    @abstractmethod
    def reorder(self, cache: Cache, parents: Tensor) -> Cache:
        """The cache of other beginnings: ``parents`` (n, m) says which one each of them comes from."""


def beam_search(
    decoder: CodeDecoder[Cache], tree: Tree, num_beams: int, constrained: bool = True
) -> tuple[Tensor, Tensor]:
    """The best ``num_beams`` items of each of n users, searched level by level.

    Parameters
    ----------
    constrained
        Whether only beginnings that some item has are followed. Without, the K codes of each level are all followed.

    Returns
    -------
    Items (n, num_beams) int64, best first, and their log-probabilities (n, num_beams); -1 for codes of no item, which
    are found only if not ``constrained``, and with minus infinity where there are fewer items than beams.
    """
    log_probs, cache = decoder.first()
    device = log_probs.device
    nodes = torch.zeros(log_probs.shape[:2], dtype=torch.long, device=device)
    scores = torch.zeros_like(log_probs[..., 0])
    codes = nodes
    for level in range(tree.length):
        if level:
            log_probs, cache = decoder.next(level, codes, cache)
        children = torch.from_numpy(tree.children[level]).to(device)[nodes.clamp(min=0)]
        children = children.masked_fill(nodes[..., None] < 0, -1)
        reached = scores[..., None] + log_probs
        if constrained:
            reached = reached.masked_fill(children < 0, -torch.inf)
        most = tree.size(level + 1) if constrained else reached[0].numel()
        scores, at = reached.flatten(1).topk(min(num_beams, most, reached[0].numel()))
        nodes = children.flatten(1).gather(1, at).masked_fill(scores == -torch.inf, -1)
        codes = at % tree.width
        cache = decoder.reorder(cache, at // tree.width)
    items = torch.from_numpy(tree.items).to(device)[nodes.clamp(min=0)].masked_fill(nodes < 0, -1)
    short = num_beams - items.shape[1]
    return (
        torch.nn.functional.pad(items, (0, short), value=-1),
        torch.nn.functional.pad(scores, (0, short), value=-torch.inf),
    )


def exact_scores(decoder: CodeDecoder[Cache], tree: Tree) -> Tensor:
    """Log-probabilities (n, n_items) of all items: every beginning goes through the decoder once for each user."""
    log_probs, cache = decoder.first()
    device = log_probs.device
    scores = torch.zeros_like(log_probs[..., 0])
    codes = torch.zeros(scores.shape, dtype=torch.long, device=device)
    for level in range(tree.length):
        parents = torch.from_numpy(tree.parents[level]).to(device)
        labels = torch.from_numpy(tree.labels[level]).to(device)
        if level:
            log_probs, cache = decoder.next(level, codes, cache)
        scores = scores[:, parents] + log_probs[:, parents, labels]
        codes = labels.expand(len(scores), -1)
        cache = decoder.reorder(cache, parents.expand(len(scores), -1))
    return scores[:, torch.from_numpy(tree.nodes[:, -1]).to(device)]
