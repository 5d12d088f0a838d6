"""A recommender whose score is the product of two vectors and a number of the item, trained by torchkit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from bench_torchkit.trainer import Place, Stage, Task
from numpy.typing import NDArray
from torch import Tensor, nn

from bench import Interactions, Recommender
from bench_neural.collaborative.sampling import Batch, Sampler

_FILE = "vectors.safetensors"


class ByVectors(Recommender):
    """Gives :meth:`score`, :meth:`save` and :meth:`load`, all of them by what is kept."""

    _kept: dict[str, Tensor]
    """All that recommending needs, on the device; without gradients."""

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

    def save(self, folder: Path) -> None:
        """One file of tensors."""
        tensors = {name: value.contiguous().cpu() for name, value in self._kept.items()}
        safetensors.torch.save_file(tensors, folder / _FILE)

    def load(self, folder: Path, device: str) -> None:
        """The inverse of :meth:`save`."""
        self._kept = safetensors.torch.load_file(folder / _FILE, device=device)


class VectorTask(Task[Batch]):
    """One stage of Adam over the batches of a sampler; before a validation, ``publish`` keeps the vectors of now."""

    def __init__(self, module: nn.Module, sampler: Sampler, epochs: int, publish: Callable[[], None]) -> None:
        self.module = module
        self.sampler = sampler
        self.publish = publish
        self.stages = [Stage("", epochs, len(sampler))]

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
