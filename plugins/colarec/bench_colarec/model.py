"""ColaRec as a model of the harness."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.torch
import torch
from bench_classic.matrix import matrix
from numpy.typing import NDArray

from bench import UNFILLED, Context, Interactions, Recommendations, Recommender, rank
from bench.topk import popular_without_history
from bench_colarec.config import ABLATIONS, PRESETS, ColaRecConfig
from bench_colarec.explain import explain
from bench_colarec.items import prefixes, tokens
from bench_colarec.items.vectors import Vectors
from bench_colarec.network import backbone, initialization
from bench_colarec.network.network import Network
from bench_colarec.network.parts import Parts
from bench_colarec.prepare import check, collaborative, prepare, read
from bench_colarec.ranker import Ranker
from bench_colarec.teacher import Teacher
from bench_colarec.training.holdout import EmbeddingSwap, aligned, embeddings, hold_out
from bench_colarec.training.soft_targets import SoftTargets, sharpness_of, soft_targets
from bench_colarec.training.step import Step
from bench_colarec.training.task import Generator, train_generator

_FLAT = 4
"""The draws of the median user spread over at most one in so many of the teacher's items, or their order is lost."""
_POPULAR: Mapping[str, Any] = {"generated": "nothing: it is popular, and the user has no history"}
"""For explanations."""


