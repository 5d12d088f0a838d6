"""From encoded users to items: beam search over the tree of identifiers, or the log-probability of every leaf."""

from __future__ import annotations

import torch
from bench_torchkit.t5_decoder import reorder_cache
from torch import Tensor

from bench_colarec.items.tree import Tree
from bench_colarec.network.network import Encoded, Network


def beam_search(network: Network, encoded: Encoded, tree: Tree, num_beams: int) -> tuple[Tensor, Tensor]:
    """The best ``num_beams`` identifiers of each of n users, searched level by level.

    Returns
    -------
    Items (n, num_beams) int64, best first, and their log-probabilities (n, num_beams); -1 and minus infinity where the
    tree has fewer leaves than there are beams.
    """
    cross, past = network.cross(encoded), None
    n = len(encoded.pooled)
    nodes = torch.zeros(n, 1, dtype=torch.long, device=network.device)
    scores = torch.zeros(n, 1, device=network.device)
    tokens = network.begin.expand(n, 1, network.hidden_size)
    for level in range(tree.length):
        states, past = network.decoder.step(tokens, past, cross)
        log_probs = network.codebooks.log_probs(level, states, nodes.clamp(min=0))
        reached = (scores[..., None] + log_probs).flatten(1)
        children = network.codebooks.children_of(level, nodes.clamp(min=0)).flatten(1)
        scores, at = reached.topk(min(num_beams, reached.shape[1], tree.size(level + 1)))
        nodes = torch.where(scores == -torch.inf, -1, children.gather(1, at))
        if level + 1 < tree.length:
            past = reorder_cache(past, at // tree.width)
            tokens = network.codebooks.embed(level + 1, nodes.clamp(min=0))
    items = torch.from_numpy(tree.items).to(network.device)[nodes.clamp(min=0)]
    items = torch.where(nodes < 0, -1, items)
    short = num_beams - items.shape[1]
    return (
        torch.nn.functional.pad(items, (0, short), value=-1),
        torch.nn.functional.pad(scores, (0, short), value=-torch.inf),
    )


def exact(network: Network, encoded: Encoded, tree: Tree) -> Tensor:
    """Log-probabilities (n, n_items) of all items: every prefix of the tree goes through the decoder once per user."""
    cross, past = network.cross(encoded), None
    n = len(encoded.pooled)
    scores = torch.zeros(n, 1, device=network.device)
    tokens = network.begin.expand(n, 1, network.hidden_size)
    for level in range(tree.length):
        states, past = network.decoder.step(tokens, past, cross)
        log_probs = network.codebooks.log_probs(level, states, None)
        parents = torch.from_numpy(tree.parents[level]).to(network.device)
        labels = torch.from_numpy(tree.labels[level]).to(network.device)
        scores = scores[:, parents] + log_probs[:, parents, labels]
        if level + 1 < tree.length:
            past = reorder_cache(past, parents)
            tokens = network.codebooks.embed(level + 1, torch.arange(len(parents), device=network.device)).expand(
                n, -1, -1
            )
    leaves = torch.from_numpy(tree.nodes[:, -1]).to(network.device)
    return scores[:, leaves]
