"""Training: RecBole's epochs under the benchmark's stopping rule."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from bench_torchkit.trainer import train_epochs
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.trainer.trainer import NCLTrainer

from bench import ConfigError, Context, PluginError
from bench_recbole.setup import Built, trainer_and_loader

State = dict[str, dict[str, Any]]

CACHES = ("restore_user_e", "restore_item_e", "i_embedding")
"""Attributes in which RecBole's models keep vectors computed from the weights, valid for those weights only."""


def train(built: Built, context: Context) -> None:
    """Train until the benchmark says stop or the epochs are over, and leave the model at its best validated state.

    Raises
    ------
    ConfigError
        If the loss is no longer a number.
    PluginError
        If NCL lacks its clustering library.
    """
    if built.options["model"] == "NCL" and importlib.util.find_spec("faiss") is None:
        raise PluginError("NCL needs faiss for its clusters: pip install 'recsys-bench-recbole[ncl]'")
    trainer, loader = trainer_and_loader(built, context.folder)

    def epoch(number: int) -> None:
        if isinstance(trainer, NCLTrainer) and (number - 1) % trainer.num_m_step == 0:
            built.model.e_step()  # RecBole does this in its own fit(), which is not used here
        try:
            trainer._train_epoch(loader, number - 1)
        except ValueError as error:
            if "nan" not in str(error):
                raise
            what = f"the loss of {built.options['model']} is not a number in epoch {number}"
            raise ConfigError(f"{what}: try a lower learning_rate") from error

    best = train_epochs(context, trainer.epochs, epoch, lambda: get_state(built.model))
    if best is not None:
        set_state(built.model, best)


def get_state(model: AbstractRecommender) -> State:
    """A copy of all that training changes: weights, and what RecBole keeps beside them, but no :data:`CACHES`."""
    other = {name: value for name, value in model.other_parameter().items() if name not in CACHES}
    return {
        "weights": {name: value.clone() for name, value in model.state_dict().items()},
        "other": {name: value.clone() for name, value in other.items() if isinstance(value, torch.Tensor)},
    }


def set_state(model: AbstractRecommender, state: State) -> None:
    """The inverse of :func:`get_state`. Forgets the caches, which belong to other weights."""
    model.load_state_dict(state["weights"])
    model.load_other_parameter(state["other"])
    for name in CACHES:
        if hasattr(model, name):
            setattr(model, name, None)
