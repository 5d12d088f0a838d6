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


class Memory(NamedTuple):
    """What the decoder reads of its inputs."""

    keys: list[Tensor]
    """For each layer (n, heads, L, d_kv)."""
    values: list[Tensor]
    """For each layer (n, heads, L, d_kv)."""
    mask: Tensor
    """(n, 1, 1, L): 0 where there is an input, minus infinity where there is padding."""


Past = list[tuple[Tensor, Tensor]]
"""For each layer, keys and values (n, candidates, heads, steps, d_kv) of the self-attention so far."""


def _split(attention: Any, states: Tensor) -> Tensor:
    """(…, L, inner) to (…, heads, L, d_kv)."""
    return states.unflatten(-1, (attention.n_heads, attention.key_value_proj_dim)).transpose(-2, -3)


class ShortDecoder(nn.Module):
    """Steps through short outputs, all candidates of all inputs at a time."""

    def __init__(self, stack: T5Stack) -> None:
        super().__init__()
        self.stack = stack

    def memory(self, states: Tensor, mask: Tensor) -> Memory:
        """Keys and values of encoder states (n, L, d); ``mask`` (n, L) is true where there is an input."""
        attentions = [block.layer[1].EncDecAttention for block in self.stack.block]
        keys = [_split(attention, attention.k(states)) for attention in attentions]
        values = [_split(attention, attention.v(states)) for attention in attentions]
        bias = torch.zeros(mask.shape, dtype=keys[0].dtype, device=mask.device)
        return Memory(keys, values, bias.masked_fill(~mask, -torch.inf)[:, None, None])

    def step(self, embeddings: Tensor, past: Past | None, memory: Memory) -> tuple[Tensor, Past]:
        """One more token.

        Parameters
        ----------
        embeddings
            (n, candidates, d): of the token that comes in.
        past
            What the same candidates looked at before; None at the first step.
        memory
            Of the n inputs.

        Returns
        -------
        States (n, candidates, d) after the final layer norm, and the new past.
        """
        hidden = self.stack.dropout(embeddings)
        new: Past = []
        for index, block in enumerate(self.stack.block):
            hidden, kept = self._look_back(block.layer[0], hidden, past[index] if past else None)
            hidden = self._read(block.layer[1], hidden, memory, index)
            hidden = block.layer[2](hidden)
            new.append(kept)
        return self.stack.dropout(self.stack.final_layer_norm(hidden)), new

    def _look_back(self, layer: Any, hidden: Tensor, past: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Any]:
        attention = layer.SelfAttention
        normed = layer.layer_norm(hidden)
        heads = (attention.n_heads, attention.key_value_proj_dim)
        query, key, value = (f(normed).unflatten(-1, heads) for f in (attention.q, attention.k, attention.v))
        keys, values = key.unsqueeze(3), value.unsqueeze(3)
        if past is not None:
            keys, values = torch.cat([past[0], keys], 3), torch.cat([past[1], values], 3)
        weights = (keys @ query.unsqueeze(-1)).squeeze(-1) + self._bias(keys.shape[3])
        weights = functional.dropout(weights.softmax(-1), attention.dropout, self.training)
        found = (weights.unsqueeze(-2) @ values).squeeze(-2).flatten(-2)
        return hidden + layer.dropout(attention.o(found)), (keys, values)

    def _bias(self, steps: int) -> Tensor:
        """(heads, steps): relative position bias of the last step."""
        first = self.stack.block[0].layer[0].SelfAttention
        found: Tensor = first.compute_bias(steps, steps)[0, :, -1]
        return found

    def _read(self, layer: Any, hidden: Tensor, memory: Memory, index: int) -> Tensor:
        attention = layer.EncDecAttention
        query = _split(attention, attention.q(layer.layer_norm(hidden)))
        found = functional.scaled_dot_product_attention(
            query,
            memory.keys[index],
            memory.values[index],
            memory.mask.to(query.dtype),
            dropout_p=attention.dropout if self.training else 0.0,
            scale=1.0,
        )
        out: Tensor = hidden + layer.dropout(attention.o(found.transpose(1, 2).flatten(-2)))
        return out


def choose(past: Past, parents: Tensor) -> Past:
    """The past of other candidates: ``parents`` (n, m) or (m,) says which one each of them comes from."""

    def pick(kept: Tensor) -> Tensor:
        if parents.dim() == 1:
            return kept[:, parents]
        rows = torch.arange(len(kept), device=kept.device)[:, None]
        return kept[rows, parents]

    return [(pick(keys), pick(values)) for keys, values in past]
