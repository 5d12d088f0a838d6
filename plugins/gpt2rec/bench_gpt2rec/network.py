"""Ids, texts, their fusion, and the score."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench_gpt2rec import fusion
from bench_gpt2rec.config import Gpt2RecConfig
from bench_gpt2rec.fusion import Fused
from bench_gpt2rec.reader import Described, Reader, States
from bench_gpt2rec.scoring import Scorer


class Side(nn.Module):
    """What users and items have apart: embeddings, fusion, and two projections that InfoNCE compares."""

    def __init__(self, config: Gpt2RecConfig, n: int, state_width: int | None, most_tokens: int | None = None) -> None:
        """``most_tokens``: of a document that attention reads, all if None."""
        super().__init__()
        self.most_tokens = most_tokens
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
        if self.most_tokens is not None:
            described = Described(described.states.first(self.most_tokens), described.documents)
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
        by_history = reader is not None and reader.by_token and reader.documents.profiles is None
        self.users = Side(config, n_users, state_width, config.history_tokens if by_history else None)
        self.items = Side(config, n_items, state_width)
        self.scorer = Scorer(config, self.items.width, n_items)

    @property
    def device(self) -> torch.device:
        return self.items.ids.weight.device

    def read(self, *tables: NDArray[np.int64], fresh: bool = False) -> list[Described]:
        """What ``tables`` (n, m) of documents ask for, each distinct document read once.

        By the reader's mode, or by its cache for recommending if ``fresh``.
        """
        assert self.reader is not None
        distinct = np.unique(np.concatenate([table.ravel() for table in tables]))
        distinct = distinct[distinct >= 0]
        if not len(distinct):
            distinct = np.zeros(1, np.int64)  # nobody has a text: one is read, and nobody gets it
        states = self.reader.fresh(distinct) if fresh else self.reader(distinct)
        if len(tables) == 1:
            return [self._described(states, distinct, tables[0])]
        found = []
        for table in tables:
            own = np.unique(table)
            own = own[own >= 0] if own[-1] >= 0 else distinct[:1]
            at = torch.from_numpy(np.searchsorted(distinct, own)).to(self.device)
            found.append(self._described(States(states.tokens[at], states.mask[at]), own, table))
        return found

    def _described(self, states: States, distinct: NDArray[np.int64], table: NDArray[np.int64]) -> Described:
        places = np.where(table < 0, -1, np.searchsorted(distinct, table))
        return Described(states, torch.from_numpy(places).to(self.device))

    def without_reader(self) -> list[nn.Parameter]:
        """All parameters but those of the language model."""
        reader = set() if self.reader is None else {id(parameter) for parameter in self.reader.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in reader]
