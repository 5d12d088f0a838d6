"""The T5 encoder with its mask made once.

``transformers`` combines position bias and padding in each layer anew, (n, heads, L, L) numbers each time, which took
more than half of the encoder's time on a CPU. The layers are those of ``transformers``; tests hold them against its
forward.
"""

from __future__ import annotations

from typing import Any

import torch
from bench_torchkit.t5_decoder import split_heads
from torch import Tensor
from torch.nn import functional


def encode(stack: Any, embeddings: Tensor, mask: Tensor | None) -> Tensor:
    """States (n, L, d) after the final layer norm of a ``T5Stack``, of ``embeddings`` (n, L, d).

    ``mask`` (n, L) is true where there is an input; None if all rows are equally long.
    """
    length = embeddings.shape[1]
    bias = stack.block[0].layer[0].SelfAttention.compute_bias(length, length).to(embeddings.dtype)
    if mask is not None:
        bias = bias.masked_fill(~mask[:, None, None], -torch.inf)
    hidden = stack.dropout(embeddings)
    for block in stack.block:
        hidden = _self_attention(block.layer[0], hidden, bias)
        hidden = block.layer[1](hidden)
    found: Tensor = stack.dropout(stack.final_layer_norm(hidden))
    return found


def _self_attention(layer: Any, hidden: Tensor, bias: Tensor) -> Tensor:
    attention = layer.SelfAttention
    normed = layer.layer_norm(hidden)
    query, key, value = (split_heads(attention, f(normed)) for f in (attention.q, attention.k, attention.v))
    found = functional.scaled_dot_product_attention(
        query,
        key,
        value,
        bias.to(query.dtype),
        dropout_p=attention.dropout if layer.training else 0.0,
        scale=1.0,
    )
    out: Tensor = hidden + layer.dropout(attention.o(found.transpose(1, 2).flatten(-2)))
    return out
