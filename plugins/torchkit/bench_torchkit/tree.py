"""The prefix tree of the codes of all items, as arrays for a search over many users at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class OnDevice(NamedTuple):
    """What a search reads of a :class:`Tree`, on one device; as there."""

    children: list[Tensor]
    parents: list[Tensor]
    labels: list[Tensor]
    items: Tensor
    leaves: Tensor
    """(n_items,) int64: the leaf of each item."""


@dataclass(frozen=True)
class Tree:
    """Nodes of one level are numbered in the order of their prefixes; level 0 is the root, the last the leaves."""

    codes: NDArray[np.int32]
    """(n_items, length): the identifiers."""
    width: int
    """Codes per position (K)."""
    children: list[NDArray[np.int32]]
    """For each level t < length (n_nodes of t, K): the node of level t + 1 that a code leads to, or -1."""
    nodes: NDArray[np.int64]
    """(n_items, length + 1): the nodes on the way to an item, from the root."""
    parents: list[NDArray[np.int64]]
    """For each level t ≥ 1, at t - 1, (n_nodes of t,): the node of level t - 1 above."""
    labels: list[NDArray[np.int64]]
    """For each level t ≥ 1, at t - 1, (n_nodes of t,): the code that leads to the node from its parent."""
    items: NDArray[np.int64]
    """(n_items,): item of each leaf."""
    _copies: dict[str, OnDevice] = field(default_factory=dict, repr=False, compare=False)

    def on(self, device: torch.device | str) -> OnDevice:
        """A copy there, made once; on a CPU it is no copy."""
        if (found := self._copies.get(str(device))) is None:
            tables = (self.children, self.parents, self.labels)
            children, parents, labels = ([torch.from_numpy(level).to(device) for level in table] for table in tables)
            items, leaves = (torch.from_numpy(part).to(device) for part in (self.items, self.nodes[:, -1]))
            found = self._copies[str(device)] = OnDevice(children, parents, labels, items, leaves)
        return found

    @property
    def length(self) -> int:
        return int(self.codes.shape[1])

    def size(self, level: int) -> int:
        """Number of nodes of a level."""
        return 1 if level == 0 else len(self.parents[level - 1])


def tree(codes: NDArray[np.int32], width: int) -> Tree:
    """The tree of ``codes`` (n_items, length), each row unique and between 0 and ``width`` - 1."""
    n, length = codes.shape
    nodes = np.zeros((n, length + 1), np.int64)
    children: list[NDArray[np.int32]] = []
    parents: list[NDArray[np.int64]] = []
    labels: list[NDArray[np.int64]] = []
    for level in range(length):
        edges = nodes[:, level] * width + codes[:, level].astype(np.int64)
        found, nodes[:, level + 1] = np.unique(edges, return_inverse=True)
        table = np.full((int(nodes[:, level].max()) + 1) * width, -1, np.int32)
        table[found] = np.arange(len(found))
        children.append(table.reshape(-1, width))
        parents.append(found // width)
        labels.append(found % width)
    items = np.zeros(n, np.int64)
    items[nodes[:, length]] = np.arange(n)
    return Tree(codes, width, children, nodes, parents, labels, items)