class ColaRec(Recommender):
    """Generative recommender: an encoder-decoder reads a history with its texts and generates the next item's codes.

    Wang et al., Content-Based Collaborative Generation for Recommender Systems, CIKM 2024, arXiv:2403.18480.
    """

    Config = ColaRecConfig
    presets = PRESETS
    ablations = ABLATIONS
    distributed = True

    @classmethod
    def longest_list(cls, config: ColaRecConfig) -> int | None:
        """As many as beams, none of which an excluded item takes."""
        searches = config.score != "match" and config.decoding == "beams"
        return config.num_beams if searches else None

    def __init__(self, config: ColaRecConfig) -> None:
        super().__init__(config)
        self._vectors: Vectors | None = None
        """Ranks while the vectors are trained."""
        self._untrained: NDArray[np.bool_] | None = None
        """(n_users,): who has no train interactions, and so is the sum of the items of the history, not a vector."""
        self._ranker: Ranker | None = None

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Vectors, identifiers and tokens, then the network."""
        config = self.config
        self._untrained, self.popularity = train.lengths == 0, train.popularity
        context.note("backbone", "scratch" if config.backbone == "scratch" else Path(config.backbone).name)
        # What the user has to fix shows before anything is trained.
        loaded = backbone.load(config)
        check(config, context, train.n_items)
        table = read(config, context, train.n_items)
        given, unseen, targets = self._vectors_of(train, context)
        soft = self._taught(given, train, valid, context)
        parts, sampler = prepare(config, train, context, given, table, targets)
        _note_prefixes(parts, train, context)
        torch.manual_seed(context.seed)
        network = backbone.make(config, parts, loaded)
        swap = self._initialize(network, parts, given, unseen, context.seed)
        network.to(context.device)
        context.note("parameters", sum(p.numel() for p in network.parameters()))
        context.note("codes_per_position", parts.tree.width)
        step = Step(config, network, parts, sampler, soft)
        train_generator(Generator(config, network, step, lambda: self._use(network, parts), swap), context)
        self._use(network, parts)

    def _vectors_of(
        self, train: Interactions, context: Context
    ) -> tuple[Vectors | None, Vectors | None, NDArray[np.bool_] | None]:
        """Vectors that know all of train, those that do not know the targets, and the targets; None if not needed."""
        config = self.config
        taught = config.samples == "taught"
        if config.gid_source != "lightgcn" and config.init != "vectors" and not taught:
            return None, None, None
        begin: Literal["svd", "random"] = "svd" if config.init == "vectors" or taught else "random"
        given = collaborative(config, train, context, self._publish, init=begin)
        targets = hold_out(train, config.held_out, context.seed)
        # What a teacher draws has not been seen by anybody.
        if config.init != "vectors" or config.vectors_file is not None or taught or not targets.any():
            return given, None, None
        rest = collaborative(config, train.where(~targets), context, self._publish, "unseen vectors")
        return given, aligned(rest, given), targets

    def _taught(
        self, given: Vectors | None, train: Interactions, valid: Interactions, context: Context
    ) -> SoftTargets | None:
        """What the teacher would have each user generate; None without a teacher."""
        config = self.config
        if config.samples != "taught":
            return None
        assert given is not None
        teacher = Teacher(config)
        teacher.teach_by(given, train, valid, context)
        lists = teacher.recommend(np.arange(train.n_users), train, train, min(config.teacher_items, train.n_items))
        # Of a user without a history the teacher knows nothing.
        lists.items[train.lengths == 0] = UNFILLED
        sharpness = sharpness_of(lists, min(config.teacher_spread, lists.items.shape[1] / _FLAT))
        context.note("teacher_sharpness", sharpness)
        context.log(f"the teacher draws by its scores times {sharpness:.3g}")
        return soft_targets(lists, sharpness)

    def _initialize(
        self, network: Network, parts: Parts, given: Vectors | None, unseen: Vectors | None, seed: int
    ) -> EmbeddingSwap | None:
        if self.config.init != "vectors":
            return None
        assert given is not None
        scratch = self.config.backbone == "scratch"
        initialization.from_vectors(network, parts.inputs, parts.tree, given, seed, scratch)
        if unseen is None:
            return None
        known = [embedding.detach().clone() for embedding in embeddings(network)]
        initialization.set_embeddings(network, parts.inputs, parts.tree, unseen, given, seed, scratch)
        return EmbeddingSwap(network, [embedding.detach().clone() for embedding in embeddings(network)], known)

    def recommend(
        self, users: NDArray[np.int64], history: Interactions, exclude: Interactions, k: int
    ) -> Recommendations:
        """By histories alone, or while collaborative vectors are trained by these; without history what is popular."""
        assert self.popularity is not None

        def lists(rows: NDArray[np.int64]) -> Recommendations:
            known, left_out = history.select(rows), exclude.select(rows)
            if self._ranker is not None:
                return self._ranker.recommend(known, left_out, k)
            return self._by_vectors(users[rows], known, left_out, k)

        return popular_without_history(lists, self.popularity, history, exclude, k)

    def _by_vectors(
        self, users: NDArray[np.int64], history: Interactions, exclude: Interactions, k: int
    ) -> Recommendations:
        assert self._vectors is not None
        assert self._untrained is not None
        found, untrained = self._vectors, self._untrained[users]

        def score(rows: NDArray[np.int64]) -> NDArray[np.float32]:
            scores: NDArray[np.float32] = found.users[users[rows]] @ found.items.T
            new = untrained[rows]
            if new.any():
                known = matrix(history.select(rows[new]))
                scores[new] = (known @ found.items) @ found.items.T
            return scores

        return rank(score, exclude, k)

    def explain(
        self, users: NDArray[np.int64], history: Interactions, recommendations: Recommendations
    ) -> list[list[Mapping[str, Any]]]:
        """For each item its identifier, how likely each code was, and the items of the history nearest to it."""
        assert self._ranker is not None
        found: list[list[Mapping[str, Any]]] = explain(self._ranker, history, recommendations)
        for row in np.flatnonzero(history.lengths == 0):
            found[row] = [_POPULAR] * len(found[row])
        return found

    def save(self, folder: Path) -> None:
        """Weights, the network's shape, and what it was made for."""
        assert self._ranker is not None
        assert self.popularity is not None
        network = self._ranker.network
        safetensors.torch.save_model(network, str(folder / "network.safetensors"))
        shape = {name: stack.config.to_dict() for name, stack in network.stacks().items()}
        (folder / "shape.json").write_text(json.dumps(shape, indent=2), encoding="utf-8")
        self._ranker.parts.save(folder)
        np.save(folder / "popularity.npy", self.popularity)

    def load(self, folder: Path, device: str) -> None:
        """See :meth:`save`."""
        parts = Parts.load(folder)
        shape = json.loads((folder / "shape.json").read_text(encoding="utf-8"))
        network = backbone.of_shape(self.config, parts, shape)
        safetensors.torch.load_model(network, folder / "network.safetensors")
        self._use(network.to(device), parts)
        self.popularity = np.load(folder / "popularity.npy")

    @classmethod
    def fetch(cls, config: ColaRecConfig) -> None:
        """The pretrained T5 and the tokenizer that ``config`` names."""
        if backbone.load(config) is not None:
            tokens.pretrained(config.backbone)
        elif config.tokenizer is not None:
            tokens.pretrained(config.tokenizer, "tokenizer")

    def _publish(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def _use(self, network: Network, parts: Parts) -> None:
        self._ranker = Ranker(self.config, network, parts)


_PREFIXES = 256
"""Of the first level that are told, those with the most interactions."""


def _note_prefixes(parts: Parts, train: Interactions, context: Context) -> None:
    popularity = train.popularity
    every = prefixes.describe(parts.tree.codes, context.item_texts(), popularity)
    kept = sorted(range(len(every)), key=lambda row: -every[row]["interactions"])[:_PREFIXES]
    found = [every[row] for row in sorted(kept)]
    context.note("prefixes", found)
    for line in prefixes.as_table(found):
        context.log(line)
