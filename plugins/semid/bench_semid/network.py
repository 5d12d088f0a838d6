"""From rows of tokens to states: attention to what came before."""

from __future__ import annotations

import torch
from bench_torchkit.attention import SASRecBlock
from bench_torchkit.dropout import Dropout
from bench_torchkit.rows import Rows
from torch import Tensor, nn

from bench_semid.config import SemanticConfig


class Trunk(nn.Module):
    """Blocks of SASRec over vectors of tokens and of their places."""

    def __init__(self, config: SemanticConfig, length: int) -> None:
        super().__init__()
        size = config.embedding_size
        self.places = nn.Embedding(length, size)
        self.norm = nn.LayerNorm(size)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            SASRecBlock(size, config.heads, config.inner_size, config.dropout, config.attention_dropout)
            for _ in range(config.layers)
        )

    def begin(self, tokens: Tensor, places: Tensor) -> Tensor:
        """(…, d): what goes into the first block, of tokens (…, d) at ``places`` (…)."""
        out: Tensor = self.dropout(self.norm(tokens + self.places(places)))
        return out

    def forward(self, tokens: Tensor, places: Tensor, rows: Rows, at: Tensor) -> Tensor:
        """(t, d): states of the places ``at`` (t,) of the flattened rows, of tokens (R, W, d) at ``places`` (R, W)."""
        x = self.begin(tokens, places)
        everywhere = torch.arange(rows.items.numel(), device=rows.items.device)
        for block in self.blocks[:-1]:
            x = block(x, rows, everywhere).view(x.shape)
        out: Tensor = self.blocks[-1](x, rows, at)
        return out


def initialize(module: nn.Module, initializer_range: float) -> None:
    """Normal weights, biases of 0, for all layers and tables below ``module``."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, 0.0, initializer_range)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
