"""The GPT-2 recommender as three models of the harness."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bench.contract import Context, Interactions, Recommendations
from bench_gpt2rec import backbone, documents
from bench_gpt2rec.config import Gpt2RecConfig
from bench_gpt2rec.documents import Documents
from bench_gpt2rec.explain import explain
from bench_gpt2rec.network import Network
from bench_gpt2rec.presets import ABLATIONS, BASIC, ENHANCED, ID_ABLATIONS, IDS
from bench_gpt2rec.reader import Mode, Reader
from bench_gpt2rec.recommender import recommend
from bench_gpt2rec.sampling import Sampler
from bench_gpt2rec.training import Trainer, bfloat16


class Gpt2Rec:
    """Texts of users and items, read by a language model inside the training step, attended to by the ids."""

    Config = Gpt2RecConfig
    deterministic: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = ENHANCED
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = ABLATIONS

    def __init__(self, config: Gpt2RecConfig) -> None:
        self.config = config
        self._network: Network | None = None
        self._tokenizer: Tokenizer | None = None

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Texts and language model, then the training."""
        torch.manual_seed(context.seed)
        reader = self._reader(context) if self.config.text else None
        network = Network(self.config, *train.shape, reader).to(context.device)
        trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
        context.note("parameters", sum(p.numel() for p in network.parameters()))
        context.note("trained_parameters", trained)
        if reader is not None:
            context.note("trained_parameters_encoder", sum(p.numel() for p in reader.parameters() if p.requires_grad))
        self._network = network
        sampler = Sampler(train, self.config.batch, self.config.negatives, self.config.history, context.seed)
        Trainer(self.config, network, sampler, context).train()

    def _reader(self, context: Context) -> Reader:
        # What the user has to mend shows before anything is trained.
        texts = documents.read(self.config, context)
        found = backbone.find(self.config) or backbone.from_scratch(self.config, texts.texts)
        context.note("backbone", found.name)
        self._tokenizer = found.tokenizer
        read = documents.tokenise(texts, found.tokenizer, self.config)
        context.note("documents", len(read))
        context.log(
            f"{len(read):,} distinct texts, {read.lengths.mean():.1f} tokens each; users by "
            f"{'their histories' if read.profiles is None else 'their profiles'}"
        )
        if found.name == "scratch" and not self.config.trains_encoder:
            context.log("the encoder is from scratch and not trained: texts become fixed random features")
        model = backbone.adapted(found.model, self.config)
        reader = self._make_reader(model, read, bfloat16(self.config, context.device))
        reader.progress = lambda done, total: context.progress(done, total, "text")
        return reader

    def _make_reader(self, model: torch.nn.Module, read: Documents, autocast: bool = False) -> Reader:
        return Reader(model, read, self.config.fusion == "attention", autocast)

    def switch(self, mode: Mode) -> None:
        """From now on train with cached states, made by the weights of now, or with gradients inside the encoder.

        Recommending is the same in both modes: by states that the weights of that time make.
        """
        assert self._network is not None
        assert self._network.reader is not None
        self._network.reader.switch(mode)

    def recommend(
        self, users: NDArray[np.int64], history: Interactions, exclude: Interactions, k: int
    ) -> Recommendations:
        """By ids and profiles, or by ids and what the histories hold where the data set does not describe users."""
        assert self._network is not None
        return recommend(self._network, users, history, exclude, k)

    def explain(
        self, users: NDArray[np.int64], history: Interactions, recommendations: Recommendations
    ) -> list[list[Mapping[str, Any]]]:
        """For each item the words of its text and of the user's that carried the attention."""
        assert self._network is not None
        if self._tokenizer is None:
            return [[{} for item in row if item >= 0] for row in recommendations.items]
        return explain(self._network, self._tokenizer, users, history, recommendations)

    def save(self, folder: Path) -> None:
        """Weights, texts, tokenizer and the shape of the language model."""
        network = self._network
        assert network is not None
        safetensors.torch.save_model(network, str(folder / "network.safetensors"))
        shape: dict[str, Any] = {"users": network.users.ids.num_embeddings, "items": network.items.ids.num_embeddings}
        if network.reader is not None and self._tokenizer is not None:
            shape["backbone"] = network.reader.model.config.to_dict()  # type: ignore[union-attr, operator]
            network.reader.documents.save(folder)
            self._tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "shape.json").write_text(json.dumps(shape, indent=2), encoding="utf-8")

    def load(self, folder: Path, device: str) -> None:
        """See :meth:`save`."""
        shape = json.loads((folder / "shape.json").read_text(encoding="utf-8"))
        reader = None
        if self.config.text:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            model = backbone.of_shape(shape["backbone"], self.config)
            reader = self._make_reader(model, Documents.load(folder))
        network = Network(self.config, shape["users"], shape["items"], reader)
        safetensors.torch.load_model(network, folder / "network.safetensors")
        self._network = network.to(device).eval()


class Gpt2RecBasic(Gpt2Rec):
    """Texts read once by a language model and kept as fixed vectors, side by side with the ids."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = BASIC
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {}


class Gpt2RecIds(Gpt2Rec):
    """The same network without texts: neural collaborative filtering."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = IDS
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = ID_ABLATIONS


MODELS: dict[str, type[Gpt2Rec]] = {"gpt2rec": Gpt2Rec, "gpt2rec-basic": Gpt2RecBasic, "gpt2rec-ids": Gpt2RecIds}
