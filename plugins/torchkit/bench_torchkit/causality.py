"""Does a state that predicts an item read that item, or what comes after it?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bench import PluginError


def check_unseen(states: Callable[[Tensor], Tensor], items: Tensor, places: Tensor, at: Tensor, n_items: int) -> None:
    """Change all later items, and see that the states which predict stay as they are.

    A model that is trained on many places of a sequence at once must not see at one place what it has to predict there;
    nothing in its lists would show it, only that they are worse than they could be. Each sequence is cut in its middle.

    Parameters
    ----------
    states
        Given ``items``, the states (t, d) of the places ``at`` (t,) of the flattened items, without dropout.
    items, places
        (R, W): item ids, and the place of each in its sequence, from 0.
    at
        (t,): where states predict the next item.

    Raises
    ------
    PluginError
        If a state depends on a later item of the sequence.
    """
    flat, place = items.flatten(), places.flatten()
    for cut in sorted({0, int(place[at].max()) // 2} if len(at) else ()):
        early = place[at] <= cut
        changed = torch.where((place > cut) & (flat < n_items), (flat + 1) % n_items, flat).view_as(items)
        with torch.no_grad():
            before, after = states(items)[early], states(changed)[early]
        if not torch.allclose(before, after, rtol=1e-3, atol=1e-4):
            raise PluginError("a state that predicts an item reads items behind it: train on one target a sequence")
