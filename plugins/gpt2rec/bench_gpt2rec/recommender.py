"""From users and histories to lists. Nothing is kept between calls, so nothing can be older than the weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from bench import Interactions, Recommendations, rank
from bench_gpt2rec.encoder import Request
from bench_gpt2rec.fusion import Fused
from bench_gpt2rec.network import Network, Tower
from bench_gpt2rec.scoring import PartialScores

_ROWS_AT_ONCE = 1024
"""Users or items whose texts are attended to at a time."""


def recommend(
    network: Network, users: NDArray[np.int64], history: Interactions, exclude: Interactions, k: int
) -> Recommendations:
    """Lists (n, k) for n users, whose rows of ``history`` describe them if they have no profile."""
    network.eval()
    with torch.inference_mode():
        rebuild_cache(network)
        items = partial_items(network)

        def score(rows: NDArray[np.int64]) -> NDArray[np.float32]:
            chosen = partial_users(network, users[rows], history.select(rows))
            found: NDArray[np.float32] = network.scorer.score_blocks(chosen, items).float().cpu().numpy()
            return found

        return rank(score, exclude, k)


def rebuild_cache(network: Network) -> None:
    """States for recommending are those of the weights of now."""
    if network.encoder is not None:
        network.encoder.rebuild_cache()


def partial_items(network: Network) -> PartialScores:
    """Of all items."""
    everything = np.arange(network.items.ids.num_embeddings)
    vectors = torch.cat([fuse_items(network, everything[rows]).vectors for rows in _chunks(len(everything))])
    return network.scorer.items(vectors, torch.from_numpy(everything).to(network.device))


def partial_users(network: Network, users: NDArray[np.int64], history: Interactions) -> PartialScores:
    """Of n ``users`` with n rows of ``history``."""
    parts = [fuse_users(network, users[rows], history.select(rows)).vectors for rows in _chunks(len(users))]
    return network.scorer.users(torch.cat(parts))


def fuse_items(network: Network, items: NDArray[np.int64]) -> Fused:
    """Vectors of some items, and what their ids attend to."""
    if network.encoder is None:
        return _fuse(network, network.items, items, None)
    return _fuse(network, network.items, items, Request(network.encoder.documents.of_items(items)))


def fuse_users(network: Network, users: NDArray[np.int64], history: Interactions) -> Fused:
    """Vectors of some users, and what their ids attend to."""
    if network.encoder is None:
        return _fuse(network, network.users, users, None)
    documents = network.encoder.documents
    return _fuse(network, network.users, users, Request(documents.of_users(users, history), documents.user_tokens))


def _fuse(network: Network, tower: Tower, numbers: NDArray[np.int64], request: Request | None) -> Fused:
    features = None
    if request is not None and network.encoder is not None:
        features = network.encoder(request, cached=True)[0]
    found: Fused = tower(torch.from_numpy(numbers).to(network.device), features)
    return found


def _chunks(n: int) -> Iterator[NDArray[np.int64]]:
    for begin in range(0, n, _ROWS_AT_ONCE):
        yield np.arange(begin, min(begin + _ROWS_AT_ONCE, n))
