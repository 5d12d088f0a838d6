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
    """JSON-ready: what a search without the tree finds for histories that all have items.

    ``invalid_unconstrained`` is the share of its beams that are no item.
    """
    with torch.inference_mode():
        found, _ = search(network, tree, most, history, None, num_beams, device, constrained=False)
    invalid = round(float((found == UNFILLED).mean()), 5)
    return {"users": history.n_users, "beams": num_beams, "invalid_unconstrained": invalid}
