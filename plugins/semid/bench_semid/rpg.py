"""``rpg``: all codes of the next item at once."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import safetensors.torch
import torch
from bench_torchkit.causality import check_unseen
from bench_torchkit.rows import Batch, Rows, Sequences, histories, pack
from bench_torchkit.trainer import Place, Trainer
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding_bag, normalize, silu

from bench import Context, Interactions, Recommender
from bench_semid.config import RPGConfig
from bench_semid.items.tokenizer import tokenize
from bench_semid.network import Trunk, initialize
from bench_semid.training import SemanticTask, settings

_USERS_AT_ONCE = 512


class RPGNetwork(nn.Module):
    """An item of the history is the mean of the vectors of its codes; a state says how likely each code comes next.

    Hou et al., Generating Long Semantic IDs in Parallel for Recommendation, KDD 2025, arXiv:2506.05781.
    """

    codes: Tensor
    popularity: Tensor

    def __init__(self, config: RPGConfig, codes: NDArray[np.int32], values: int) -> None:
        super().__init__()
        n_items, m = codes.shape
        self.n_items, self.m, self.values = n_items, m, values
        size = config.embedding_size
        self.temperature = config.temperature
        rows = codes.astype(np.int64) + np.arange(m) * values
        # A row more for the places of a batch that hold nothing.
        self.register_buffer("codes", torch.from_numpy(np.vstack([rows, np.full((1, m), m * values)])))
        self.register_buffer("popularity", torch.zeros(n_items))
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


class RPGTask(SemanticTask[Batch]):
    """Cross-entropy of codes, at all next items."""

    config: RPGConfig
    module: RPGNetwork

    def check_unseen(self) -> None:
        """See :func:`bench_torchkit.causality.check_unseen`; of the first batch."""
        network, device = self.module.eval(), self.module.codes.device
        for batch in itertools.islice(self.batches(Place(0, 1)), 1):
            check_unseen(network.states, batch.rows.to(device), batch.at.to(device), network.n_items)

    def losses(self, batch: Batch, place: Place) -> dict[str, Tensor]:
        """Mean over targets and codes, all or some of them."""
        network, device = self.module, self.module.codes.device
        levels = torch.randperm(network.m)[: self.config.sampled_codes].to(device)
        logits = network.logits(network.states(batch.rows.to(device), batch.at.to(device)), levels)
        targets = network.codes[batch.targets.to(device)][:, levels] - levels * network.values
        return {"total": cross_entropy(logits.flatten(0, 1), targets.T.flatten())}


class RPG(Recommender):
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
    _network: RPGNetwork

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
        network.to(context.device)
        network.popularity.copy_(torch.from_numpy(np.bincount(train.items, minlength=train.n_items)))
        context.note("parameters", sum(parameter.numel() for parameter in network.parameters()))
        self._network = network
        sequences = Sequences(train, config.max_length, "packed", config.batch_size)
        task = RPGTask(config, network, sequences, context.seed)
        task.check_unseen()
        Trainer(task, context, settings(config)).train()

    def score(self, users: NDArray[np.int64], history: Interactions) -> NDArray[np.float32]:
        """Mean log-probabilities; who has no history gets what is popular in train."""
        network = self._network.eval()
        scores = np.tile(network.popularity.cpu().numpy(), (len(users), 1))
        known = np.flatnonzero(history.lengths)
        with torch.inference_mode():
            for begin in range(0, len(known), _USERS_AT_ONCE):
                chosen = known[begin : begin + _USERS_AT_ONCE]
                some = history.select(chosen)
                rows = pack(some, histories(some, self.config.max_length), self.config.max_length)
                rows = rows.to(network.codes.device)
                scores[chosen] = network.scores(network.states(rows, rows.last)).cpu().numpy()
        return scores

    def save(self, folder: Path) -> None:
        """Weights, codes among them, and the size of the catalogue."""
        safetensors.torch.save_model(self._network, str(folder / "network.safetensors"))
        (folder / "shape.json").write_text(json.dumps({"items": self._network.n_items}), encoding="utf-8")

    def load(self, folder: Path, device: str) -> None:
        """The inverse of :meth:`save`."""
        n_items = json.loads((folder / "shape.json").read_text(encoding="utf-8"))["items"]
        codes = np.zeros((n_items, self.config.codes), np.int32)
        network = RPGNetwork(self.config, codes, self.config.codebook_size)
        safetensors.torch.load_model(network, folder / "network.safetensors")
        self._network = network.to(device).eval()
