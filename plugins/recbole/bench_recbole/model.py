"""The base class of all models of this package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import safetensors.torch
from numpy.typing import NDArray
from recbole.model.abstract_recommender import AbstractRecommender

from bench import Context, Interactions, Recommender, load_interactions, save_interactions
from bench_recbole import training
from bench_recbole.configs import SampledConfig
from bench_recbole.scoring import folds_in, scores
from bench_recbole.setup import Built, build


class RecBoleModel(Recommender):
    """A RecBole model: a subclass names its class and its config."""

    recbole_class: ClassVar[type[AbstractRecommender]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.fold_in = folds_in(cls.recbole_class)

    _train: Interactions
    """What the model was made for; RecBole builds graphs and histories from it."""
    _seed: int
    _built: Built

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Train on ``train``; see :func:`bench_recbole.training.train` for the errors.

        RecBole's sampler wants a negative of each user, which those who have all items do not have: nothing can be
        recommended to them, and they are left out.
        """
        if isinstance(self.config, SampledConfig):
            train = train.where(np.repeat(train.lengths < train.n_items, train.lengths))
        self._build(train, context.seed, context.device)
        context.note("parameters", sum(weights.numel() for weights in self._built.model.parameters()))
        training.train(self._built, context)

    def score(self, users: NDArray[np.int64], history: Interactions) -> NDArray[np.float32]:
        """Sequential models, autoencoders and SimpleX read ``history``; the others know a user by id, from train."""
        return scores(self._built, users, history)

    def save(self, folder: Path) -> None:
        """Write ``state.safetensors``, the train arrays and ``facts.json``."""
        state = training.get_state(self._built.model)
        tensors = {f"{part}.{name}": value.contiguous() for part in state for name, value in state[part].items()}
        safetensors.torch.save_file(tensors, folder / "state.safetensors")
        save_interactions(folder, "train", self._train)
        (folder / "facts.json").write_text(json.dumps({"seed": self._seed, "items": self._train.n_items}))

    def load(self, folder: Path, device: str) -> None:
        """Build the model anew and restore its state."""
        facts = json.loads((folder / "facts.json").read_text())
        self._build(load_interactions(folder, "train", facts["items"]), facts["seed"], device)
        state: training.State = {"weights": {}, "other": {}}
        for key, value in safetensors.torch.load_file(folder / "state.safetensors", device=device).items():
            part, _, name = key.partition(".")
            state[part][name] = value
        training.set_state(self._built.model, state)

    def _build(self, train: Interactions, seed: int, device: str) -> None:
        self._train, self._seed = train, seed
        self.popularity = train.popularity if self.personalized else None
        self._built = build(self.recbole_class, self.config, [train], seed, device)
