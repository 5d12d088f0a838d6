"""Initial values from collaborative vectors: the untrained network already ranks about as its vectors do.

This is not in the paper, whose embeddings begin at random (``init = random``). Every input id begins as a point of one
space:

- an item or a user as its vector, a token as the mean vector of the items that have it, a code as that of its items;
- one dimension holds the length of an item's vector, which tells how popular it is, since T5's norms take lengths away;
  the task of user inputs points that way, so that popular items are preferred, the more so the shorter the history is;
- one marks the items, one the end of an input, and one is the same everywhere: attention can prefer what is marked.

The first layer of the encoder hands on an average of the marked ids, the first of the decoder the end of the input, and
all other layers add nothing yet. So h(X_u) · h(X_i) is about the cosine of the mean vector of the history and the
item's vector, plus the item's length.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from bench_torchkit.ragged import gather
from bench_torchkit.tree import Tree
from bench_torchkit.vectors import unit_rows
from numpy.typing import NDArray

from bench_colarec.config import SPARE
from bench_colarec.items.tokens import EOS
from bench_colarec.items.vectors import Vectors
from bench_colarec.network.inputs import USER_TASK, InputTable
from bench_colarec.network.network import Network

Floats = NDArray[np.float64]

_LENGTH, _MARK, _END, _CONSTANT = -4, -3, -2, -1

_PREFERENCE = 5.0
"""How much more attention a marked id gets than another one, as a logarithm."""
_SHARPNESS = 10.0
"""h(X_u) · h(X_i) of a user and an item that point in the same direction."""
_TASK = 3.0
"""Attention that the task of a user input gets, in items."""
_LENGTH_WEIGHT = 0.5
"""Of the length of an item's vector, in standard deviations, beside its direction."""


def from_vectors(network: Network, inputs: InputTable, tree: Tree, vectors: Vectors, seed: int, scratch: bool) -> None:
    """Set the embeddings and layers of a network as this module describes.

    A pretrained network, if not ``scratch``, gets the vectors as items and users, as large as its tokens, and keeps the
    rest.
    """
    set_embeddings(network, inputs, tree, vectors, vectors, seed, scratch)
    if scratch:
        _set_layers(network)


@torch.no_grad()
def set_embeddings(
    network: Network, inputs: InputTable, tree: Tree, vectors: Vectors, like: Vectors, seed: int, scratch: bool
) -> None:
    """The part of :func:`from_vectors` that depends on the vectors, with the axes that suit those of ``like``."""
    axes = _axes(like, network.hidden_size - SPARE * scratch, seed)
    if not scratch:
        _set_items_and_users(network, inputs, vectors, axes)
        return
    size, root = network.hidden_size, math.sqrt(network.hidden_size)
    items, users = vectors.items @ axes, vectors.users @ axes
    lengths = np.linalg.norm(items, axis=1)
    typical = max(float(lengths.mean()), 1e-9)
    embedded = np.zeros((inputs.n_items, size))
    embedded[:, :-SPARE] = unit_rows(items) * root
    embedded[:, _LENGTH] = (lengths - typical) / max(float(lengths.std()), 1e-9) * _LENGTH_WEIGHT
    table = network.table.weight.detach().double().numpy().copy()
    rows = np.split(table[inputs.n_tokens :], [inputs.n_items, inputs.n_items + inputs.n_users])
    rows[0][:] = embedded
    rows[1][:] = 0
    rows[1][:, :-SPARE] = unit_rows(users) * root
    rows[2][:] = 0
    rows[2][USER_TASK, _LENGTH] = root
    _tokens(table, inputs, embedded)
    table[EOS] = 0
    table[:, _MARK] = table[:, _END] = 0
    rows[0][:, _MARK] = 1
    rows[2][USER_TASK, _MARK] = 1 + math.log(_TASK) / _PREFERENCE
    table[EOS, _END] = 1
    table[:, _CONSTANT] = 1
    network.table.weight.copy_(torch.from_numpy(table))
    network.begin.zero_()
    network.begin[_CONSTANT] = 1
    if network.codebooks.per_prefix:
        scaled = np.zeros((inputs.n_items, size))
        scaled[:, :-SPARE] = items * (_SHARPNESS / typical)
        for level, book in enumerate(network.codebooks.inputs, 1):
            weight = book.get_parameter("weight")
            weight.copy_(torch.from_numpy(_means(tree.nodes[:, level], np.arange(inputs.n_items), scaled)))
            weight[:, _CONSTANT] = 4  # beside a vector of about length 10


