"""Attention over rows of sequences.

Each block takes states (R, W, d) and the rows they belong to, and returns the states (t, d) of the places ``at`` of the
flattened rows. All but the last block are asked for all places; of the last one only those that predict something are
needed, so that the costly second half of a block is left out for all others.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from bench_torchkit.dropout import Dropout
from bench_torchkit.rows import Rows


class Attention(nn.Module):
    """Multi-head attention to the place itself and earlier ones of its sequence."""

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, Dropout(dropout)
        self.inputs = nn.Linear(size, 3 * size)
        self.output = nn.Linear(size, size)

    def forward(self, x: Tensor, rows: Rows, at: Tensor) -> Tensor:
        n_rows, width, size = x.shape
        query, key, value = self.inputs(x).view(n_rows, width, 3, self.heads, size // self.heads).permute(2, 0, 3, 1, 4)
        logits = (query @ key.transpose(2, 3)) / math.sqrt(size // self.heads)
        weights = logits.masked_fill(~rows.before[:, None], -torch.inf).softmax(-1)
        found = self.dropout(weights) @ value
        out: Tensor = self.output(found.transpose(1, 2).reshape(-1, size)[at])
        return out


class FeedForward(nn.Module):
    """Two layers at each place, with a residual connection and a norm behind them."""

    def __init__(self, size: int, inner_size: int, dropout: float) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(size, inner_size), nn.Linear(inner_size, size)
        self.norm = nn.LayerNorm(size)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(x + self.dropout(self.outer(gelu(self.inner(x)))))
        return out


class SASRecBlock(nn.Module):
    """Attention and a feed-forward network (Kang and McAuley, ICDM 2018), with the norms behind, as in BERT."""

    def __init__(self, size: int, heads: int, inner_size: int, dropout: float, attention_dropout: float) -> None:
        super().__init__()
        self.attention = Attention(size, heads, attention_dropout)
        self.norm = nn.LayerNorm(size)
        self.dropout = Dropout(dropout)
        self.feed_forward = FeedForward(size, inner_size, dropout)

    def forward(self, x: Tensor, rows: Rows, at: Tensor) -> Tensor:
        attended = self.dropout(self.attention(x, rows, at))
        out: Tensor = self.feed_forward(self.norm(x.flatten(0, 1)[at] + attended))
        return out
