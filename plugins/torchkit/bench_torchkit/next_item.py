"""What models of the next item share: the recommender around a network, and the order in which one is trained."""

from __future__ import annotations

import itertools
import json
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench import Context, Interactions, Recommender
from bench_torchkit import rows
from bench_torchkit.causality import check_unseen
from bench_torchkit.trainer import Place, Settings, Stage, Task, Trainer

Batch = TypeVar("Batch")
BatchOut = TypeVar("BatchOut", covariant=True)

_USERS_AT_ONCE = 512


class Network(nn.Module):
    """From rows of items to the scores of what comes next.

    Parameters
    ----------
    n_items
        Size of the catalogue.
    length
        Most items of a history that are read, the latest ones.
    """

    popularity: Tensor
    """(n_items,) float32: train interactions of each item, by which users without a history are served."""

    def __init__(self, n_items: int, length: int) -> None:
        super().__init__()
        self.n_items, self.length = n_items, length
        self.register_buffer("popularity", torch.zeros(n_items))

    @abstractmethod
    def states(self, rows: rows.Rows, at: Tensor) -> Tensor:
        """(t, d): of the places ``at`` (t,) of the flattened rows."""

    @abstractmethod
    def scores(self, states: Tensor) -> Tensor:
        """(t, n_items): of what comes after places with ``states`` (t, d)."""


class Config(Protocol):
    """What a task has to know of one."""

    @property
    def epochs(self) -> int:
        """Most epochs."""

    @property
    def learning_rate(self) -> float:
        """Of AdamW."""

    @property
    def weight_decay(self) -> float:
        """Of AdamW."""


class Batches(Protocol[BatchOut]):
    """Where batches come from."""

    def __len__(self) -> int:
        """Batches of an epoch."""

    def batches(self, rng: np.random.Generator) -> Iterator[BatchOut]:
        """Those of an epoch, in random order."""


class SequenceTask(Task[Batch]):
    """One stage of AdamW over all sequences in a random order of the epoch; a subclass has the losses."""

    betas: ClassVar[tuple[float, float]] = (0.9, 0.999)
    """Of AdamW."""
    stream: ClassVar[int]
    """Of random numbers, beside seed and epoch; the model's own."""

    def __init__(self, config: Config, module: nn.Module, sequences: Batches[Batch], seed: int) -> None:
        self.config, self.module, self.sequences = config, module, sequences
        self.stages = [Stage("", config.epochs, len(sequences))]
        self._seed = seed

    def optimizer(self, stage: int) -> torch.optim.AdamW:
        """For everything; without decay it is Adam."""
        c = self.config
        return torch.optim.AdamW(
            self.module.parameters(), lr=c.learning_rate, betas=self.betas, weight_decay=c.weight_decay, fused=True
        )

    def seed(self, place: Place) -> int:
        """The first draw of the epoch's generator."""
        return int(self._rng(place).integers(2**31))

    def batches(self, place: Place) -> Iterator[Batch]:
        """All sequences."""
        return self.sequences.batches(self._rng(place))

    def _rng(self, place: Place) -> np.random.Generator:
        return np.random.default_rng([self._seed, self.stream, place.epoch])


class NextItemTask(SequenceTask[rows.Batch]):
    """A network learns all next items of its rows."""

    module: Network

    def check_unseen(self) -> None:
        """See :func:`bench_torchkit.causality.check_unseen`; of the first batch."""
        network = self.module.eval()
        device = network.popularity.device
        for batch in itertools.islice(self.batches(Place(0, 1)), 1):
            check_unseen(network.states, batch.rows.to(device), batch.at.to(device), network.n_items)


class NextItemModel(Recommender):
    """Gives :meth:`score`, :meth:`save` and :meth:`load`; a subclass makes and trains its network."""

    _network: Network

    @abstractmethod
    def network(self, n_items: int) -> Network:
        """With initial weights."""

    def learn(self, task: NextItemTask, settings: Settings, train: Interactions, context: Context) -> None:
        """Train the network of ``task``, which is the one that recommends.

        Raises
        ------
        PluginError
            If the network sees at one place what it has to predict there.
        """
        network = self._network = task.module
        network.popularity.copy_(torch.from_numpy(train.popularity))
        context.note("parameters", sum(parameter.numel() for parameter in network.parameters()))
        task.check_unseen()
        Trainer(task, context, settings).train()

    def score(self, users: NDArray[np.int64], history: Interactions) -> NDArray[np.float32]:
        """Of the next item; who has no history gets what is popular in train."""
        network = self._network.eval()
        device = network.popularity.device
        scores = np.tile(network.popularity.cpu().numpy(), (len(users), 1))
        known = np.flatnonzero(history.lengths)
        with torch.inference_mode():
            for begin in range(0, len(known), _USERS_AT_ONCE):
                chosen = known[begin : begin + _USERS_AT_ONCE]
                some = history.select(chosen)
                packed = rows.pack(some, rows.histories(some, network.length), network.length).to(device)
                scores[chosen] = network.scores(network.states(packed, packed.last)).float().cpu().numpy()
        return scores

    def save(self, folder: Path) -> None:
        """Weights, and the size of the catalogue."""
        safetensors.torch.save_model(self._network, str(folder / "network.safetensors"))
        (folder / "shape.json").write_text(json.dumps({"items": self._network.n_items}), encoding="utf-8")

    def load(self, folder: Path, device: str) -> None:
        """The inverse of :meth:`save`."""
        network = self.network(json.loads((folder / "shape.json").read_text(encoding="utf-8"))["items"])
        safetensors.torch.load_model(network, folder / "network.safetensors")
        self._network = network.to(device).eval()