def _set_items_and_users(network: Network, inputs: InputTable, vectors: Vectors, axes: Floats) -> None:
    size = float(network.table.weight[: inputs.n_tokens].norm(dim=1).mean())
    found = torch.from_numpy(np.concatenate([unit_rows(vectors.items @ axes), unit_rows(vectors.users @ axes)]) * size)
    network.table.weight[inputs.n_tokens : -2] = found.to(network.table.weight.dtype)


def _axes(vectors: Vectors, into: int, seed: int) -> Floats:
    """(d, ``into``): turns vectors such that inner products of items stay, as far as they fit."""
    items = vectors.items.astype(np.float64)
    _, axes = np.linalg.eigh(items.T @ items)
    axes = axes[:, ::-1][:, :into]
    if axes.shape[1] < into:
        # Spread over all dimensions, so that no head of the attention is left without.
        rng = np.random.default_rng([seed, 77])
        axes = axes @ np.linalg.qr(rng.standard_normal((into, into)))[0][: axes.shape[1]]
    return axes


def _means(rows: NDArray[np.int64], items: NDArray[np.int64], vectors: Floats) -> Floats:
    """(largest of ``rows`` + 1, d): mean of the vectors of the ``items`` in each of ``rows``; zeros where none is."""
    matrix = sp.csr_matrix((np.ones(len(rows)), (rows, items)), shape=(int(rows.max()) + 1, len(vectors)))
    found: Floats = (matrix @ vectors) / np.maximum(np.bincount(rows, minlength=matrix.shape[0]), 1)[:, None]
    return found


def _tokens(table: Floats, inputs: InputTable, embedded: Floats) -> None:
    """A token is where its items are, seen from the centre of all."""
    values = inputs.ids[gather(inputs.indptr, np.arange(inputs.n_items))]
    owners = np.repeat(np.arange(inputs.n_items), inputs.blocks[: inputs.n_items])
    is_token = values < inputs.n_tokens
    if is_token.any():
        found = _means(values[is_token], owners[is_token], embedded - embedded.mean(0))
        used = np.unique(values[is_token])
        table[used] = unit_rows(found[used]) * math.sqrt(table.shape[1])


@torch.no_grad()
def _set_layers(network: Network) -> None:
    """First layers whose attention hands on what it sees, and layers that add nothing yet."""
    for block in [*network.encoder.block, *network.decoder.stack.block]:
        for layer in block.layer[:-1]:
            _attention(layer).o.weight.zero_()
        block.layer[-1].DenseReluDense.wo.weight.zero_()
    for layer, mark, strength in (
        (network.encoder.block[0].layer[0], _MARK, _PREFERENCE),
        (network.decoder.stack.block[0].layer[1], _END, 2 * _PREFERENCE),
    ):
        attention = _attention(layer)
        torch.nn.init.orthogonal_(attention.v.weight)
        attention.o.weight.copy_(attention.v.weight.T)
        first = torch.arange(attention.n_heads) * attention.key_value_proj_dim
        attention.q.weight.zero_()
        # EOS and the first code of all hold little else, so T5's norm makes their constant the root of d.
        attention.q.weight[first, _CONSTANT] = network.hidden_size**-0.5
        attention.k.weight[first] = 0
        attention.k.weight[first, mark] = strength
    _attention(network.encoder.block[0].layer[0]).relative_attention_bias.weight.zero_()
    network.encoder.final_layer_norm.weight.fill_(math.sqrt(_SHARPNESS / network.hidden_size))


def _attention(layer: Any) -> Any:
    return layer.SelfAttention if hasattr(layer, "SelfAttention") else layer.EncDecAttention
