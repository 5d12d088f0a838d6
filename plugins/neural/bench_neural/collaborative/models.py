"""``mf`` and ``gcn``: vectors of users and items by id."""

from __future__ import annotations

import numpy as np
import torch
from bench_torchkit.trainer import Place
from numpy.typing import NDArray
from torch import Tensor

from bench import Context, Interactions
from bench_neural.collaborative.config import GCNConfig, MFConfig
from bench_neural.collaborative.factors import Factors
from bench_neural.collaborative.losses import penalty, ranking_loss
from bench_neural.collaborative.ranker import ByVectors, VectorTask
from bench_neural.collaborative.sampling import Batch, Proposal, Sampler


class FactorTask(VectorTask):
    """Training of :class:`Factors`."""

    config: MFConfig
    module: Factors

    def losses(self, batch: Batch, place: Place) -> dict[str, Tensor]:
        """The ranking loss and, in ``total``, the penalty of the vectors before propagation."""
        vectors, own = self.module.scored(batch)
        loss = ranking_loss(self.config.loss, self.config.hardness, vectors, self.module.bias, batch)
        return {"total": loss + self.config.l2 * penalty(own), self.config.loss: loss}


class MF(ByVectors):
    """Matrix factorisation that begins at singular vectors, trained by a sampled softmax."""

    Config = MFConfig
    fold_in = False
    config: MFConfig

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Singular vectors, then the training."""
        config = self.config
        layers = config.layers if isinstance(config, GCNConfig) else 0
        network = Factors(config, train, context.seed, context.device, layers)
        context.note("parameters", sum(parameter.numel() for parameter in network.parameters()))
        known = torch.from_numpy(train.lengths > 0).to(context.device)
        proposal = Proposal(train, config.negatives, config.popularity)
        batch_size = max(config.batch_size, -(-len(train) // config.max_steps))
        sampler = Sampler(train, proposal, batch_size, context.seed, context.device)

        @torch.no_grad()
        def publish() -> None:
            users, items = network().split(train.shape)
            # Of whom nothing is known is taken for an average user.
            average = users[known].mean(0) if known.any() else torch.zeros_like(items[0])
            bias = items.new_zeros(len(items)) if network.bias is None else network.bias
            self._kept = {
                "users": torch.where(known[:, None], users, average),
                "items": items.clone(),
                "bias": bias.detach().clone(),
            }

        self.learn(FactorTask(config, network, sampler, publish), train, context)

    def user_vectors(self, users: NDArray[np.int64], history: Interactions) -> Tensor:
        """Those learned by id."""
        found = self._kept["users"]
        return found[torch.from_numpy(users).to(found.device)]

    def item_vectors(self) -> Tensor:
        """Those learned by id."""
        return self._kept["items"]


class GCN(MF):
    """LightGCN: matrix factorisation, propagated over the graph of users and items, from singular vectors."""

    Config = GCNConfig
    config: GCNConfig
