"""The network as a decoder of codes, for a search in the tree of identifiers or for all of them."""

from __future__ import annotations

import torch
from bench_torchkit.codesearch import CodeDecoder
from bench_torchkit.t5_decoder import PastKeyValues, reorder_cache
from torch import Tensor

from bench_colarec.network.network import Encoded, Network


class IdentifierDecoder(CodeDecoder[PastKeyValues]):
    """Goes on from encoded users, whose cross keys and values are computed once, however many beginnings there are."""

    def __init__(self, network: Network, encoded: Encoded) -> None:
        self.network = network
        self.cross = network.cross(encoded)
        self.n = len(encoded.pooled)

    def first(self) -> tuple[Tensor, PastKeyValues]:
        """From the token that begins."""
        return self._step(0, self.network.begin.expand(self.n, 1, -1), None, None)

    def next(
        self, level: int, codes: Tensor, nodes: Tensor | None, cache: PastKeyValues
    ) -> tuple[Tensor, PastKeyValues]:
        """One more code for each beginning."""
        whole = torch.arange(codes.shape[1], device=codes.device).expand_as(codes)
        tokens = self.network.codebooks.embed(level, whole if nodes is None else nodes)
        return self._step(level, tokens, nodes, cache)

    def _step(
        self, level: int, tokens: Tensor, nodes: Tensor | None, past: PastKeyValues | None
    ) -> tuple[Tensor, PastKeyValues]:
        states, kept = self.network.decoder.step(tokens, past, self.cross)
        return self.network.codebooks.log_probs(level, states, nodes), kept

    def reorder(self, cache: PastKeyValues, parents: Tensor) -> PastKeyValues:
        """By rows of the beginnings."""
        return reorder_cache(cache, parents)
