"""The GPT-2 recommender as three models of the harness."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import safetensors.torch
import torch
from bench_torchkit.schedules import bfloat16
from bench_torchkit.trainer import Settings, Trainer
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bench import Context, Interactions, Recommendations, Recommender
from bench_gpt2rec import backbone, documents, frozen
from bench_gpt2rec.config import Gpt2RecConfig
from bench_gpt2rec.documents import Documents
from bench_gpt2rec.encoder import Mode, TextEncoder
from bench_gpt2rec.explain import explain
from bench_gpt2rec.network import Network
from bench_gpt2rec.presets import ABLATIONS, BASIC, ENHANCED, ID_ABLATIONS, IDS
from bench_gpt2rec.recommender import recommend
from bench_gpt2rec.sampling import Sampler
from bench_gpt2rec.training import Training


class Gpt2Rec(Recommender):
    """Texts of users and items, read by a language model inside the training step, attended to by the ids."""

    Config = Gpt2RecConfig
    fold_in = False
    presets = ENHANCED
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = ABLATIONS

    config: Gpt2RecConfig
    _network: Network
    _tokenizer: Tokenizer | None = None

    @classmethod
    def fetch(cls, config: Gpt2RecConfig) -> None:
        """Download the backbone that ``config`` names, or the tokenizer of one from scratch."""
        if config.text:
            backbone.fetch(config)

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Texts and language model, then the training."""
        config = self.config
        torch.manual_seed(context.seed)
        encoder = self._encoder(context) if config.text else None
        network = Network(config, *train.shape, encoder).to(context.device)
        context.note("parameters", sum(p.numel() for p in network.parameters()))
        context.note("trained_parameters", sum(p.numel() for p in network.parameters() if p.requires_grad))
        if encoder is not None:
            context.note("trained_parameters_encoder", sum(p.numel() for p in encoder.parameters() if p.requires_grad))
        self._network = network
        sampler = Sampler(train, config.batch_size, config.negatives, config.history, context.seed)
        settings = Settings(config.max_grad_norm, config.schedule)
        Trainer(Training(config, network, sampler), context, settings).train()

    def _encoder(self, context: Context) -> TextEncoder:
        # What the user has to fix shows before anything is trained.
        config = self.config
        texts = documents.read(config, context.item_texts(), context.user_texts())
        found = backbone.pretrained(config) or backbone.from_scratch(config, texts.texts)
        context.note("backbone", found.name)
        self._tokenizer = found.tokenizer
        read = documents.tokenize(texts, found.tokenizer, config)
        context.note("documents", len(read))
        context.log(
            f"{len(read):,} distinct texts, {read.lengths.mean():.1f} tokens each; users by "
            f"{'their histories' if read.profiles is None else 'their profiles'}"
        )
        if found.name == "scratch" and not config.trains_encoder:
            context.log("the encoder is from scratch and not trained: texts become fixed random features")
        model = backbone.adapted(found.model, config)
        encoder = self._make_encoder(model, read, bfloat16(config.precision, context.device))
        encoder.progress = lambda done, total: context.progress(done, total, "text")
        if frozen.can_be_kept(config):
            frozen.fill_cache(encoder, found.tokenizer, config, context)
        return encoder

    def _make_encoder(self, model: torch.nn.Module, read: Documents, autocast: bool = False) -> TextEncoder:
        return TextEncoder(model, read, self.config.by_token, autocast)

    def switch(self, mode: Mode) -> None:
        """From now on train with cached states, made by the weights of now, or with gradients inside the encoder.

        Recommending is the same in both modes: by states that the weights of that time make.
        """
        assert self._network.encoder is not None
        self._network.encoder.switch(mode)

    def recommend(
        self, users: NDArray[np.int64], history: Interactions, exclude: Interactions, k: int
    ) -> Recommendations:
        """By ids and profiles, or by ids and what the histories hold where the data set does not describe users."""
        return recommend(self._network, users, history, exclude, k)

    def explain(
        self, users: NDArray[np.int64], history: Interactions, recommendations: Recommendations
    ) -> list[list[Mapping[str, Any]]]:
        """For each item the words of its text and of the user's that carried the attention."""
        if self._tokenizer is None:
            return [[{} for item in row if item >= 0] for row in recommendations.items]
        return explain(self._network, self._tokenizer, users, history, recommendations)

    def save(self, folder: Path) -> None:
        """Weights, texts, tokenizer and the shape of the language model."""
        network = self._network
        safetensors.torch.save_model(network, str(folder / "network.safetensors"))
        shape: dict[str, Any] = {"users": network.users.ids.num_embeddings, "items": network.items.ids.num_embeddings}
        if network.encoder is not None and self._tokenizer is not None:
            shape["backbone"] = network.encoder.model.config.to_dict()  # type: ignore[union-attr, operator]
            network.encoder.documents.save(folder)
            self._tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "shape.json").write_text(json.dumps(shape, indent=2), encoding="utf-8")

    def load(self, folder: Path, device: str) -> None:
        """The inverse of :meth:`save`; needs no backbone."""
        shape = json.loads((folder / "shape.json").read_text(encoding="utf-8"))
        encoder = None
        if self.config.text:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            model = backbone.of_shape(shape["backbone"], self.config)
            encoder = self._make_encoder(model, Documents.load(folder))
        network = Network(self.config, shape["users"], shape["items"], encoder)
        safetensors.torch.load_model(network, folder / "network.safetensors")
        self._network = network.to(device).eval()


class Gpt2RecBasic(Gpt2Rec):
    """Texts read once by a language model and kept as fixed vectors, side by side with the ids."""

    presets = BASIC
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {}


class Gpt2RecIds(Gpt2Rec):
    """The same network without texts: neural collaborative filtering."""

    presets = IDS
    ablations = ID_ABLATIONS
