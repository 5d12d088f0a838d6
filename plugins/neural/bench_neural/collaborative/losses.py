"""From the vectors of a batch to its loss."""

from __future__ import annotations

from typing import NamedTuple

import torch
from bench_torchkit.losses import bpr, never, sampled_softmax
from torch import Tensor

from bench_neural.collaborative.sampling import Batch


class Scored(NamedTuple):
    """What the scores of a batch are made of."""

    users: Tensor
    """(n, d)."""
    positives: Tensor
    """(n, d)."""
    negatives: Tensor
    """(m, d)."""


def ranking_loss(name: str, hardness: float, vectors: Scored, bias: Tensor | None, batch: Batch) -> Tensor:
    """The loss of that name; a score is the product of both vectors, and the item's ``bias`` (n_items,).

    In a softmax only the negatives are corrected: the positive is there with certainty. So the sum over negatives
    estimates the sum over all items that are no positives of the user, whatever the negatives are drawn by.
    """
    positive = (vectors.users * vectors.positives).sum(dim=1)
    shift = torch.zeros_like(batch.log_q) if name == "bpr" else -batch.log_q
    if bias is not None:
        positive, shift = positive + bias[batch.positives], shift + bias[batch.negatives]
    negative = torch.addmm(shift.to(vectors.users), vectors.users, vectors.negatives.T)
    if name == "bpr":
        allowed = torch.ones_like(negative, dtype=torch.bool)
        allowed[batch.rows, batch.columns] = False
        return bpr(positive, negative, allowed, hardness)
    # They are few: a mask of all pairs takes a tenth of the step.
    negative[batch.rows, batch.columns] = never(negative)
    return sampled_softmax(positive, negative)


def penalty(vectors: Scored) -> Tensor:
    """Mean squared length of users, of positives and of negatives, added."""
    return torch.stack([part.square().sum(dim=1).mean() for part in vectors]).sum()
