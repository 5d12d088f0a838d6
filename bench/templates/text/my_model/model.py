"""Items and users by the words of items alone: a place to begin from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from bench import Arrays, Context, DataError, Interactions, ModelConfig, Recommender, Search, TextInputs
from bench_torchkit.text import train_bpe
from bench_torchkit.trainer import Place, Settings, Stage, Task, Trainer
from numpy.typing import NDArray
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


class MyModelConfig(ModelConfig):
    """What can be set; a field with a ``Search`` is also tuned."""

    embedding_size: Annotated[int, Field(ge=1), Search(16, 256, log=True)] = 64
    """Of words, items and users."""
    vocabulary: Annotated[int, Field(ge=300)] = 4000
    """Most words and parts of words."""
    dropout: Annotated[float, Field(ge=0, lt=1), Search(0.0, 0.8)] = 0.5
    """Share of a history that is left out in training."""
    learning_rate: Annotated[float, Field(gt=0), Search(1e-4, 1e-1, log=True)] = 1e-2
    """Of Adam."""
    batch_size: Annotated[int, Field(ge=1)] = 128
    """Users."""
    epochs: Annotated[int, Field(ge=1)] = 100
    """At most; the harness ends the training when validation gets no better."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 5.0
    """Largest norm of the gradient."""


class Network(nn.Module):
    """Words to items; items to users."""

    words: Tensor
    ends: Tensor

    def __init__(self, config: MyModelConfig, words: Tensor, ends: Tensor) -> None:
        super().__init__()
        self.register_buffer("words", words)  # (all words,): those of the first item, of the second, …
        self.register_buffer("ends", ends)  # (n_items + 1,): where those of an item begin, and end
        self.dropout = nn.Dropout(config.dropout)
        self.vectors = nn.EmbeddingBag(config.vocabulary, config.embedding_size, mode="mean", include_last_offset=True)
        self.user = nn.Linear(config.embedding_size, config.embedding_size)
        nn.init.normal_(self.vectors.weight, std=config.embedding_size**-0.5)

    def forward(self, rows: Tensor) -> Tensor:
        """(n, n_items) scores of rows (n, n_items) of zeros and ones."""
        items: Tensor = self.vectors(self.words, self.ends)
        users: Tensor = self.user(self.dropout(nn.functional.normalize(rows)) @ items)
        return users @ items.T


class MyModelTask(Task[Tensor]):
    """What the trainer trains: a batch is the rows of some users."""

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
            yield as_rows(self.train.select(order[start : start + self.config.batch_size]), self.context.device)

    def losses(self, batch: Tensor, place: Place) -> dict[str, Tensor]:
        """Multinomial log-likelihood of a user's items, a mean over users."""
        chances = torch.log_softmax(self.module(batch), dim=1)
        return {"total": -(chances * batch).sum(1).mean()}


class MyModel(Recommender):
    """Items and users by the words of items."""

    Config = MyModelConfig
    network: Network

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Read the texts, then train until the harness stops it."""
        found = context.cached_from_texts("words", {"vocabulary": self.config.vocabulary}, words_of_items)
        words, ends = (torch.from_numpy(np.array(found[name])) for name in ("words", "ends"))
        torch.manual_seed(context.seed)
        self.network = Network(self.config, words, ends).to(context.device)
        context.note("parameters", sum(parameter.numel() for parameter in self.network.parameters()))
        if len(train):
            task = MyModelTask(self.config, self.network, train, context)
            Trainer(task, context, Settings(self.config.max_grad_norm)).train()

    def score(self, users: NDArray[np.int64], history: Interactions) -> NDArray[np.float32]:
        """(len(users), n_items): higher is better. Row ``i`` of ``history`` is what may be known of ``users[i]``."""
        self.network.eval()
        with torch.inference_mode():
            rows = as_rows(history, self.network.words.device)
            scores: NDArray[np.float32] = self.network(rows).cpu().numpy()
        return scores

    def save(self, folder: Path) -> None:
        """Write the weights and the words of items."""
        save_file(self.network.state_dict(), folder / "network.safetensors")

    def load(self, folder: Path, device: str) -> None:
        """The inverse of :meth:`save`."""
        state = load_file(folder / "network.safetensors", device=device)
        self.network = Network(self.config, state["words"], state["ends"]).to(device)
        self.network.load_state_dict(state)


def words_of_items(given: TextInputs) -> Arrays:
    """``words`` (all words,) of one item after the other, and ``ends`` (n_items + 1,): a function of texts alone."""
    columns = [name for name in given.items if name != "id"]
    if not columns:
        raise DataError("my-model reads texts of items, and these data have none: choose a data set that has some")
    texts = given.items[columns].agg(" ".join, axis=1).tolist()
    tokenizer = train_bpe(texts, given.inputs["vocabulary"])
    found = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    ends = np.cumsum([0, *map(len, found)])
    return {"words": np.concatenate([np.zeros(0, np.int64), *map(np.array, found)]).astype(np.int64), "ends": ends}


def as_rows(interactions: Interactions, device: str | torch.device) -> Tensor:
    """(n_users, n_items) float32, 1 where there is an interaction."""
    rows = np.zeros(interactions.shape, np.float32)
    rows[interactions.users, interactions.items] = 1
    return torch.from_numpy(rows).to(device)
