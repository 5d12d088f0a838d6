"""The T5 decoder for many short outputs of each input.

An identifier has few tokens, and an input has many candidates: beams, all leaves of the tree, several targets. They
share the encoder's states, so keys and values of the cross-attention are computed once per input, and all candidates
of an input are queries of one attention. The layers are those of ``transformers``; tests hold them against its forward.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.t5.modeling_t5 import T5Stack


class CrossAttention(NamedTuple):
    """Keys and values of the encoder's states, computed once per input."""

    keys: list[Tensor]
    """For each layer (n, heads, L, d_kv)."""
    values: list[Tensor]
    """For each layer (n, heads, L, d_kv)."""
    mask: Tensor
    """(n, 1, 1, L): 0 where there is an input, minus infinity where there is padding."""


PastKeyValues = list[tuple[Tensor, Tensor]]
"""For each layer, keys and values (n, candidates, heads, steps, d_kv) of the self-attention so far."""


def split_heads(attention: Any, states: Tensor) -> Tensor:
    """(…, L, inner) to (…, heads, L, d_kv)."""
    heads = (attention.n_heads, attention.key_value_proj_dim)
    found: Tensor = states.unflatten(-1, heads).transpose(-2, -3)  # type: ignore[no-untyped-call]
    return found


class ShortDecoder(nn.Module):
    """Steps through short outputs, all candidates of all inputs at a time."""

    def __init__(self, stack: T5Stack) -> None:
        super().__init__()
        self.stack: Any = stack

    def cross(self, states: Tensor, mask: Tensor) -> CrossAttention:
        """Keys and values of encoder states (n, L, d); ``mask`` (n, L) is true where there is an input."""
        attentions = [block.layer[1].EncDecAttention for block in self.stack.block]
        keys = [split_heads(attention, attention.k(states)) for attention in attentions]
        values = [split_heads(attention, attention.v(states)) for attention in attentions]
        bias = torch.zeros(mask.shape, dtype=keys[0].dtype, device=mask.device)
        return CrossAttention(keys, values, bias.masked_fill(~mask, -torch.inf)[:, None, None])

    def step(
        self, embeddings: Tensor, past: PastKeyValues | None, cross: CrossAttention
    ) -> tuple[Tensor, PastKeyValues]:
        """One more token.

        Parameters
        ----------
        embeddings
            (n, candidates, d): of the token that comes in.
        past
            Cached keys and values of these candidates; None at the first step.
        cross
            Of the n inputs.

        Returns
        -------
        States (n, candidates, d) after the final layer norm, and the cache with this step.
        """
        hidden = self.stack.dropout(embeddings)
        new: PastKeyValues = []
        for index, block in enumerate(self.stack.block):
            hidden, kept = self._self_attention(block.layer[0], hidden, past[index] if past else None)
            hidden = self._cross_attention(block.layer[1], hidden, cross, index)
            hidden = block.layer[2](hidden)
            new.append(kept)
        return self.stack.dropout(self.stack.final_layer_norm(hidden)), new

    def _self_attention(self, layer: Any, hidden: Tensor, past: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Any]:
        attention = layer.SelfAttention
        normed = layer.layer_norm(hidden)
        heads = (attention.n_heads, attention.key_value_proj_dim)
        query, key, value = (f(normed).unflatten(-1, heads) for f in (attention.q, attention.k, attention.v))
        keys, values = key.unsqueeze(3), value.unsqueeze(3)
        if past is not None:
            keys, values = torch.cat([past[0], keys], 3), torch.cat([past[1], values], 3)
        # Few steps: sums are faster on a CPU than a product of many small matrices.
        weights = (keys * query.unsqueeze(3)).sum(-1) + self._bias(keys.shape[3])
        weights = functional.dropout(weights.softmax(-1), attention.dropout, self.training)
        found = (weights.unsqueeze(-1) * values).sum(3).flatten(-2)
        return hidden + layer.dropout(attention.o(found)), (keys, values)

    def _bias(self, steps: int) -> Tensor:
        """(heads, steps): relative position bias of the last step."""
        first = self.stack.block[0].layer[0].SelfAttention
        found: Tensor = first.compute_bias(steps, steps)[0, :, -1]
        return found

    def _cross_attention(self, layer: Any, hidden: Tensor, cross: CrossAttention, index: int) -> Tensor:
        attention = layer.EncDecAttention
        query = split_heads(attention, attention.q(layer.layer_norm(hidden)))
        found = functional.scaled_dot_product_attention(
            query,
            cross.keys[index],
            cross.values[index],
            cross.mask.to(query.dtype),
            dropout_p=attention.dropout if self.training else 0.0,
            scale=1.0,
        )
        out: Tensor = hidden + layer.dropout(attention.o(found.transpose(1, 2).flatten(-2)))
        return out


def expand_cache(past: PastKeyValues, m: int) -> PastKeyValues:
    """The cache of ``m`` candidates of each input that are alike so far, from that of one."""
    return [(keys.expand(-1, m, -1, -1, -1), values.expand(-1, m, -1, -1, -1)) for keys, values in past]


def reorder_cache(past: PastKeyValues, parents: Tensor) -> PastKeyValues:
    """The cache of other candidates: ``parents`` (n, m) or (m,) says which one each of them comes from."""

    def pick(kept: Tensor) -> Tensor:
        if parents.dim() == 1:
            return kept[:, parents]
        rows = torch.arange(len(kept), device=kept.device)[:, None]
        return kept[rows, parents]

    return [(pick(keys), pick(values)) for keys, values in past]
