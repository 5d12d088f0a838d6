"""``two-tower``: items by their texts, users by their histories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from bench_torchkit.trainer import Place
from numpy.typing import NDArray
from torch import Tensor

from bench import Context, Interactions
from bench_neural.collaborative.codes import item_components
from bench_neural.collaborative.factors import log_popularity
from bench_neural.collaborative.histories import histories, recency
from bench_neural.collaborative.losses import ranking_loss
from bench_neural.collaborative.ranker import ByVectors, VectorTask
from bench_neural.collaborative.sampling import Batch, InBatch, Sampler
from bench_neural.towers.config import TwoTowerConfig
from bench_neural.towers.items import ItemTower, VectorLayer, WordLayer, first_layer, read_texts
from bench_neural.towers.network import TwoTowers, UserTower

_USER_TOWER = "users."

_BOTH: dict[str, Any] = {"item_id": True, "init": "zero"}
"""With texts, what an item has of its own is what they do not tell."""


class TowerTask(VectorTask):
    """Training of :class:`TwoTowers`."""

    config: TwoTowerConfig
    module: TwoTowers

    def __init__(
        self,
        config: TwoTowerConfig,
        module: TwoTowers,
        train: Interactions,
        sampler: Sampler,
        publish: Callable[[], None],
    ) -> None:
        super().__init__(config, module, sampler, publish)
        self.train = train
        self.recencies = recency(train, config.half_life)

    def optimizer(self, stage: int) -> torch.optim.AdamW:
        """AdamW; what is by id has its own penalty."""
        by_id = [one for one in (self.module.items.own, self.module.bias) if one is not None]
        rest = [one for one in self.module.parameters() if all(one is not other for other in by_id)]
        groups: list[dict[str, Any]] = [{"params": rest}, {"params": by_id, "weight_decay": 0.0}]
        decay, rate = self.config.weight_decay, self.config.learning_rate
        return torch.optim.AdamW([one for one in groups if one["params"]], lr=rate, weight_decay=decay, fused=True)

    def losses(self, batch: Batch, place: Place) -> dict[str, Tensor]:
        """The softmax and, in ``total``, the penalty of the vectors by id."""
        if not self.config.log_q:
            batch = batch._replace(log_q=torch.zeros_like(batch.log_q))
        vectors = self.module(batch, self.train, self.recencies)
        loss = ranking_loss("sampled_softmax", 0.0, vectors.scored, self.module.bias, batch)
        total = loss if vectors.own is None else loss + self.config.l2 * vectors.own.square().sum(dim=1).mean()
        return {"total": total, "sampled_softmax": loss}


class TwoTower(ByVectors):
    """Items by layers over their texts, users by layers over their histories, trained by an in-batch softmax."""

    Config = TwoTowerConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "text": {},
        "id-text": _BOTH,
        "id": {"text": "none", "item_id": True},
        "minilm": {"text": "minilm"},
        "id-minilm": {**_BOTH, "text": "minilm"},
    }
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {"no_log_q": {"log_q": False}}
    config: TwoTowerConfig
    _users: UserTower

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Texts, then the training."""
        config = self.config
        read = read_texts(config, context)
        # After the texts: whether their vectors were made now or found must not show in what is drawn.
        torch.manual_seed(context.seed)
        network = self._network(train, first_layer(config, read), context.seed).to(context.device)
        context.note("parameters", sum(parameter.numel() for parameter in network.parameters()))
        if config.text == "minilm":
            context.note("backbone", "MiniLM")
        self._users = network.users
        negatives = InBatch(train, config.negatives)
        sampler = Sampler(train, negatives, config.batch_size, context.seed, context.device)

        @torch.no_grad()
        def publish() -> None:
            network.eval()
            items = network.all_items(train.n_items)
            bias = items.new_zeros(len(items)) if network.bias is None else network.bias.detach().clone()
            users = {_USER_TOWER + name: value.clone() for name, value in network.users.state_dict().items()}
            self._kept = {"items": items, "bias": bias, **users}

        self.learn(TowerTask(config, network, train, sampler, publish), train, context)

    def _network(self, train: Interactions, first: WordLayer | VectorLayer | None, seed: int) -> TwoTowers:
        config = self.config
        if not config.item_id:
            return TwoTowers(config, ItemTower(config, first, None), None)
        own = np.zeros((train.n_items, config.embedding_size))
        if config.init == "svd":
            rng = np.random.default_rng([seed, 0])
            own = config.initial_length * item_components(train, config.embedding_size, rng)
        tower = ItemTower(config, first, torch.from_numpy(own.astype(np.float32)))
        return TwoTowers(config, tower, log_popularity(train))

    def user_vectors(self, users: NDArray[np.int64], history: Interactions) -> Tensor:
        """Those of the histories."""
        items = self._kept["items"]
        weights = recency(history, self.config.half_life)
        known = histories(history, weights, np.arange(len(users))).to(items.device)
        found: Tensor = self._users.eval()(items, known)
        return found

    def item_vectors(self) -> Tensor:
        """Those of the texts and ids."""
        return self._kept["items"]

    def load(self, folder: Path, device: str) -> None:
        """The inverse of :meth:`save`; needs no texts."""
        super().load(folder, device)
        tower = UserTower(self.config)
        state = {name.removeprefix(_USER_TOWER): v for name, v in self._kept.items() if name.startswith(_USER_TOWER)}
        tower.load_state_dict(state)
        self._users = tower.to(device).eval()
