"""Ids, texts, their fusion, and the score."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench_gpt2rec import fusion
from bench_gpt2rec.config import Gpt2RecConfig
from bench_gpt2rec.encoder import TextEncoder, TextFeatures
from bench_gpt2rec.fusion import Fused
from bench_gpt2rec.scoring import Scorer


class Tower(nn.Module):
    """What users and items each have of their own: embeddings, fusion, and two projections that InfoNCE compares.

    ``state_size`` is that of the encoder's states, or None without texts.
    """

    def __init__(self, config: Gpt2RecConfig, n: int, state_size: int | None) -> None:
        super().__init__()
        size = config.embedding_size
        self.ids = nn.Embedding(n, size)
        nn.init.normal_(self.ids.weight, std=config.initializer_range)
        self.dropout = nn.Dropout(config.dropout)
        self.size = size
        if state_size is not None:
            self.fusion = fusion.make(config, state_size)
            self.size = self.fusion.size
            if config.contrastive_weight:
                self.from_ids = nn.Linear(size, size)
                self.from_text = nn.Sequential(nn.LayerNorm(state_size), nn.Linear(state_size, size))

    def forward(self, numbers: Tensor, features: TextFeatures | None) -> Fused:
        """Vectors of users or items ``numbers`` (n,)."""
        ids = self.ids(numbers)
        if features is None:
            return Fused(self.dropout(ids), None)
        found: Fused = self.fusion(ids, features)
        return Fused(self.dropout(found.vectors), found.attention)

    def views(self, numbers: Tensor, features: TextFeatures) -> tuple[Tensor, Tensor]:
        """The two sides of InfoNCE, both (n, d): projections of the ids, and of the texts."""
        return self.from_ids(self.ids(numbers)), self.from_text(features.mean())


class Network(nn.Module):
    """Scores users and items by ids and texts."""

    def __init__(self, config: Gpt2RecConfig, n_users: int, n_items: int, encoder: TextEncoder | None) -> None:
        super().__init__()
        state_size = None if encoder is None else encoder.hidden_size
        self.encoder = encoder
        self.users = Tower(config, n_users, state_size)
        self.items = Tower(config, n_items, state_size)
        self.scorer = Scorer(config, self.items.size, n_items)

    @property
    def device(self) -> torch.device:
        return self.items.ids.weight.device

    def without_encoder(self) -> list[nn.Parameter]:
        """All parameters but those of the language model."""
        encoder = set() if self.encoder is None else {id(parameter) for parameter in self.encoder.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in encoder]
