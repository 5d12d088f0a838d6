"""From users and histories to lists. Nothing is kept between calls, so nothing can be older than the weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from bench.contract import Interactions, Recommendations
from bench.evaluation.topk import rank
from bench_gpt2rec.fusion import Fused
from bench_gpt2rec.network import Network, Side
from bench_gpt2rec.reader import Wanted
from bench_gpt2rec.scoring import Halves

_ROWS_AT_ONCE = 1024
"""Users or items whose texts are attended to at a time."""


def recommend(
    network: Network, users: NDArray[np.int64], history: Interactions, exclude: Interactions, k: int
) -> Recommendations:
    """Lists (n, k) for n users, whose rows of ``history`` describe them if they have no profile."""
    network.eval()
    with torch.inference_mode():
        refresh(network)
        items = item_halves(network)

        def score(rows: NDArray[np.int64]) -> NDArray[np.float32]:
            chosen = user_halves(network, users[rows], history.select(rows))
            found: NDArray[np.float32] = network.scorer.rank(chosen, items).float().cpu().numpy()
            return found

        return rank(score, exclude, k)


def refresh(network: Network) -> None:
    """States for recommending are those of the weights of now."""
    if network.reader is not None:
        network.reader.refresh()


def item_halves(network: Network) -> Halves:
    """Of all items."""
    everything = np.arange(network.items.ids.num_embeddings)
    vectors = torch.cat([fuse_items(network, everything[rows]).vectors for rows in _chunks(len(everything))])
    return network.scorer.items(vectors, torch.from_numpy(everything).to(network.device))


def user_halves(network: Network, users: NDArray[np.int64], history: Interactions) -> Halves:
    """Of n ``users`` with n rows of ``history``."""
    parts = [fuse_users(network, users[rows], history.select(rows)).vectors for rows in _chunks(len(users))]
    return network.scorer.users(torch.cat(parts))


def fuse_items(network: Network, items: NDArray[np.int64]) -> Fused:
    """Vectors of some items, and what their ids attend to."""
    if network.reader is None:
        return _fuse(network, network.items, items, None)
    return _fuse(network, network.items, items, Wanted(network.reader.documents.of_items(items)))


def fuse_users(network: Network, users: NDArray[np.int64], history: Interactions) -> Fused:
    """Vectors of some users, and what their ids attend to."""
    if network.reader is None:
        return _fuse(network, network.users, users, None)
    documents = network.reader.documents
    return _fuse(network, network.users, users, Wanted(documents.of_users(users, history), documents.user_tokens))


def _fuse(network: Network, side: Side, numbers: NDArray[np.int64], wanted: Wanted | None) -> Fused:
    described = None
    if wanted is not None and network.reader is not None:
        described = network.reader(wanted, fresh=True)[0]
    found: Fused = side(torch.from_numpy(numbers).to(network.device), described)
    return found


def _chunks(n: int) -> Iterator[NDArray[np.int64]]:
    for begin in range(0, n, _ROWS_AT_ONCE):
        yield np.arange(begin, min(begin + _ROWS_AT_ONCE, n))
