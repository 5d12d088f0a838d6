"""``jpq``: items made of learned vectors of a few codes, and users made of the items of their histories."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from bench_torchkit.trainer import Place
from numpy.typing import NDArray
from torch import Tensor, nn

from bench import Context, Interactions
from bench_neural.collaborative.codes import bin_means, item_components, quantile_codes
from bench_neural.collaborative.config import JPQConfig
from bench_neural.collaborative.factors import log_popularity
from bench_neural.collaborative.histories import Histories, histories, of_distinct, recency, summed, without_target
from bench_neural.collaborative.losses import Scored, penalty, ranking_loss
from bench_neural.collaborative.ranker import ByVectors, VectorTask
from bench_neural.collaborative.sampling import Batch, Proposal, Sampler

_NOISE = 0.02
"""Standard deviation of random initial values."""


def concatenated(codes: Tensor, table: Tensor) -> Tensor:
    """(n_items, m · s): the vectors of an item's ``codes`` (n_items, m) in ``table`` (m, values, s), side by side."""
    m, values, _ = table.shape
    rows = codes.long() + torch.arange(m, device=codes.device) * values
    return nn.functional.embedding(rows, table.flatten(0, 1)).flatten(1)


def _read(codes: Tensor, table: Tensor, known: Histories, power: float) -> Tensor:
    """(n, d): of n histories, from the vectors of their items alone."""
    items, of_these = of_distinct(known)
    return summed(concatenated(codes[items], table), of_these, power)


class CodeNetwork(nn.Module):
    """Two tables of code vectors: of items in a history, and of items that are scored."""

    def __init__(self, config: JPQConfig, train: Interactions, seed: int) -> None:
        super().__init__()
        rng = np.random.default_rng([seed, 0])
        components = item_components(train, config.codes, rng)
        codes = quantile_codes(components, config.code_values)
        means = config.initial_length * bin_means(components, codes, config.code_values)
        shape = (config.codes, config.code_values, config.embedding_size // config.codes)
        self.codes: Tensor
        self.register_buffer("codes", torch.from_numpy(codes.astype(np.int16)))
        self.read = nn.Parameter(_initial_table(means, shape, rng))
        self.scored = nn.Parameter(_initial_table(means, shape, rng))
        self.bias = nn.Parameter(log_popularity(train)) if config.item_bias else None
        self.dropout = nn.Dropout(config.dropout)


def _initial_table(means: NDArray[np.float64], shape: tuple[int, int, int], rng: np.random.Generator) -> Tensor:
    """The mean of a bin in the first dimension of its vector, so that products are those of singular vectors."""
    values = rng.normal(0, _NOISE, shape)
    values[:, :, 0] += means
    return torch.from_numpy(values.astype(np.float32))


class CodeTask(VectorTask):
    """Training of a :class:`CodeNetwork`."""

    config: JPQConfig
    module: CodeNetwork

    def __init__(
        self,
        config: JPQConfig,
        module: CodeNetwork,
        train: Interactions,
        sampler: Sampler,
        publish: Callable[[], None],
    ) -> None:
        super().__init__(config, module, sampler, publish)
        self.train = train
        self.recencies = recency(train, None)

    def losses(self, batch: Batch, place: Place) -> dict[str, Tensor]:
        """The ranking loss and, in ``total``, the penalty of the vectors."""
        config, module = self.config, self.module
        known = without_target(self.train, self.recencies, batch.places).to(module.codes.device)
        users = _read(module.codes, module.read, known, config.length_power)
        items = torch.cat([batch.positives, batch.negatives])
        sizes = [len(batch.positives), len(batch.negatives)]
        positives, negatives = torch.split(concatenated(module.codes[items], module.scored), sizes)
        vectors = Scored(module.dropout(users), positives, negatives)
        loss = ranking_loss(config.loss, config.hardness, vectors, module.bias, batch)
        return {"total": loss + config.l2 * penalty(vectors), config.loss: loss}


class JPQ(ByVectors):
    """RecJPQ: item vectors of a few shared codes, found by quantiles of singular vectors; users by their histories."""

    Config = JPQConfig
    config: JPQConfig
    _items: Tensor | None = None
    """(n_items, d), of what is kept."""

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Codes, then the training."""
        config = self.config
        network = CodeNetwork(config, train, context.seed).to(context.device)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        tables = network.read.numel() + network.scored.numel()
        context.note("parameters", parameters)
        # What the two tables would have with a vector for each item, over what they have.
        context.note("compression", 2 * train.n_items * config.embedding_size / tables)
        proposal = Proposal(train, config.negatives, config.popularity)
        sampler = Sampler(train, proposal, config.batch_size, context.seed, context.device)

        def publish() -> None:
            bias = torch.zeros(train.n_items, device=context.device) if network.bias is None else network.bias
            kept = {"codes": network.codes, "read": network.read, "scored": network.scored, "bias": bias}
            self._kept = {name: value.detach().clone() for name, value in kept.items()}
            self._items = None

        self.learn(CodeTask(config, network, train, sampler, publish), train, context)

    def user_vectors(self, users: NDArray[np.int64], history: Interactions) -> Tensor:
        """Those of the histories."""
        codes, table = self._kept["codes"], self._kept["read"]
        known = histories(history, recency(history, None), np.arange(len(users))).to(codes.device)
        return _read(codes, table, known, self.config.length_power)

    def item_vectors(self) -> Tensor:
        """Those of the codes, made once."""
        if self._items is None:
            self._items = concatenated(self._kept["codes"], self._kept["scored"])
        return self._items
