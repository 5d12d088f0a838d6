"""The model class that the benchmark sees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from recbole.model.abstract_recommender import AbstractRecommender

from bench.contract import Context, Interactions, ModelConfig, Recommendations
from bench.data.dataset import load_interactions, save_interactions
from bench.evaluation.topk import rank
from bench_recbole import training
from bench_recbole.scoring import score_all
from bench_recbole.setup import Built, build


class RecBoleModel:
    """A RecBole model as :class:`bench.contract.Model`; :mod:`bench_recbole.registry` makes a subclass for each."""

    Config: ClassVar[type[ModelConfig]]
    deterministic: ClassVar[bool]
    recbole_class: ClassVar[type[AbstractRecommender]]

    def __init__(self, config: Any) -> None:
        self.config: ModelConfig = config
        self._train: Interactions
        """What the model was made for; RecBole builds graphs and histories from it."""
        self._seed: int
        self._built: Built

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Train on ``train``; see :func:`bench_recbole.training.train` for the errors."""
        self._build(train, context.seed, context.device)
        context.note("parameters", sum(weights.numel() for weights in self._built.model.parameters()))
        training.train(self._built, context)

    def recommend(
        self, users: NDArray[np.int64], history: Interactions, exclude: Interactions, k: int
    ) -> Recommendations:
        """See :class:`bench.contract.Model`.

        Sequential models, autoencoders and SimpleX read ``history``; the others know a user by id, from train.
        """
        return rank(score_all(self._built, users, history), exclude, k)

    def save(self, folder: Path) -> None:
        """Write ``state.pt`` (tensors only), the train arrays and ``facts.json``."""
        torch.save(training.get_state(self._built.model), folder / "state.pt")
        save_interactions(folder, "train", self._train)
        (folder / "facts.json").write_text(json.dumps({"seed": self._seed, "items": self._train.n_items}))

    def load(self, folder: Path, device: str) -> None:
        """See :class:`bench.contract.Model`."""
        facts = json.loads((folder / "facts.json").read_text())
        self._build(load_interactions(folder, "train", facts["items"]), facts["seed"], device)
        training.set_state(self._built.model, torch.load(folder / "state.pt", map_location=device, weights_only=True))

    def _build(self, train: Interactions, seed: int, device: str) -> None:
        self._train, self._seed = train, seed
        self._built = build(self.recbole_class, self.config, [train], seed, device)
