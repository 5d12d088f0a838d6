"""The next item by a recurrent network: a place to begin from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from bench import Context, Interactions, ModelConfig, Recommender, Search
from bench_torchkit.trainer import Place, Settings, Stage, Task, Trainer
from numpy.typing import NDArray
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


class MyModelConfig(ModelConfig):
    """What can be set; a field with a ``Search`` is also tuned."""

    embedding_size: Annotated[int, Field(ge=1), Search(16, 256, log=True)] = 64
    """Of items and states."""
    dropout: Annotated[float, Field(ge=0, lt=1), Search(0.0, 0.8)] = 0.2
    """Share of the numbers of an item's vector that is left out in training."""
    length: Annotated[int, Field(ge=1), Search(10, 100, log=True)] = 50
    """Latest items of a history that are read."""
    learning_rate: Annotated[float, Field(gt=0), Search(1e-4, 1e-2, log=True)] = 5e-3
    """Of Adam."""
    batch_size: Annotated[int, Field(ge=1)] = 64
    """Users."""
    epochs: Annotated[int, Field(ge=1)] = 100
    """At most; the harness ends the training when validation gets no better."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 5.0
    """Largest norm of the gradient."""


class Network(nn.Module):
    """From a sequence of items to what comes next, at each place. Item ``n_items`` stands for the beginning."""

    def __init__(self, config: MyModelConfig, n_items: int) -> None:
        super().__init__()
        self.n_items = n_items
        self.items = nn.Embedding(n_items + 1, config.embedding_size)
        self.dropout = nn.Dropout(config.dropout)
        self.reader = nn.GRU(config.embedding_size, config.embedding_size, batch_first=True)
        nn.init.normal_(self.items.weight, std=config.embedding_size**-0.5)

    def forward(self, rows: Tensor) -> Tensor:
        """(n, L, d): the states behind each of the items (n, L)."""
        states: Tensor = self.reader(self.dropout(self.items(rows)))[0]
        return states

    def scores(self, states: Tensor) -> Tensor:
        """(m, n_items): of all items, by states (m, d)."""
        return states @ self.items.weight[: self.n_items].T


class MyModelTask(Task[Tensor]):
    """What the trainer trains: a batch is the sequences (n, L + 1) of some users."""

    module: Network

    def __init__(self, config: MyModelConfig, network: Network, train: Interactions, context: Context) -> None:
        self.module, self.config, self.train, self.context = network, config, train, context
        self.users = np.flatnonzero(train.lengths)
        self.stages = [Stage("", config.epochs, steps=-(-len(self.users) // config.batch_size))]

    def seed(self, place: Place) -> int:
        """Of torch in this epoch, so that an interrupted training goes on as it would have gone."""
        return 1_000_003 * self.context.seed + place.epoch

    def optimizer(self, stage: int) -> torch.optim.Optimizer:
        """Adam for everything."""
        return torch.optim.Adam(self.module.parameters(), self.config.learning_rate)

    def batches(self, place: Place) -> Iterator[Tensor]:
        """Users in an order of the epoch's own."""
        order = np.random.default_rng(self.seed(place)).permutation(self.users)
        for start in range(0, len(order), self.config.batch_size):
            some = self.train.select(order[start : start + self.config.batch_size])
            yield as_sequences(some, self.config.length, self.context.device)

    def losses(self, batch: Tensor, place: Place) -> dict[str, Tensor]:
        """Cross-entropy of the next item at each place, among all items."""
        states, following = self.module(batch[:, :-1]), batch[:, 1:]
        real = following < self.module.n_items
        return {"total": nn.functional.cross_entropy(self.module.scores(states[real]), following[real])}


class MyModel(Recommender):
    """The next item by a recurrent network."""

    Config = MyModelConfig
    network: Network

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Train until the harness stops it, and keep the weights that were best at validation."""
        torch.manual_seed(context.seed)
        self.network = Network(self.config, train.n_items).to(context.device)
        context.note("parameters", sum(parameter.numel() for parameter in self.network.parameters()))
        if len(train):
            task = MyModelTask(self.config, self.network, train, context)
            Trainer(task, context, Settings(self.config.max_grad_norm)).train()

    def score(self, users: NDArray[np.int64], history: Interactions) -> NDArray[np.float32]:
        """(len(users), n_items): higher is better. Row ``i`` of ``history`` is what may be known of ``users[i]``."""
        self.network.eval()
        with torch.inference_mode():
            rows = as_sequences(history, self.config.length, self.network.items.weight.device)
            last = (rows[:, 1:] < self.network.n_items).sum(1)
            states = self.network(rows)[torch.arange(len(rows)), last]
            scores: NDArray[np.float32] = self.network.scores(states).cpu().numpy()
        return scores

    def save(self, folder: Path) -> None:
        """Write the weights."""
        save_file(self.network.state_dict(), folder / "network.safetensors")

    def load(self, folder: Path, device: str) -> None:
        """The inverse of :meth:`save`."""
        weights = load_file(folder / "network.safetensors", device=device)
        self.network = Network(self.config, len(weights["items.weight"]) - 1).to(device)
        self.network.load_state_dict(weights)


def as_sequences(interactions: Interactions, length: int, device: str | torch.device) -> Tensor:
    """(n_users, 1 + at most ``length``): the beginning, the latest items, oldest first, and no items behind them."""
    rows = interactions.latest(length).padded(fill=interactions.n_items)
    return torch.from_numpy(np.pad(rows, ((0, 0), (1, 0)), constant_values=interactions.n_items)).to(device)
