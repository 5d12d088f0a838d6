"""The network of the paper: a T5 encoder reads the tokens of a history, a T5 decoder generates the next item's."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from bench_torchkit.codesearch import CodeDecoder
from bench_torchkit.rows import Rows
from bench_torchkit.t5_decoder import PastKeyValues, ShortDecoder, reorder_cache
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import T5Config
from transformers.models.t5.modeling_t5 import T5Stack

from bench_semid.config import TigerConfig
from bench_semid.tiger.tokens import PrefixBatch


class EncoderDecoder(nn.Module):
    """Rajput et al., Recommender Systems with Generative Retrieval, NeurIPS 2023, arXiv:2305.05065, section 3.2.

    T5 from scratch over one table of tokens; scores of codes are products with the table, as in T5.
    """

    def __init__(self, config: TigerConfig, levels: int, width: int) -> None:
        super().__init__()
        self.levels, self.width = levels, width
        size = config.embedding_size
        # Rows of codes, and one for padding, which also begins each output.
        self.tokens = nn.Embedding(levels * width + 1, size)
        shape: dict[str, Any] = {
            "vocab_size": 2,  # ids are never given to it
            "d_model": size,
            "d_kv": config.head_size or size // config.heads,
            "d_ff": config.inner_size,
            "num_heads": config.heads,
            "num_layers": config.layers,
            "dropout_rate": config.dropout,
            "use_cache": False,
            "attn_implementation": "sdpa",
        }
        self.encoder = T5Stack(T5Config(**shape))
        self.generator = ShortDecoder(T5Stack(T5Config(**shape, is_decoder=True)))
        nn.init.normal_(self.tokens.weight, 0.0, 1.0)

    def begin_at(self, tables: NDArray[np.float32]) -> None:
        """Let the vectors of tokens begin at ``tables`` (m, values, d) of the size that T5 has; numbers stay random."""
        with torch.no_grad():
            for level, table in enumerate(torch.from_numpy(tables)):
                rows = slice(level * self.width, level * self.width + len(table))
                self.tokens.weight[rows] = table * table.shape[1] ** 0.5

    def decoder(self, rows: Rows) -> Generation:
        """Of n users, whose histories are ``rows``, one a row."""
        return Generation(self, rows.items)

    def log_likelihoods(self, batch: PrefixBatch) -> Tensor:
        """(n, levels): log-probability of each code of the targets, behind those before it."""
        generation = Generation(self, batch.items)
        log_probs, past = generation.first()
        found = [log_probs]
        for level in range(1, self.levels):
            log_probs, past = generation.next(level, batch.targets[:, level - 1 : level], None, past)
            found.append(log_probs)
        return torch.cat(found, 1).gather(2, batch.targets[..., None]).squeeze(2)


class Generation(CodeDecoder[PastKeyValues]):
    """The decoder over the encoder's states, whose keys and values are computed once for all beginnings."""

    def __init__(self, network: EncoderDecoder, items: Tensor) -> None:
        self.network = network
        inside = items < network.levels * network.width
        encoded: Any = network.encoder(inputs_embeds=network.tokens(items), attention_mask=inside)
        self.cross = network.generator.cross(encoded.last_hidden_state, inside)
        self.n = len(items)

    def first(self) -> tuple[Tensor, PastKeyValues]:
        """From the token that begins."""
        return self._step(0, self.network.tokens.weight[-1].expand(self.n, 1, -1), None)

    def next(
        self, level: int, codes: Tensor, nodes: Tensor | None, cache: PastKeyValues
    ) -> tuple[Tensor, PastKeyValues]:
        """One more token for each beginning."""
        return self._step(level, self.network.tokens(codes + (level - 1) * self.network.width), cache)

    def _step(self, level: int, tokens: Tensor, past: PastKeyValues | None) -> tuple[Tensor, PastKeyValues]:
        states, kept = self.network.generator.step(tokens, past, self.cross)
        width = self.network.width
        table = self.network.tokens.weight[level * width : (level + 1) * width]
        return (states @ table.T * table.shape[1] ** -0.5).float().log_softmax(-1), kept

    def reorder(self, cache: PastKeyValues, parents: Tensor) -> PastKeyValues:
        """By rows of the beginnings."""
        return reorder_cache(cache, parents)
