"""The four losses of section 3.4 of the paper, on tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def writing(log_probs: Tensor) -> Tensor:
    """L_rec and L_index: mean over identifiers of −Σ_t ln P(code t), from (…, length) log-probabilities."""
    return -log_probs.sum(-1).mean()


def ranking(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """L_bpr and L_c: mean of −ln σ(h(a) · (h(p) − h(n))), all (n, d)."""
    return -functional.logsigmoid((anchor * (positive - negative)).sum(-1)).mean()


def ranking_in_batch(users: Tensor, items: Tensor, rows: Tensor, columns: Tensor, known: Tensor) -> Tensor:
    """L_bpr with all other targets of the batch as negatives.

    Parameters
    ----------
    users, items
        (n, d) and (m, d): h of the samples, and of the distinct targets.
    rows, columns
        (n_targets,): sample and item of each target.
    known
        (n, m): whether the user interacted with the item, which is then no negative.

    Returns
    -------
    Mean over targets of the mean of −ln σ(h(u) · (h(p) − h(n))) over all their negatives n.
    """
    scores = users @ items.T
    margins = scores[rows, columns][:, None] - scores[rows]
    allowed = (~known[rows]).to(margins.dtype)
    losses = -functional.logsigmoid(margins) * allowed
    return (losses.sum(-1) / allowed.sum(-1).clamp(min=1)).mean()


def softmax_in_batch(
    users: Tensor, items: Tensor, rows: Tensor, columns: Tensor, known: Tensor, counts: Tensor
) -> Tensor:
    """Sampled soft-max over the targets of the batch, in place of L_bpr (Yi et al., RecSys 2019, eq. 5).

    Arguments as in :func:`ranking_in_batch`, and ``counts`` (m,): train interactions of the items. An item is in a
    batch about as often as it was interacted with, which the logarithm of that number corrects.
    """
    scores = (users @ items.T - counts.log())[rows]
    targets = scores.gather(1, columns[:, None])
    others = scores.masked_fill(known[rows], -torch.inf)
    return (torch.cat([targets, others], 1).logsumexp(1) - targets[:, 0]).mean()
