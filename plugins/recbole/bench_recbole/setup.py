"""From our config and interactions to RecBole's config, data set, model and trainer."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.data.transform import construct_transform
from recbole.data.utils import create_samplers, get_dataloader
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.trainer import Trainer
from recbole.utils import ModelType, get_trainer

from bench import Interactions, ModelConfig
from bench_recbole.compat import PlainConfig, speed_up_graph
from bench_recbole.dataset import PARTS, GeneralData, SequentialData


@dataclass(frozen=True)
class Built:
    """A RecBole model and what it was made with."""

    model: AbstractRecommender
    data: GeneralData | SequentialData
    options: PlainConfig
    transform: Any
    """Completes a batch with the fields that the model reads, such as reversed sequences."""

    @property
    def is_sequential(self) -> bool:
        return bool(self.options["MODEL_TYPE"] == ModelType.SEQUENTIAL)


def seed_everything(seed: int) -> None:
    """Seed all generators that RecBole draws from: Python's, numpy's global one and torch's."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (RecBole's samplers use the global generator)
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    # Several threads of a CPU would sum the gradient of tensor[index], which all graph models use, in any order.
    torch.use_deterministic_algorithms(True, warn_only=True)


def build(
    recbole_class: type[AbstractRecommender], config: ModelConfig, parts: Sequence[Interactions], seed: int, device: str
) -> Built:
    """A new RecBole model over ``parts``: train, or train, validation and test for RecBole's own evaluation."""
    seed_everything(seed)
    options = PlainConfig(recbole_class, _options(recbole_class, config, seed), device)
    if options["num_clusters"]:  # NCL; its default of 1000 was chosen for ml-1m, with 3,706 items
        options["num_clusters"] = max(1, min(options["num_clusters"], *(size // 3 for size in parts[0].shape)))
    transform = construct_transform(options)  # before the model, which reads the names of the fields that it sets
    sequential = options["MODEL_TYPE"] == ModelType.SEQUENTIAL
    data = (SequentialData if sequential else GeneralData)(options, parts)
    with contextlib.redirect_stdout(sys.stderr):  # some models print; standard output is not theirs
        model = recbole_class(options, data.build()[0]).to(options["device"])
    speed_up_graph(model, options)
    return Built(model, data, options, transform)


def _options(recbole_class: type[AbstractRecommender], config: ModelConfig, seed: int) -> dict[str, Any]:
    """Our config in RecBole's names."""
    fields = config.model_dump()
    options = {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
    options |= {"seed": seed, "benchmark_filename": PARTS, "show_progress": False}
    if "max_seq_length" in options:
        options["MAX_ITEM_LIST_LENGTH"] = options.pop("max_seq_length")
        if options.get("loss_type") == "CE" and not hasattr(recbole_class, "input_type"):
            options["train_neg_sample_args"] = None  # RecBole refuses to sample beside a soft-max
    if "negative_samples" in options:
        options["train_neg_sample_args"] = {"distribution": "uniform", "sample_num": options.pop("negative_samples")}
    return options


def trainer_and_loader(built: Built, folder: Path) -> tuple[Trainer, Any]:
    """RecBole's trainer for this model, and its batches of train."""
    options = built.options
    options["checkpoint_dir"] = str(folder)  # the trainer makes the folder it is told of
    trainer = get_trainer(options["MODEL_TYPE"], options["model"])(options, built.model)
    parts = built.data.build()
    sampler, _, _ = create_samplers(options, built.data, parts)
    return trainer, get_dataloader(options, "train")(options, parts[0], sampler, shuffle=True)
