"""A recommender whose score is the product of two vectors and a number of the item, trained by torchkit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import safetensors.torch
import torch
from bench_torchkit.trainer import Place, Settings, Stage, Task, Trainer
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from bench import Context, Interactions, Recommendations, Recommender
from bench_neural.collaborative.sampling import Batch, Sampler
from bench_neural.search import Index, SearchConfig, recall

_FILE = "vectors.safetensors"
_COMPARED, _LENGTH = 1000, 10
"""Users whose approximate lists, of this length, are compared with exact ones."""


class VectorConfig(SearchConfig):
    """How such a recommender is trained."""

    learning_rate: float = Field(5e-3, gt=0)
    """Of Adam."""
    schedule: Literal["constant", "linear"] = "linear"
    """Of the learning rate: constant, or falling to 0 over the epochs."""
    max_grad_norm: float = Field(5.0, gt=0)
    """Largest norm of the gradient."""
    epochs: int = Field(8, ge=1)
    """Most epochs."""


class ByVectors(Recommender):
    """Gives all but ``fit`` and the two vectors, by what is kept."""

    config: VectorConfig
    _kept: dict[str, Tensor]
    """All that recommending needs, on the device; without gradients."""
    _index: Index | None = None
    """Of the items of a trained model that is not to be searched exactly."""

    @abstractmethod
    def user_vectors(self, users: NDArray[np.int64], history: Interactions) -> Tensor:
        """(n, d): of n users."""

    @abstractmethod
    def item_vectors(self) -> Tensor:
        """(n_items, d): of all items."""

    def score(self, users: NDArray[np.int64], history: Interactions) -> NDArray[np.float32]:
        """Products of the vectors, and the bias of the item."""
        with torch.inference_mode():
            found = torch.addmm(self._kept["bias"], self.user_vectors(users, history), self.item_vectors().T)
            scores: NDArray[np.float32] = found.float().cpu().numpy()
            return scores

    def recommend(
        self, users: NDArray[np.int64], history: Interactions, exclude: Interactions, k: int
    ) -> Recommendations:
        """Exactly, or by the index; training is always validated by exact lists."""
        if self._index is None:
            return super().recommend(users, history, exclude, k)
        with torch.inference_mode():
            return self._index.lists(self.user_vectors(users, history).float().cpu().numpy(), exclude, k)

    def learn(self, task: VectorTask, train: Interactions, context: Context) -> None:
        """The end of ``fit``: train, and keep what was best."""
        task.publish()
        if len(train):
            Trainer(task, context, Settings(self.config.max_grad_norm, self.config.schedule)).train()
        task.publish()
        if self.config.search != "exact":
            self._compare(train, context)

    def _compare(self, train: Interactions, context: Context) -> None:
        """Make the index, and note what it loses."""
        users = np.flatnonzero(train.lengths)
        users = np.random.default_rng(context.seed).permutation(users)[:_COMPARED]
        known = train.select(users)
        exact = self.recommend(users, known, known, _LENGTH)
        self._make_index()
        found = recall(self.recommend(users, known, known, _LENGTH).items, exact.items)
        context.note("search_recall", found)
        context.note("caveat", f"lists by faiss, which has {found:.2%} of what exact lists of {_LENGTH} have")

    def _make_index(self) -> None:
        with torch.inference_mode():
            items, bias = self.item_vectors().float().cpu().numpy(), self._kept["bias"].float().cpu().numpy()
        self._index = Index(items, bias, self.config.probes)

    def save(self, folder: Path) -> None:
        """One file of tensors."""
        tensors = {name: value.contiguous().cpu() for name, value in self._kept.items()}
        safetensors.torch.save_file(tensors, folder / _FILE)

    def load(self, folder: Path, device: str) -> None:
        """The inverse of :meth:`save`."""
        self._kept = safetensors.torch.load_file(folder / _FILE, device=device)
        if self.config.search != "exact":
            self._make_index()


class VectorTask(Task[Batch]):
    """One stage of Adam over the batches of a sampler; before a validation, ``publish`` keeps the vectors of now."""

    config: VectorConfig

    def __init__(self, config: VectorConfig, module: nn.Module, sampler: Sampler, publish: Callable[[], None]) -> None:
        self.config = config
        self.module = module
        self.sampler = sampler
        self.publish = publish
        self.stages = [Stage("", config.epochs, len(sampler))]

    def optimizer(self, stage: int) -> torch.optim.Optimizer:
        """Adam for everything."""
        return torch.optim.Adam(self.module.parameters(), lr=self.config.learning_rate, fused=True)

    def seed(self, place: Place) -> int:
        """A draw of the epoch's generator, whose other draws make its batches."""
        return int(self.sampler.rng(place.epoch).integers(2**31))

    def batches(self, place: Place) -> Iterable[Batch]:
        """Those of the sampler."""
        return self.sampler.batches(place.epoch)

    @contextmanager
    def validating(self) -> Iterator[None]:
        """The lists of a validation are those of the weights of now."""
        self.module.eval()
        with torch.no_grad():
            self.publish()
        yield
