"""How the vector of an id meets the text of the same user or item."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench_gpt2rec.config import Gpt2RecConfig
from bench_gpt2rec.encoder import States, TextFeatures


class Fused(NamedTuple):
    """Vectors of n users or items."""

    vectors: Tensor
    """(n, D)."""
    attention: Tensor | None
    """(n, heads, m, L): weight of each token of each of m documents, if the fusion is attention over tokens; they sum
    to 1 over the tokens of a row, or to 0 where a row has none."""


class Concat(nn.Module):
    """Id and text side by side."""

    def __init__(self, config: Gpt2RecConfig, state_size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(state_size)
        self.text = nn.Linear(state_size, config.embedding_size)
        self.size = 2 * config.embedding_size
        nn.init.normal_(self.text.weight, std=config.initializer_range * state_size**-0.5)
        nn.init.zeros_(self.text.bias)

    def forward(self, ids: Tensor, features: TextFeatures) -> Fused:
        """``ids`` (n, d) of users or items, and their texts."""
        text = self.text(self.norm(features.mean())) * features.mask[:, None]
        return Fused(torch.cat([ids, text], dim=1), None)


class Attention(nn.Module):
    """The id asks, the text answers: multi-head attention, residual, layer norm before (pre-norm).

    Vaswani et al., Attention Is All You Need, NeurIPS 2017, equation 1, with one query per row. With ``pooled`` there
    is one key, the mean of all texts of a row, whose weight is always 1.
    """

    def __init__(self, config: Gpt2RecConfig, state_size: int) -> None:
        super().__init__()
        self.size, inner = config.embedding_size, config.attention_size
        self.heads, self.head_size = config.heads, inner // config.heads
        self.pooled = config.fusion == "pooled"
        self.norm_ids = nn.LayerNorm(self.size)
        self.norm_states = nn.LayerNorm(state_size)
        self.query = nn.Linear(self.size, inner)
        self.key = nn.Linear(state_size, inner)
        self.value = nn.Linear(state_size, inner)
        self.out = nn.Linear(inner, self.size)
        nn.init.normal_(self.out.weight, std=config.initializer_range * inner**-0.5)
        nn.init.zeros_(self.out.bias)

    def forward(self, ids: Tensor, features: TextFeatures) -> Fused:
        """See :meth:`Concat.forward`."""
        states, documents = features
        if self.pooled:
            states = States(features.mean()[:, None], features.mask[:, None])
            documents = torch.arange(len(ids), device=ids.device)[:, None]
        n, m = documents.shape
        length = states.mask.shape[1]
        normed = self.norm_states(states.tokens)
        at = documents.clamp(min=0)
        # Projected once per document, not once per row that has it.
        keys = self.key(normed)[at].view(n, m * length, self.heads, self.head_size)
        values = self.value(normed)[at].view(n, m * length, self.heads, self.head_size)
        mask = (states.mask[at] & (documents >= 0)[..., None]).view(n, m * length, 1)
        queries = self.query(self.norm_ids(ids)).view(n, 1, self.heads, self.head_size)
        # With one query per row, sums of products are faster than a product of matrices for each row and head.
        logits = (keys * queries).sum(dim=-1) * self.head_size**-0.5
        # The lowest number and not minus infinity: a row without a token would be 0 / 0. Its weights are 0.
        lowest = torch.finfo(logits.dtype).min
        weights = logits.masked_fill(~mask, lowest).softmax(dim=1).masked_fill(~mask, 0.0)
        answer = (weights[..., None] * values).sum(dim=1).flatten(1)
        attention = None if self.pooled else weights.view(n, m, length, self.heads).permute(0, 3, 1, 2)
        return Fused(ids + self.out(answer) * mask.any(dim=1), attention)


def make(config: Gpt2RecConfig, state_size: int) -> Concat | Attention:
    """The fusion that ``config`` asks for."""
    return Concat(config, state_size) if config.fusion == "concat" else Attention(config, state_size)
