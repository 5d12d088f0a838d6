"""Ids, texts, their fusion, and the score."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench_gpt2rec import fusion
from bench_gpt2rec.config import Gpt2RecConfig
from bench_gpt2rec.fusion import Fused
from bench_gpt2rec.reader import Described, Reader
from bench_gpt2rec.scoring import Scorer


class Side(nn.Module):
    """What users and items have apart: embeddings, fusion, and two projections that InfoNCE compares."""

    def __init__(self, config: Gpt2RecConfig, n: int, state_width: int | None) -> None:
        super().__init__()
        self.ids = nn.Embedding(n, config.width)
        nn.init.normal_(self.ids.weight, std=config.start_scale)
        self.dropout = nn.Dropout(config.dropout)
        self.width = config.width
        if state_width is not None:
            self.fusion = fusion.make(config, state_width)
            self.width = self.fusion.width
            if config.contrast_weight:
                self.from_ids = nn.Linear(config.width, config.width)
                self.from_text = nn.Sequential(nn.LayerNorm(state_width), nn.Linear(state_width, config.width))

    def forward(self, numbers: Tensor, described: Described | None) -> Fused:
        """Vectors of users or items ``numbers`` (n,)."""
        ids = self.ids(numbers)
        if described is None:
            return Fused(self.dropout(ids), None)
        found: Fused = self.fusion(ids, described)
        return Fused(self.dropout(found.vectors), found.attention)

    def views(self, numbers: Tensor, described: Described) -> tuple[Tensor, Tensor]:
        """The two sides of InfoNCE, both (n, d): what the ids are, and what the texts say."""
        return self.from_ids(self.ids(numbers)), self.from_text(described.mean())


class Network(nn.Module):
    """Scores users and items by ids and texts."""

    def __init__(self, config: Gpt2RecConfig, n_users: int, n_items: int, reader: Reader | None) -> None:
        super().__init__()
        state_width = None if reader is None else reader.width
        self.reader = reader
        self.users = Side(config, n_users, state_width)
        self.items = Side(config, n_items, state_width)
        self.scorer = Scorer(config, self.items.width, n_items)

    @property
    def device(self) -> torch.device:
        return self.items.ids.weight.device

    def without_reader(self) -> list[nn.Parameter]:
        """All parameters but those of the language model."""
        reader = set() if self.reader is None else {id(parameter) for parameter in self.reader.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in reader]
