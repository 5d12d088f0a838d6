"""How the vector of an id meets the text of the same user or item."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench_gpt2rec.config import Gpt2RecConfig
from bench_gpt2rec.reader import States


class Fused(NamedTuple):
    """Vectors of n users or items."""

    vectors: Tensor
    """(n, D)."""
    attention: Tensor | None
    """(n, heads, m, L): weight of each token of each of m documents, if the fusion is attention over tokens; they sum
    to 1 over the tokens of a row, or to 0 where a row has none."""


def mean_of(states: States, documents: Tensor) -> Tensor:
    """(n, h): mean of the means of the ``documents`` (n, m) of each row, −1 where there is none; 0 without any."""
    there = (documents >= 0).to(states.tokens.dtype)
    weights = there / there.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.einsum("nm,nmh->nh", weights, states.mean()[documents.clamp(min=0)])


class Concat(nn.Module):
    """Id and text side by side."""

    def __init__(self, config: Gpt2RecConfig, state_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(state_width)
        self.text = nn.Linear(state_width, config.width)
        self.width = 2 * config.width
        nn.init.normal_(self.text.weight, std=config.start_scale * state_width**-0.5)
        nn.init.zeros_(self.text.bias)

    def forward(self, ids: Tensor, states: States, documents: Tensor) -> Fused:
        """``ids`` (n, d), states of D documents, ``documents`` (n, m) of these, −1 where there are fewer."""
        there = (documents >= 0).any(dim=1, keepdim=True)
        text = self.text(self.norm(mean_of(states, documents))) * there
        return Fused(torch.cat([ids, text], dim=1), None)


class Attention(nn.Module):
    """The id asks, the text answers: multi-head attention, residual, layer norm before (pre-norm).

    Vaswani et al., Attention Is All You Need, NeurIPS 2017, equation 1, with one query per row. With ``pooled`` there
    is one key, the mean of all texts of a row, whose weight is always 1.
    """

    def __init__(self, config: Gpt2RecConfig, state_width: int) -> None:
        super().__init__()
        self.width = width = config.width
        self.heads = config.heads
        self.pooled = config.fusion == "pooled"
        self.norm_ids = nn.LayerNorm(width)
        self.norm_states = nn.LayerNorm(state_width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(state_width, width)
        self.value = nn.Linear(state_width, width)
        self.out = nn.Linear(width, width)
        nn.init.normal_(self.out.weight, std=config.start_scale * width**-0.5)
        nn.init.zeros_(self.out.bias)

    def forward(self, ids: Tensor, states: States, documents: Tensor) -> Fused:
        """See :meth:`Concat.forward`."""
        if self.pooled:
            states = States(mean_of(states, documents)[:, None], (documents >= 0).any(dim=1, keepdim=True))
            documents = torch.arange(len(ids), device=ids.device)[:, None]
        n, m = documents.shape
        length = states.mask.shape[1]
        normed = self.norm_states(states.tokens)
        at = documents.clamp(min=0)
        # Projected once per document, not once per row that has it.
        keys = self.key(normed)[at].view(n, m * length, self.heads, -1)
        values = self.value(normed)[at].view(n, m * length, self.heads, -1)
        mask = (states.mask[at] & (documents >= 0)[..., None]).view(n, 1, m * length)
        queries = self.query(self.norm_ids(ids)).view(n, self.heads, -1)
        logits = torch.einsum("nhc,nkhc->nhk", queries, keys) * queries.shape[-1] ** -0.5
        # A row without a token has no soft-max: its weights are 0.
        weights = logits.masked_fill(~mask, -torch.inf).softmax(dim=-1).masked_fill(~mask, 0.0)
        answer = torch.einsum("nhk,nkhc->nhc", weights, values).reshape(n, self.width)
        there = mask.any(dim=-1)
        attention = None if self.pooled else weights.view(n, self.heads, m, length)
        return Fused(ids + self.out(answer) * there, attention)


def make(config: Gpt2RecConfig, state_width: int) -> Concat | Attention:
    """The fusion that ``config`` asks for."""
    return Concat(config, state_width) if config.fusion == "concat" else Attention(config, state_width)
