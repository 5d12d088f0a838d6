"""Does a state that predicts an item read that item, or what comes after it?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from bench import PluginError
from bench_torchkit.rows import Rows


def check_unseen(states: Callable[[Rows, Tensor], Tensor], rows: Rows, at: Tensor, n_items: int) -> None:
    """Change all later items, and see that the states which predict stay as they are.

    A model that is trained on many places of a sequence at once must not see at one place what it has to predict there;
    nothing in its lists would show it, only that they are worse than they could be. Sequences are cut behind
    their first item, and in the middle of the longest.

    Parameters
    ----------
    states
        Given ``rows`` and ``at``, the states (t, d) of these places of the flattened rows, without dropout.
    rows
        Of the same width as those of a training.
    at
        (t,): where states predict the next item.
    n_items
        Ids below are items.

    Raises
    ------
    PluginError
        If a state depends on a later item of the sequence.
    """
    flat, place = rows.items.flatten(), rows.places.flatten()
    for cut in sorted({0, int(place[at].max()) // 2} if len(at) else ()):
        early = place[at] <= cut
        changed = torch.where((place > cut) & (flat < n_items), (flat + 1) % n_items, flat).view_as(rows.items)
        with torch.no_grad():
            before, after = states(rows, at)[early], states(replace(rows, items=changed), at)[early]
        if not torch.allclose(before, after, rtol=1e-3, atol=1e-4):
            raise PluginError("a state that predicts an item reads items behind it: train on one target a sequence")
