"""Scores of all pairs by layers over both sides, without the first layer being computed for each pair.

A first layer that sees a user and an item side by side is the sum of a half for users and a half for items. Each half
is computed once for each user and each item; what is left for a pair is a sum, and the layers above.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def add_scores(
    scores: Tensor, users: Tensor, items: Tensor, layers: Callable[[Tensor], Tensor], pairs_at_once: int
) -> None:
    """Add what the layers make of n users and m items to ``scores`` (n, m), in place and so without gradients.

    Parameters
    ----------
    users, items
        (n, H) and (m, H) halves of the first layer, before its activation.
    layers
        Makes (a, b) scores of (a, b, H) sums, which it may overwrite.
    pairs_at_once
        Pairs whose sums are held at a time: best so few that they stay in a processor's cache.
    """
    n, m = scores.shape
    columns = max(1, min(m, pairs_at_once))
    rows = max(1, pairs_at_once // columns)
    for column in range(0, m, columns):
        block = items[column : column + columns]
        for row in range(0, n, rows):
            hidden = users[row : row + rows, None] + block
            scores[row : row + rows, column : column + columns] += layers(hidden)
