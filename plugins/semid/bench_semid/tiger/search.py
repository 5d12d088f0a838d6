"""From histories to lists: search, leave out what is excluded, and search again where a list would be short."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from bench_torchkit.codesearch import CodeDecoder, beam_search
from bench_torchkit.rows import Rows
from bench_torchkit.tree import Tree
from numpy.typing import NDArray

from bench import UNFILLED, Interactions, Recommendations
from bench_semid.tiger.tokens import groups, one_a_row

_BEAMS_AT_ONCE = 2**13
"""Of all users that are searched for together."""


class Reader(Protocol):
    """A network that reads histories."""

    def decoder(self, rows: Rows) -> CodeDecoder[Any]:
        """Of n users, whose histories are ``rows``, one a row."""


def search(
    network: Reader, tree: Tree, most: int, history: Interactions, num_beams: int, device: str, constrained: bool = True
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Items and log-probabilities (n, num_beams) of histories that all have items; see :func:`beam_search`."""
    items = np.full((history.n_users, num_beams), UNFILLED, np.int64)
    scores = np.full((history.n_users, num_beams), -np.inf, np.float32)
    for chosen in groups(np.minimum(history.lengths, most), max(1, _BEAMS_AT_ONCE // num_beams)):
        rows = one_a_row(history.select(chosen), tree, most).to(device)
        found, reached = beam_search(network.decoder(rows), tree, num_beams, constrained)
        items[chosen], scores[chosen] = found.cpu().numpy(), reached.cpu().numpy()
    return items, scores


def lists(
    network: Reader,
    tree: Tree,
    most: int,
    history: Interactions,
    exclude: Interactions,
    k: int,
    num_beams: int,
    device: str,
) -> Recommendations:
    """Lists (n, k) of the items found that are not excluded.

    A user of whom fewer than ``num_beams`` / 2 or ``k`` items are left is searched again with twice as many beams,
    until there are enough or no more items. So no list is short, and a list of 5 is the beginning of that of 10.
    """
    items = np.full((history.n_users, k), UNFILLED, np.int32)
    scores = np.full((history.n_users, k), -np.inf, np.float32)
    wanted = np.minimum(max(k, num_beams // 2), tree.codes.shape[0] - exclude.lengths)
    left = np.arange(history.n_users)
    while len(left):
        found, reached = search(network, tree, most, history.select(left), num_beams, device)
        allowed = (found != UNFILLED) & ~exclude.select(left).contains(_rows(found), found)
        enough = allowed.sum(1) >= wanted[left]
        part = without(found[enough], reached[enough], allowed[enough], k)
        items[left[enough]], scores[left[enough]] = part
        left, num_beams = left[~enough], 2 * num_beams
    return Recommendations(items, scores)


def without(
    items: NDArray[np.int64], scores: NDArray[np.float32], allowed: NDArray[np.bool_], k: int
) -> Recommendations:
    """The first ``k`` of each row that are ``allowed``."""
    place = np.cumsum(allowed, axis=1) - 1
    rows, columns = np.nonzero(allowed & (place < k))
    found = Recommendations(np.full((len(items), k), UNFILLED, np.int32), np.full((len(items), k), -np.inf, np.float32))
    found.items[rows, place[rows, columns]] = items[rows, columns]
    found.scores[rows, place[rows, columns]] = scores[rows, columns]
    return found


def _rows(items: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.broadcast_to(np.arange(len(items))[:, None], items.shape)


def facts(
    network: Reader, tree: Tree, most: int, history: Interactions, num_beams: int, device: str
) -> dict[str, float]:
    """JSON-ready: how the search went for histories that all have items, which are left out of lists.

    ``invalid`` is the share of beams that are no item, ``invalid_unconstrained`` that of a search without the tree, and
    ``short`` the users with fewer than half as many items as beams before they are searched again.
    """
    with torch.inference_mode():
        free, _ = search(network, tree, most, history, num_beams, device, constrained=False)
        found, _ = search(network, tree, most, history, num_beams, device)
    reachable = min(num_beams, len(tree.codes))
    allowed = (found != UNFILLED) & ~history.contains(_rows(found), found)
    return {
        "users": history.n_users,
        "beams": num_beams,
        "invalid": round(float((found[:, :reachable] == UNFILLED).mean()), 5),
        "invalid_unconstrained": round(float((free == UNFILLED).mean()), 5),
        "short": int((allowed.sum(1) < num_beams // 2).sum()),
    }
