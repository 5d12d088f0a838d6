"""From histories to lists: a search in the tree of codes, without what is excluded."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from bench_torchkit.codesearch import CodeDecoder, beam_search
from bench_torchkit.rows import Rows
from bench_torchkit.tree import Tree
from numpy.typing import NDArray

from bench import UNFILLED, Interactions
from bench_semid.tiger.tokens import groups, one_a_row

_BEAMS_AT_ONCE = 2**13
"""Of all users that are searched for together."""


class Reader(Protocol):
    """A network that reads histories."""

    def decoder(self, rows: Rows) -> CodeDecoder[Any]:
        """Of n users, whose histories are ``rows``, one a row."""


def search(
    network: Reader,
    tree: Tree,
    most: int,
    history: Interactions,
    exclude: Interactions | None,
    num_beams: int,
    device: str,
    constrained: bool = True,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Items and log-probabilities (n, num_beams) of histories that all have items; see :func:`beam_search`."""
    items = np.full((history.n_users, num_beams), UNFILLED, np.int32)
    scores = np.full((history.n_users, num_beams), -np.inf, np.float32)
    for chosen in groups(np.minimum(history.lengths, most), max(1, _BEAMS_AT_ONCE // num_beams)):
        rows = one_a_row(history.select(chosen), tree, most).to(device)
        without = None if exclude is None else exclude.select(chosen)
        found, reached = beam_search(network.decoder(rows), tree, num_beams, without, constrained)
        items[chosen], scores[chosen] = found.cpu().numpy(), reached.cpu().numpy()
    return items, scores


def facts(
    network: Reader, tree: Tree, most: int, history: Interactions, num_beams: int, device: str
) -> dict[str, float]:
    """JSON-ready: how the search went for histories that all have items, which are left out of lists.

    ``invalid`` is the share of beams that are no item, ``invalid_unconstrained`` that of a search without the tree, and
    ``short`` the users with fewer items than beams, though there are as many.
    """
    with torch.inference_mode():
        free, _ = search(network, tree, most, history, None, num_beams, device, constrained=False)
        found, _ = search(network, tree, most, history, history, num_beams, device)
    there = np.minimum(num_beams, len(tree.codes) - history.lengths)
    filled = (found != UNFILLED).sum(1)
    return {
        "users": history.n_users,
        "beams": num_beams,
        "invalid": round(1 - float(filled.sum() / max(1, there.sum())), 5),
        "invalid_unconstrained": round(float((free == UNFILLED).mean()), 5),
        "short": int((filled < there).sum()),
    }
