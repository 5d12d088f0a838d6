"""Embeddings of the codes of an identifier, and the scores of the codes that may come next."""

from __future__ import annotations

from typing import Any

import torch
from bench_torchkit.tree import Tree
from torch import Tensor, nn
from torch.nn import functional


class Products(torch.autograd.Function):
    """Products (b, K) of each of the states (b, d) with its own rows (b, K) of a table (r, d), in their type.

    No array of (b, K, d) is made: the gradients are weighted sums of rows, "bags", and the products are what such a sum
    changes by with its weights. On a CPU that takes half the time (``benchmarks/weighted_sums.py``).
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, table: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(states, table, rows)
        with torch.inference_mode(False), torch.enable_grad():
            weights = torch.zeros(rows.shape, dtype=table.dtype, device=table.device, requires_grad=True)
            # Copies, since what an inference made is of no use to autograd. torch 2.5 wants a table with a gradient.
            table = table.detach().requires_grad_()
            bags = functional.embedding_bag(rows.clone(), table, per_sample_weights=weights, mode="sum")
            return torch.autograd.grad(bags, weights, states.detach().clone())[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        states, table, rows = ctx.saved_tensors
        of_states = functional.embedding_bag(rows, table, per_sample_weights=gradient.contiguous(), mode="sum")
        # A row of the table has met some of the states: its gradient is a bag of these.
        met, order = rows.flatten().sort(stable=True)
        begins = torch.searchsorted(met, torch.arange(len(table), device=rows.device))
        bags = order.div(rows.shape[1], rounding_mode="floor")
        of_table = functional.embedding_bag(
            bags, states, begins, per_sample_weights=gradient.flatten()[order], mode="sum"
        )
        return of_states, of_table, None


class Codebooks(nn.Module):
    """One table per position (section 3.2 of the paper), or one per prefix.

    With a table per position, code 7 of the second position has one embedding whatever the first code is. With a table
    per prefix, every node of the tree has its own, so that nodes can start from the vectors of the items below them.
    """

    def __init__(self, tree: Tree, size: int, per_prefix: bool, tied: bool, scale: float) -> None:
        super().__init__()
        self.length = tree.length
        self.codes = tree.width
        self.per_prefix = per_prefix
        self.scale = scale if tied else 1.0
        """Factor of the scores: T5 scales tied ones by d_model ** -0.5."""
        sizes = [tree.size(level) if per_prefix else tree.width for level in range(1, tree.length + 1)]
        self.inputs = nn.ModuleList(nn.Embedding(rows, size) for rows in sizes)
        self.outputs = self.inputs if tied else nn.ModuleList(nn.Embedding(rows, size) for rows in sizes)
        for level in range(tree.length):
            self.register_buffer(f"children_{level}", torch.from_numpy(tree.children[level]), persistent=False)
            self.register_buffer(f"labels_{level}", torch.from_numpy(tree.labels[level]), persistent=False)

    def children_of(self, level: int, nodes: Tensor | None) -> Tensor:
        """(…, K): node of the next level that each code leads to from ``nodes`` (…), or -1; None is the whole level."""
        table: Tensor = self.get_buffer(f"children_{level}")
        return (table if nodes is None else table[nodes]).long()

    def codes_to(self, level: int, nodes: Tensor) -> Tensor:
        """(…): the code that leads to each of ``nodes`` (…) of a level ≥ 1."""
        labels: Tensor = self.get_buffer(f"labels_{level - 1}")
        return labels[nodes]

    def embed(self, level: int, nodes: Tensor) -> Tensor:
        """(…, d): embeddings of the codes that lead to ``nodes`` (…) of a level ≥ 1."""
        index = nodes if self.per_prefix else self.codes_to(level, nodes)
        found: Tensor = self.inputs[level - 1](index)
        return found

    def log_probs(self, level: int, states: Tensor, nodes: Tensor | None) -> Tensor:
        """Log-probabilities (n, m, K) of the next code, given decoder states (n, m, d) at nodes of ``level``.

        ``nodes`` is (n, m), or None if the m candidates are all nodes of the level, in order. With a table per position
        the probability is spread over all K codes, as in training, also over those of no item. With one per prefix it
        is spread over those that some item has. A code that leads nowhere has minus infinity.
        """
        weight: Tensor = self.outputs[level].get_parameter("weight")
        states = states * self.scale
        children = self.children_of(level, nodes)
        nowhere = children < 0
        if not self.per_prefix:
            return (states @ weight.T).float().log_softmax(-1).masked_fill(nowhere, -torch.inf)
        if level == 0:
            scores = states @ functional.embedding(self.children_of(0, None)[0].clamp(min=0), weight).T
        elif nodes is None:
            table = functional.embedding(children.clamp(min=0), weight)
            scores = torch.bmm(states.transpose(0, 1), table.transpose(1, 2)).transpose(0, 1)
        else:
            rows = children.clamp(min=0).flatten(0, -2)
            found: Tensor = Products.apply(states.flatten(0, -2).to(weight.dtype), weight, rows)  # type: ignore[no-untyped-call]
            scores = found.view(children.shape)
        return scores.float().masked_fill(nowhere, -torch.inf).log_softmax(-1)
