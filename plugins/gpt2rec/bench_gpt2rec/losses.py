"""BPR and InfoNCE."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, softplus


def bpr(positive: Tensor, negative: Tensor, counts: Tensor, hardness: float = 0.0) -> Tensor:
    """−ln σ(positive − negative), a weighted mean over negatives, then the mean over pairs.

    Rendle et al., BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI 2009, section 4.1; the weights are
    those of adversarial sampling, Sun et al., RotatE, ICLR 2019, equation 5.

    Parameters
    ----------
    positive
        (n,) scores.
    negative
        (n, m) scores of negatives.
    counts
        (n, m) true where a negative counts; a row without any adds nothing.
    hardness
        Weights are the soft-max over a row of ``hardness`` times the score, without a gradient; equal with 0.
    """
    logits = (hardness * negative.detach()).masked_fill(~counts, -torch.inf)
    weights = torch.softmax(logits, dim=1).nan_to_num(0.0)
    losses = softplus(negative - positive.unsqueeze(1))
    return (weights * losses).sum(dim=1).mean()


def info_nce(left: Tensor, right: Tensor, temperature: float, same: Tensor | None = None) -> Tensor:
    """In-batch InfoNCE in both directions: row ``i`` of either side has to find row ``i`` of the other.

    van den Oord et al., Representation Learning with Contrastive Predictive Coding, 2018, equation 4, with the cosine
    over ``temperature`` as the logarithm of f; symmetric as in Radford et al., CLIP, ICML 2021, figure 3.

    Parameters
    ----------
    left, right
        (n, d) vectors of n entities.
    temperature
        Divides the cosines.
    same
        (n,) integers: of entities with the same number, none is a negative of the other (they have the same text).
    """
    logits = normalize(left, dim=1) @ normalize(right, dim=1).T / temperature
    own = torch.arange(len(left), device=left.device)
    if same is not None:
        twins = (same.unsqueeze(0) == same.unsqueeze(1)) & (own.unsqueeze(0) != own.unsqueeze(1))
        logits = logits.masked_fill(twins, -torch.inf)
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2
