"""``tiger``: the codes of the next item, one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import safetensors.torch
import torch
from bench_torchkit.causality import check_unseen
from bench_torchkit.next_item import SequenceTask
from bench_torchkit.trainer import Place, Trainer
from bench_torchkit.tree import Tree, tree
from numpy.typing import NDArray
from torch import Tensor

from bench import UNFILLED, Context, Interactions, Recommendations, Recommender
from bench.topk import popular_without_history
from bench_semid.config import TigerConfig
from bench_semid.items.facts import numbered
from bench_semid.items.tokenizer import tokenize
from bench_semid.tiger.decoder_only import DecoderOnly
from bench_semid.tiger.encoder_decoder import EncoderDecoder
from bench_semid.tiger.search import facts, search
from bench_semid.tiger.tokens import PackedTokens, PrefixTokens
from bench_semid.training import settings

_FACTS_OF = 256
"""Users of whom the facts of the search are taken."""

PAPER: Mapping[str, Any] = {
    "network": "encoder-decoder",
    "vectors": "minilm",
    "vectors_size": 384,
    "quantizer": "rqvae",
    "layers": 4,
    "heads": 6,
    "head_size": 64,
    "embedding_size": 128,
    "inner_size": 1024,
    "dropout": 0.1,
    "batch_size": 256,
    "learning_rate": 5e-4,
    "weight_decay": 1e-3,
    "schedule": "cosine",
    "warm_up": 0.05,
    "averaging": 0.0,
    "init": "random",
    "epochs": 200,
}


class TigerTask(SequenceTask[Any]):
    """Cross-entropy of each code behind those before it."""

    module: DecoderOnly | EncoderDecoder
    stream = 1

    def losses(self, batch: Any, place: Place) -> dict[str, Tensor]:
        """Mean over targets, sum over codes."""
        found: Tensor = self.module.log_likelihoods(batch.to(self.module.tokens.weight.device))
        return {"total": -found.sum(1).mean()}

    def check_unseen(self) -> None:
        """See :func:`bench_torchkit.causality.check_unseen`; of the first batch, where all next items are targets."""
        network = self.module.eval()
        if not isinstance(network, DecoderOnly):
            return  # its targets are no part of what it reads
        for batch in itertools.islice(self.batches(Place(0, 1)), 1):
            rows, at, _ = batch.to(network.tokens.weight.device)
            check_unseen(network.states, rows, at, network.levels * network.width)


class Tiger(Recommender):
    """Generative retrieval over semantic IDs (TIGER, NeurIPS 2023): codes one after the other, by beams in a tree."""

    Config = TigerConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {},
        "words": {"vectors": "words"},
        "interactions": {"vectors": "interactions"},
        "minilm": {"vectors": "minilm"},
        "minilm-interactions": {"vectors": "minilm+interactions"},
        "paper": PAPER,
    }
    config: TigerConfig
    _network: DecoderOnly | EncoderDecoder
    _tree: Tree

    @classmethod
    def longest_list(cls, config: TigerConfig) -> int | None:
        """As many as beams, none of which an excluded item takes."""
        return config.num_beams

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Codes and their tree, then the network.

        Raises
        ------
        DataError
            If the data have no times, or no texts where codes are made of them.
        """
        config = self.config
        train.require_times()
        tokens = tokenize(config, train, context, "tiger")
        self._tree = tree(numbered(tokens.codes, config.codebook_size), config.codebook_size)
        self.popularity = train.popularity
        torch.manual_seed(context.seed)
        self._network = self._make()
        if config.init == "vectors":
            self._network.begin_at(tokens.tables)
        self._network.to(context.device)
        context.note("parameters", sum(parameter.numel() for parameter in self._network.parameters()))
        make = PackedTokens if config.network == "decoder" else PrefixTokens
        sequences: Any = make(train, self._tree, config.max_length, config.batch_size)
        task = TigerTask(config, self._network, sequences, context.seed)
        task.check_unseen()
        Trainer(task, context, settings(config)).train()
        self._note_search(train, context)

    def _make(self) -> DecoderOnly | EncoderDecoder:
        kind = DecoderOnly if self.config.network == "decoder" else EncoderDecoder
        return kind(self.config, self._tree.length, self._tree.width)

    def _note_search(self, train: Interactions, context: Context) -> None:
        known = np.flatnonzero(train.lengths)
        if not len(known):
            return
        chosen = np.random.default_rng(context.seed).permutation(known)[:_FACTS_OF]
        config = self.config
        found = facts(
            self._network.eval(), self._tree, config.max_length, train.select(chosen), config.num_beams, context.device
        )
        context.note("search", found)
        context.log(f"search: without the tree, {found['invalid_unconstrained']:.2%} of beams would be no item")

    def recommend(
        self, users: NDArray[np.int64], history: Interactions, exclude: Interactions, k: int
    ) -> Recommendations:
        """By histories; who has none gets what is popular in train."""
        assert self.popularity is not None

        def lists(rows: NDArray[np.int64]) -> Recommendations:
            return self._search(history.select(rows), exclude.select(rows), k)

        return popular_without_history(lists, self.popularity, history, exclude, k)

    def _search(self, history: Interactions, exclude: Interactions, k: int) -> Recommendations:
        network, config = self._network.eval(), self.config
        items = np.full((history.n_users, k), UNFILLED, np.int32)
        scores = np.full((history.n_users, k), -np.inf, np.float32)
        device = str(network.tokens.weight.device)
        with torch.inference_mode():
            found, reached = search(network, self._tree, config.max_length, history, exclude, config.num_beams, device)
        items[:, : config.num_beams], scores[:, : config.num_beams] = found[:, :k], reached[:, :k]
        return Recommendations(items, scores)

    def save(self, folder: Path) -> None:
        """Weights, codes, and what is popular."""
        safetensors.torch.save_model(self._network, str(folder / "network.safetensors"))
        assert self.popularity is not None
        kept = {"codes": torch.from_numpy(self._tree.codes), "popularity": torch.from_numpy(self.popularity)}
        safetensors.torch.save_file(kept, folder / "items.safetensors")

    def load(self, folder: Path, device: str) -> None:
        """The inverse of :meth:`save`."""
        kept = safetensors.torch.load_file(folder / "items.safetensors")
        self._tree = tree(kept["codes"].numpy(), self.config.codebook_size)
        self.popularity = kept["popularity"].numpy()
        network = self._make()
        safetensors.torch.load_model(network, folder / "network.safetensors")
        self._network = network.to(device).eval()
