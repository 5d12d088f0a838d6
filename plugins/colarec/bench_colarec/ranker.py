"""From histories to lists: encode users once, search or score, leave out what is excluded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from bench_torchkit.codesearch import beam_search, exact_scores
from bench_torchkit.ragged import pointers
from numpy.typing import NDArray
from torch import Tensor

from bench import UNFILLED, Interactions, Recommendations, rank
from bench_colarec.config import ColaRecConfig
from bench_colarec.network.network import Encoded, Network
from bench_colarec.network.parts import Parts
from bench_colarec.network.search import IdentifierDecoder

_IDS_AT_ONCE, _IDS_IN_CACHE = 2**15, 2**13
"""Input ids that are encoded together, and how many on a CPU, whose caches hold the states of so many."""

_STATES_AT_ONCE = 2**19
"""Numbers in the decoder's states of one level, over all users and candidates that are decoded together."""


class Ranker:
    """Recommends with a network whose weights do not change while this object lives."""

    def __init__(self, config: ColaRecConfig, network: Network, parts: Parts) -> None:
        self.config = config
        self.network = network
        self.parts = parts
        self.inputs = parts.inputs
        self.tree = parts.tree
        self.item_users = parts.item_users
        self._ids_at_once = _IDS_IN_CACHE if network.device.type == "cpu" else _IDS_AT_ONCE
        self._items: Tensor | None = None
        self._match_weight = config.match_weight if config.score == "both" else 1.0

    def recommend(self, history: Interactions, exclude: Interactions, k: int) -> Recommendations:
        """Lists (n, k) for histories (n rows), none of ``exclude`` among them."""
        self.network.eval()
        with torch.inference_mode():
            if self.config.score != "match" and self.config.decoding == "beams":
                return self._search(history, exclude, k)
            return rank(lambda rows: self.scores(history.select(rows)), exclude, k)

    def scores(self, history: Interactions) -> NDArray[np.float32]:
        """(n, n_items): scores of all items."""
        found = np.empty(history.shape, np.float32)
        for rows, users in self.encode_users(history, self.tree.size(self.tree.length - 1)):
            part = torch.zeros(())
            if self.config.score != "match":
                part = exact_scores(IdentifierDecoder(self.network, users), self.tree)
            if self.config.score != "generate":
                part = part + self._match_weight * (users.pooled.float() @ self.item_vectors().T)
            found[rows] = part.cpu().numpy()
        return found

    def encode_users(self, history: Interactions, candidates: int) -> Iterator[tuple[NDArray[np.int64], Encoded]]:
        """Row numbers and encoded inputs of users with inputs of similar lengths, for as many ``candidates`` each."""
        lengths = self.config.input_lengths
        latest = history.latest(lengths.history)
        sizes = np.diff(pointers(self.inputs.blocks[latest.items])[latest.indptr])
        order = np.argsort(-sizes, kind="stable")
        most = max(1, _STATES_AT_ONCE // (candidates * self.network.hidden_size))
        begin = 0
        while begin < len(order):
            longest = min(int(sizes[order[begin]]) + 2, lengths.tokens)
            rows = order[begin : begin + max(1, min(most, self._ids_at_once // longest))]
            begin += len(rows)
            chosen = latest.select(rows)
            yield rows, self.network.encode(self.inputs.users(chosen.indptr, chosen.items, lengths.tokens))

    def item_vectors(self) -> Tensor:
        """(n_items, d) float32: h(X_i) of all items."""
        if self._items is None:
            found = torch.empty(self.inputs.n_items, self.network.hidden_size, device=self.network.device)
            sizes = self.inputs.blocks[: self.inputs.n_items] + self.item_users.lengths
            order = np.argsort(sizes, kind="stable")
            lengths = self.config.input_lengths
            size = max(1, self._ids_at_once // min(int(sizes.max()) + 2, lengths.tokens))
            for begin in range(0, len(order), size):
                items = order[begin : begin + size]
                users = self.item_users.select(items)
                inputs = self.inputs.items(items, users.indptr, users.items, lengths.tokens)
                found[torch.from_numpy(items).to(found.device)] = self.network.encode(inputs).pooled.float()
            self._items = found
        return self._items

    def _search(self, history: Interactions, exclude: Interactions, k: int) -> Recommendations:
        items = np.full((history.n_users, k), UNFILLED, np.int32)
        scores = np.full((history.n_users, k), -np.inf, np.float32)
        beams = self.config.num_beams
        for rows, users in self.encode_users(history, beams):
            decoder = IdentifierDecoder(self.network, users)
            found, reached = beam_search(decoder, self.tree, beams, exclude.select(rows))
            if self.config.score == "both":
                products = (self.item_vectors()[found.clamp(min=0)] @ users.pooled.float().unsqueeze(-1)).squeeze(-1)
                reached, order = (reached + self._match_weight * products).sort(dim=1, descending=True, stable=True)
                found = found.gather(1, order)
            items[rows, :beams], scores[rows, :beams] = found[:, :k].cpu(), reached[:, :k].cpu()
        return Recommendations(items, scores)
