"""From the vectors of a batch to its loss."""

from __future__ import annotations

from typing import NamedTuple

import torch
from bench_torchkit.losses import bpr, sampled_softmax
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


def batch_scores(vectors: Scored, bias: Tensor | None, batch: Batch) -> tuple[Tensor, Tensor]:
    """(n,) and (n, m): scores of positives and negatives, the product of both vectors and the item's ``bias``."""
    positive = (vectors.users * vectors.positives).sum(dim=1)
    negative = vectors.users @ vectors.negatives.T
    if bias is None:
        return positive, negative
    return positive + bias[batch.positives], negative + bias[batch.negatives]


def ranking_loss(name: str, hardness: float, positive: Tensor, negative: Tensor, batch: Batch) -> Tensor:
    """The loss of that name; scores as :func:`batch_scores` gives them.

    Only the negatives are corrected: the positive is there with certainty. So the sum over negatives estimates the sum
    over all items that are no positives of the user, whatever the negatives are drawn by.
    """
    if name == "bpr":
        return bpr(positive, negative, batch.allowed, hardness)
    return sampled_softmax(positive, negative, batch.allowed, (torch.zeros_like(positive), batch.log_q))


def penalty(vectors: Scored) -> Tensor:
    """Mean squared length of users, of positives and of negatives, added."""
    return torch.stack([part.square().sum(dim=1).mean() for part in vectors]).sum()
