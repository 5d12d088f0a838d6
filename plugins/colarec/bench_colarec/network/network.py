"""The network: a T5 encoder and decoder over assembled embeddings."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from bench_torchkit.t5_decoder import CrossAttention, ShortDecoder, expand_cache
from torch import Tensor, nn
from transformers.models.t5.modeling_t5 import T5Stack

from bench_colarec.config import ColaRecConfig
from bench_colarec.items.tokens import PAD
from bench_colarec.network import encoder as encoders
from bench_colarec.network.codebooks import Codebooks
from bench_colarec.network.inputs import Inputs
from bench_colarec.network.parts import Parts


class Encoded(NamedTuple):
    """Inputs after the encoder."""

    states: Tensor
    """(n, L, d)."""
    mask: Tensor
    """(n, L): true where there is an input."""
    pooled: Tensor
    """(n, d): h(X), the state at EOS."""

    def rows(self, chosen: slice | Tensor) -> Encoded:
        """Some of the inputs."""
        return Encoded(self.states[chosen], self.mask[chosen], self.pooled[chosen])


class Network(nn.Module):
    """Encoder, decoder, the table of input embeddings and the codebooks."""

    def __init__(self, encoder: T5Stack, decoder: T5Stack, parts: Parts, config: ColaRecConfig) -> None:
        super().__init__()
        inputs, tree = parts.inputs, parts.tree
        size = encoder.config.d_model
        self.encoder: Any = encoder
        self.decoder = ShortDecoder(decoder)
        self.table = nn.Embedding(inputs.size, size)
        self.positions = nn.Embedding(inputs.n_positions, size) if config.positions else None
        self.begin = nn.Parameter(torch.empty(size))
        self.codebooks = Codebooks(tree, size, config.codebook == "prefix", config.tied, size**-0.5)
        for embedding in [self.table, self.positions, *self.codebooks.inputs]:
            if embedding is not None:
                nn.init.normal_(embedding.get_parameter("weight"))
        nn.init.normal_(self.begin)
        if not config.tied:
            for output in self.codebooks.outputs:
                nn.init.normal_(output.get_parameter("weight"), std=size**-0.5)

    def stacks(self) -> dict[str, T5Stack]:
        """Encoder and decoder."""
        return {"encoder": self.encoder, "decoder": self.decoder.stack}

    @property
    def hidden_size(self) -> int:
        """d_model."""
        return self.table.embedding_dim

    @property
    def device(self) -> torch.device:
        return self.begin.device

    def encode(self, inputs: Inputs) -> Encoded:
        """States of a padded batch."""
        ids = torch.from_numpy(inputs.ids).to(self.device, non_blocking=True)
        embeddings = self.table(ids)
        if self.positions is not None:
            positions = torch.from_numpy(inputs.positions).to(self.device, non_blocking=True)
            embeddings = embeddings + self.positions(positions)
        mask = ids != PAD
        padded = bool((inputs.lengths < inputs.ids.shape[1]).any())
        states = encoders.encode(self.encoder, embeddings, mask if padded else None)
        ends = torch.from_numpy(inputs.lengths - 1).to(self.device)
        return Encoded(states, mask, states[torch.arange(len(ends), device=ends.device), ends])

    def cross(self, encoded: Encoded) -> CrossAttention:
        """What the decoder reads of encoded inputs."""
        return self.decoder.cross(encoded.states, encoded.mask)

    def log_likelihood(self, encoded: Encoded, nodes: Tensor) -> Tensor:
        """Log-likelihoods of identifiers, with teacher forcing.

        Parameters
        ----------
        encoded
            n inputs.
        nodes
            (n, m, length + 1) nodes on the way to each of m identifiers per input.

        Returns
        -------
        (n, m, length) log-probability of each token.
        """
        cross, past, found = self.cross(encoded), None, []
        n, m, levels = nodes.shape
        tokens = self.begin.expand(n, 1, self.hidden_size)  # all identifiers of an input begin alike
        for level in range(levels - 1):
            states, past = self.decoder.step(tokens, past, cross)
            log_probs = self.codebooks.log_probs(level, states, nodes[:, : states.shape[1], level])
            codes = self.codebooks.codes_to(level + 1, nodes[..., level + 1])
            found.append(log_probs.expand(n, m, -1).gather(-1, codes.unsqueeze(-1)).squeeze(-1))
            if level == 0:
                past = expand_cache(past, m)
            tokens = self.codebooks.embed(level + 1, nodes[..., level + 1])
        return torch.stack(found, -1)
