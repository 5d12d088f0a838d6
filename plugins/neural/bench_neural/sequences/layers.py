"""Blocks over rows of sequences, as in :mod:`bench_torchkit.attention`: of HSTU, and of BSARec with its filter."""

from __future__ import annotations

import math

import torch
from bench_torchkit.attention import Attention, FeedForward
from bench_torchkit.dropout import Dropout
from bench_torchkit.rows import TIME_BUCKETS, Rows
from torch import Tensor, nn
from torch.nn.functional import layer_norm, silu


class LowPass(nn.Module):
    """The slow part of each sequence, and of the quick part what a learnt weight for each dimension lets through.

    Shin et al., BSARec: An Attentive Inductive Bias for Sequential Recommendation beyond the Self-Attention, AAAI 2024,
    equations 6 to 9. The paper transforms sequences that are padded to L places. Leaving all but the lowest frequencies
    out is a convolution over these L places, whose kernel is made here; padding counts as 0.
    """

    kernel: Tensor

    def __init__(self, size: int, length: int, frequencies: int, dropout: float) -> None:
        super().__init__()
        k = torch.arange(1, min(frequencies, length // 2 + 1), dtype=torch.float64)
        distance = torch.arange(length, dtype=torch.float64)
        waves = torch.cos(2 * math.pi * k[:, None] * distance / length)
        weight = torch.where(2 * k == length, 1.0, 2.0)  # the highest frequency of an even length has no partner
        kernel = (1 + (weight[:, None] * waves).sum(0)) / length
        self.register_buffer("kernel", kernel.float(), persistent=False)
        self.high = nn.Parameter(torch.randn(size))
        self.norm = nn.LayerNorm(size)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, rows: Rows, at: Tensor) -> Tensor:
        place = torch.arange(x.shape[1], device=x.device)
        weights = self.kernel[(place[:, None] - place).abs()] * rows.together
        low = (weights @ x).flatten(0, 1)[at]
        x = x.flatten(0, 1)[at]
        out: Tensor = self.norm(x + self.dropout(low + self.high.square() * (x - low)))
        return out


class BSARecBlock(nn.Module):
    """The mean of a filter, with weight ``filter_share``, and of attention; then a feed-forward network."""

    def __init__(
        self,
        size: int,
        heads: int,
        inner_size: int,
        dropout: float,
        attention_dropout: float,
        *,
        length: int,
        frequencies: int,
        filter_share: float,
    ) -> None:
        super().__init__()
        self.attention = Attention(size, heads, attention_dropout)
        self.norm = nn.LayerNorm(size)
        self.dropout = Dropout(dropout)
        self.filter = LowPass(size, length, frequencies, dropout)
        self.feed_forward = FeedForward(size, inner_size, dropout)
        self.share = filter_share

    def forward(self, x: Tensor, rows: Rows, at: Tensor) -> Tensor:
        attended = self.norm(x.flatten(0, 1)[at] + self.dropout(self.attention(x, rows, at)))
        out: Tensor = self.feed_forward(self.share * self.filter(x, rows, at) + (1 - self.share) * attended)
        return out


class HSTUBlock(nn.Module):
    """Attention without soft-max, gated (Zhai et al., HSTU, ICML 2024, equations 1 to 3).

    The weights SiLU(query · key + bias) are divided by ``length``; the bias has a part for the distance in places and
    one for the distance in time, from the time of a place or, with ``to_next``, from that of the place behind it.
    """

    def __init__(
        self, size: int, heads: int, head_size: int, dropout: float, length: int, *, to_next: bool = False
    ) -> None:
        super().__init__()
        self.heads, self.inner, self.length, self.to_next = heads, heads * head_size, length, to_next
        self.norm = nn.LayerNorm(size)
        self.inputs = nn.Linear(size, 4 * self.inner)
        self.output = nn.Linear(self.inner, size)
        self.dropout = Dropout(dropout)
        self.by_distance = nn.Parameter(torch.zeros(length))
        self.by_time = nn.Parameter(torch.zeros(TIME_BUCKETS))

    def bias(self, rows: Rows) -> Tensor:
        """(R, W, W): of a place, seen from a later one of its sequence."""
        width = rows.items.shape[1]
        place = torch.arange(width, device=rows.items.device)
        distance = (place[:, None] - place).clamp(0, self.length - 1)
        buckets = rows.time_buckets_of_next if self.to_next else rows.time_buckets
        return self.by_distance[distance] + self.by_time[buckets]

    def forward(self, x: Tensor, rows: Rows, at: Tensor) -> Tensor:
        n_rows, width, _ = x.shape
        parts = silu(self.inputs(self.norm(x))).view(n_rows, width, 4, self.heads, self.inner // self.heads)
        gate, value, query, key = parts.permute(2, 0, 3, 1, 4)
        weights = silu(query @ key.transpose(2, 3) + self.bias(rows)[:, None]) * rows.before[:, None] / self.length
        found = (weights @ value).transpose(1, 2).reshape(-1, self.inner)[at]
        gate = gate.transpose(1, 2).reshape(-1, self.inner)[at]
        gated = self.output(self.dropout(layer_norm(found, (self.inner,)) * gate))
        out: Tensor = x.flatten(0, 1)[at] + self.dropout(gated)
        return out
