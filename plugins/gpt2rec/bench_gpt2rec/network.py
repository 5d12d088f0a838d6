"""Ids, texts, their fusion, and the score."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench_gpt2rec import fusion
from bench_gpt2rec.config import Gpt2RecConfig
from bench_gpt2rec.fusion import Fused, mean_of
from bench_gpt2rec.reader import Reader, States
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

    def forward(self, numbers: Tensor, states: States | None, documents: Tensor | None) -> Fused:
        """Vectors of users or items ``numbers`` (n,), with ``documents`` (n, m) of ``states``."""
        ids = self.ids(numbers)
        if states is None or documents is None:
            return Fused(self.dropout(ids), None)
        found: Fused = self.fusion(ids, states, documents)
        return Fused(self.dropout(found.vectors), found.attention)

    def views(self, numbers: Tensor, states: States, documents: Tensor) -> tuple[Tensor, Tensor]:
        """The two sides of InfoNCE, both (n, d): what the ids are, and what the texts say."""
        return self.from_ids(self.ids(numbers)), self.from_text(mean_of(states, documents))


class Read(NamedTuple):
    """Documents of several tables, each distinct one read once."""

    states: States
    """Of the distinct ones."""
    tables: list[Tensor]
    """The tables, with places in ``states`` instead of documents; −1 stays."""


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

    def read(self, *tables: NDArray[np.int64], fresh: bool = False) -> Read:
        """Documents of ``tables``, by the reader's mode, or by its cache for recommending if ``fresh``."""
        assert self.reader is not None
        distinct = np.unique(np.concatenate([table.ravel() for table in tables]))
        distinct = distinct[distinct >= 0]
        if not len(distinct):
            distinct = np.zeros(1, np.int64)  # nobody has a text: one is read, and nobody gets it
        states = self.reader.fresh(distinct) if fresh else self.reader(distinct)
        places = [np.where(table < 0, -1, np.searchsorted(distinct, table)) for table in tables]
        return Read(states, [torch.from_numpy(table).to(self.device) for table in places])

    def without_reader(self) -> list[nn.Parameter]:
        """All parameters but those of the language model."""
        reader = set() if self.reader is None else {id(parameter) for parameter in self.reader.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in reader]
