"""``rpg``: all codes of the next item at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from bench_torchkit import next_item
from bench_torchkit.rows import Batch, Rows, Sequences
from bench_torchkit.trainer import Place
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding_bag, normalize, silu

from bench import Context, Interactions
from bench_semid.config import RPGConfig
from bench_semid.items.tokenizer import tokenize
from bench_semid.network import Trunk, initialize
from bench_semid.training import settings


class RPGNetwork(next_item.Network):
    """An item of the history is the mean of the vectors of its codes; a state says how likely each code comes next.

    Hou et al., Generating Long Semantic IDs in Parallel for Recommendation, KDD 2025, arXiv:2506.05781.
    """

    codes: Tensor

    def __init__(self, config: RPGConfig, codes: NDArray[np.int32], values: int) -> None:
        n_items, m = codes.shape
        super().__init__(n_items, config.max_length)
        self.m, self.values = m, values
        size = config.embedding_size
        self.temperature = config.temperature
        rows = codes.astype(np.int64) + np.arange(m) * values
        # A row more for the places of a batch that hold nothing.
        self.register_buffer("codes", torch.from_numpy(np.vstack([rows, np.full((1, m), m * values)])))
        self.table = nn.Embedding(m * values + 1, size)
        self.trunk = Trunk(config, config.max_length)
        initialize(self, config.initializer_range)
        self.heads = nn.Parameter(torch.zeros(m, size, size))

    def begin_at(self, tables: NDArray[np.float32]) -> None:
        """Let the vectors of codes begin at ``tables`` (m, values, d), so that items are as alike as their vectors."""
        with torch.no_grad():
            self.table.weight[:-1] = torch.from_numpy(tables).flatten(0, 1)

    def states(self, rows: Rows, at: Tensor) -> Tensor:
        """(t, d): of the places ``at`` (t,) of the flattened rows."""
        items = embedding_bag(self.codes[rows.items.flatten()], self.table.weight, mode="mean")
        out: Tensor = self.trunk(items.view(*rows.items.shape, -1), rows.places, rows, at)
        return out

    def logits(self, states: Tensor, levels: Tensor | slice = slice(None)) -> Tensor:
        """(levels, t, values): cosines of codes with what their heads make of ``states`` (t, d), over the temperature.

        ``levels`` (n,) says of which of the m codes.
        """
        heads = normalize(states + silu(states @ self.heads[levels]), dim=-1) / self.temperature
        table = normalize(self.table.weight[:-1].view(self.m, self.values, -1)[levels], dim=-1)
        return torch.bmm(heads, table.transpose(1, 2))

    def scores(self, states: Tensor) -> Tensor:
        """(t, n_items): the mean log-probability of the codes of each item."""
        log_probs = self.logits(states).float().log_softmax(-1)
        by_code = log_probs.permute(0, 2, 1).flatten(0, 1)
        return embedding_bag(self.codes[:-1], by_code, mode="mean").T


class RPGTask(next_item.NextItemTask):
    """Cross-entropy of codes, at all next items."""

    config: RPGConfig
    module: RPGNetwork
    stream = 1

    def losses(self, batch: Batch, place: Place) -> dict[str, Tensor]:
        """Mean over targets and codes, all or some of them."""
        network, device = self.module, self.module.codes.device
        levels = torch.randperm(network.m)[: self.config.sampled_codes].to(device)
        logits = network.logits(network.states(batch.rows.to(device), batch.at.to(device)), levels)
        targets = network.codes[batch.targets.to(device)][:, levels] - levels * network.values
        return {"total": cross_entropy(logits.flatten(0, 1), targets.T.flatten())}


class RPG(next_item.NextItemModel):
    """Semantic IDs in parallel (RPG, KDD 2025): all codes of the next item at once, and an exact ranking by them."""

    Config = RPGConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "words-interactions": {},
        "words": {"vectors": "words"},
        "interactions": {"vectors": "interactions"},
        "minilm": {"vectors": "minilm"},
        "minilm-interactions": {"vectors": "minilm+interactions"},
    }
    config: RPGConfig

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Codes, then the network.

        Raises
        ------
        DataError
            If the data have no times, or no texts where codes are made of them.
        """
        config = self.config
        train.require_times()
        tokens = tokenize(config, train, context, "rpg")
        torch.manual_seed(context.seed)
        network = RPGNetwork(config, tokens.codes, config.codebook_size)
        if config.init == "vectors":
            network.begin_at(tokens.tables)
        sequences = Sequences(train, config.max_length, "packed", config.batch_size)
        task = RPGTask(config, network.to(context.device), sequences, context.seed)
        self.learn(task, settings(config), train, context)

    def network(self, n_items: int) -> RPGNetwork:
        """With codes of nothing, which are among the weights."""
        return RPGNetwork(self.config, np.zeros((n_items, self.config.codes), np.int32), self.config.codebook_size)
