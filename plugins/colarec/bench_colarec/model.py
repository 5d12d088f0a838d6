"""ColaRec as a model of the harness."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from bench.contract import Context, Interactions, Recommendations
from bench.evaluation.topk import rank
from bench_colarec import network, prefixes, start
from bench_colarec.config import ABLATIONS, PRESETS, ColaRecConfig
from bench_colarec.explain import explain
from bench_colarec.network import Network
from bench_colarec.parts import Parts
from bench_colarec.prepare import check, collaborative, prepare, read
from bench_colarec.recommender import Recommender
from bench_colarec.step import Step
from bench_colarec.training import Trainer
from bench_colarec.unseen import Exchange, aligned, embeddings, hold_out
from bench_colarec.vectors import Vectors


class ColaRec:
    """Generative recommender: an encoder-decoder reads a history with its texts and writes the next item's identifier.

    Wang et al., Content-Based Collaborative Generation for Recommender Systems, CIKM 2024, arXiv:2403.18480.
    """

    Config = ColaRecConfig
    deterministic: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = ABLATIONS

    def __init__(self, config: ColaRecConfig) -> None:
        self.config = config
        self._vectors: Vectors | None = None
        """Ranks while the vectors are trained."""
        self._recommender: Recommender | None = None

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Vectors, identifiers and tokens, then the network."""
        context.note("backbone", "scratch" if self.config.backbone == "scratch" else Path(self.config.backbone).name)
        # What the user has to mend shows before anything is trained.
        loaded = network.load(self.config)
        check(self.config, context, train.n_items)
        table = read(self.config, context, train.n_items)
        given, unseen, targets = self._vectors_of(train, valid, context)
        parts, sampler = prepare(self.config, train, context, given, table, targets)
        self._note_prefixes(parts, train, context)
        torch.manual_seed(context.seed)
        net = network.make(self.config, parts, loaded)
        exchange = self._start(net, parts, given, unseen, context.seed)
        net.to(context.device)
        context.note("parameters", sum(p.numel() for p in net.parameters()))
        context.note("codes_per_position", parts.tree.width)
        step = Step(self.config, net, parts.slots, parts.tree, sampler)
        Trainer(self.config, net, step, context, exchange).train(lambda: self._use(net, parts))
        self._use(net, parts)

    def _vectors_of(
        self, train: Interactions, valid: Interactions, context: Context
    ) -> tuple[Vectors | None, Vectors | None, NDArray[np.bool_] | None]:
        """Vectors that know all of train, those that do not know the targets, and the targets; None if not needed."""
        config = self.config
        if config.gid_source != "lightgcn" and config.start != "vectors":
            return None, None, None
        given = collaborative(config, train, valid, context, self._publish)
        targets = hold_out(train, config.held_out, context.seed)
        if config.start != "vectors" or config.vectors_file is not None or not targets.any():
            return given, None, None
        rest = collaborative(config, train.where(~targets), valid, context, self._publish, "unseen vectors")
        return given, aligned(rest, given), targets

    def _start(
        self, net: Network, parts: Parts, given: Vectors | None, unseen: Vectors | None, seed: int
    ) -> Exchange | None:
        if self.config.start != "vectors":
            return None
        assert given is not None
        scratch = self.config.backbone == "scratch"
        start.from_vectors(net, parts.slots, parts.tree, given, seed, scratch)
        if unseen is None:
            return None
        known = [embedding.detach().clone() for embedding in embeddings(net)]
        start.set_embeddings(net, parts.slots, parts.tree, unseen, given, seed, scratch)
        return Exchange(net, [embedding.detach().clone() for embedding in embeddings(net)], known)

    def recommend(
        self, users: NDArray[np.int64], history: Interactions, exclude: Interactions, k: int
    ) -> Recommendations:
        """By histories alone; while the collaborative vectors are trained, by these."""
        if self._recommender is not None:
            return self._recommender.recommend(history, exclude, k)
        assert self._vectors is not None
        found = self._vectors
        return rank(lambda rows: found.users[users[rows]] @ found.items.T, exclude, k)

    def explain(
        self, users: NDArray[np.int64], history: Interactions, recommendations: Recommendations
    ) -> list[list[Mapping[str, Any]]]:
        """For each item its identifier, how likely each code was, and the items of the history nearest to it."""
        assert self._recommender is not None
        return explain(self._recommender, history, recommendations)

    def save(self, folder: Path) -> None:
        """Weights, the network's shape, and what it was made for."""
        assert self._recommender is not None
        net = self._recommender.network
        safetensors.torch.save_model(net, str(folder / "network.safetensors"))
        shape = {name: stack.config.to_dict() for name, stack in net.stacks().items()}
        (folder / "shape.json").write_text(json.dumps(shape, indent=2), encoding="utf-8")
        self._recommender.parts.save(folder)

    def load(self, folder: Path, device: str) -> None:
        """See :meth:`save`."""
        parts = Parts.load(folder)
        shape = json.loads((folder / "shape.json").read_text(encoding="utf-8"))
        net = network.of_shape(self.config, parts, shape)
        safetensors.torch.load_model(net, folder / "network.safetensors")
        self._use(net.to(device), parts)

    def _publish(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def _use(self, net: Network, parts: Parts) -> None:
        self._recommender = Recommender(self.config, net, parts)

    def _note_prefixes(self, parts: Parts, train: Interactions, context: Context) -> None:
        popularity = np.bincount(train.items, minlength=train.n_items)
        found = prefixes.describe(parts.tree.codes, context.item_texts(), popularity)
        context.note("prefixes", found)
        for line in prefixes.as_table(found):
            context.log(line)
