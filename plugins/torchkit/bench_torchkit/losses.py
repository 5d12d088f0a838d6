"""Losses of rankings, each a mean over rows of scores: one positive (n,) and some negatives (n, m)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, softplus


def never(scores: Tensor) -> float:
    """A score that counts nothing; not minus infinity, since a row of nothing else would have a gradient of NaN."""
    return torch.finfo(scores.dtype).min


def bpr(positive: Tensor, negative: Tensor, allowed: Tensor | None = None, hardness: float = 0.0) -> Tensor:
    """-ln σ(positive - negative), a weighted mean over negatives, then the mean over rows.

    Rendle et al., BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI 2009, section 4.1. The weights are
    those of adversarial sampling: Sun et al., RotatE, ICLR 2019, equation 5.

    Parameters
    ----------
    positive
        (n,) scores.
    negative
        (n, m) scores of negatives; or (n,), one for each row.
    allowed
        (n, m) true where a negative counts; all if left out. A row without any adds nothing.
    hardness
        Temperature of the weights softmax(hardness · score) over the negatives of a row, without a gradient; 0 weights
        all equally.
    """
    if negative.dim() == 1:
        return softplus(negative - positive).mean()
    logits = hardness * negative.detach()
    if allowed is not None:
        logits = logits.masked_fill(~allowed, -torch.inf)
    weights = torch.softmax(logits, dim=1).nan_to_num(0.0)
    losses = softplus(negative - positive.unsqueeze(1))
    return (weights * losses).sum(dim=1).mean()


def sampled_softmax(
    positive: Tensor,
    negative: Tensor,
    allowed: Tensor | None = None,
    log_q: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Cross-entropy of the positive among itself and the negatives, corrected for how often items are drawn.

    Bengio and Senécal, Adaptive importance sampling, IEEE Trans. Neural Networks 2008; for batches of recommenders Yi
    et al., Sampling-bias-corrected neural modeling, RecSys 2019, equation 5.

    Parameters
    ----------
    positive, negative
        (n,) and (n, m) scores.
    allowed
        (n, m) true where a negative counts; all if left out. The positive itself must not be among the negatives.
    log_q
        Logarithms of the probability of being drawn, or of anything proportional to it, for the positives (n,) and the
        negatives (m,) or (n, m); they are subtracted from the scores. None where all items are equally likely.
    """
    if log_q is not None:
        positive, negative = positive - log_q[0], negative - log_q[1]
    if allowed is not None:
        negative = negative.masked_fill(~allowed, never(negative))
    precise = torch.promote_types(negative.dtype, torch.float32)
    return _Softmax.apply(positive.to(precise), negative.to(precise))  # type: ignore[no-any-return, no-untyped-call]


class _Softmax(torch.autograd.Function):
    """Mean of -ln(exp(p) / (exp(p) + Σ exp(n))): its exponentials become its gradient in place, so there is one."""

    @staticmethod
    def forward(ctx: Any, positive: Tensor, negative: Tensor) -> Tensor:
        top = torch.maximum(negative.amax(1), positive)
        own, others = (positive - top).exp(), (negative - top[:, None]).exp_()
        total = own + others.sum(1)
        ctx.save_for_backward(own, others, total)
        return (total.log() + top - positive).mean()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        own, others, total = ctx.saved_tensors
        scale = gradient / len(own) / total
        return own * scale - gradient / len(own), others.mul_(scale[:, None])


def softmax(states: Tensor, vectors: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the products of states with all vectors, some rows of them at a time.

    The value and both gradients are those of ``cross_entropy(states @ vectors.T, targets)``; that holds (n, n_items)
    products three times, this never more than a few millions.

    Parameters
    ----------
    states
        (n, d).
    vectors
        (n_items, d), one of each class.
    targets
        (n,) numbers of the right ones.
    """
    return _AllSoftmax.apply(states, vectors, targets)  # type: ignore[no-any-return, no-untyped-call]


_PRODUCTS = {"cpu": 2**21, "cuda": 2**27}
"""At a time: as many as lie near the processor, or keep a device busy."""


class _AllSoftmax(torch.autograd.Function):
    """Gradients are made beside the value, as long as a piece of the products is at hand."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, vectors: Tensor, targets: Tensor) -> Tensor:
        n, loss = len(states), states.new_zeros(())
        of_states, of_vectors = torch.empty_like(states), torch.zeros_like(vectors)
        rows = max(1, _PRODUCTS.get(states.device.type, 2**21) // len(vectors))
        for begin in range(0, n, rows):
            piece, right = states[begin : begin + rows], targets[begin : begin + rows, None]
            products = piece @ vectors.T
            own, top = products.gather(1, right), products.amax(1, keepdim=True)
            shares = products.sub_(top).exp_()
            total = shares.sum(1, keepdim=True)
            loss += (total.log() + top - own).sum()
            shares.div_(total * n).scatter_add_(1, right, torch.full_like(top, -1 / n))
            torch.mm(shares, vectors, out=of_states[begin : begin + rows])
            of_vectors.addmm_(shares.T, piece)
        ctx.save_for_backward(of_states, of_vectors)
        return loss / n

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        of_states, of_vectors = ctx.saved_tensors
        return of_states * gradient, of_vectors * gradient, None


def bce(positive: Tensor, negative: Tensor) -> Tensor:
    """Binary cross-entropy: -(ln σ(positive) + Σ ln(1 - σ(negative))) / (1 + number of negatives), mean over rows.

    Kang and McAuley, Self-Attentive Sequential Recommendation, ICDM 2018, section III.E, with any number of negatives.
    """
    return _bce(softplus(-positive), negative)


def gbce(positive: Tensor, negative: Tensor, sampling_rate: float, calibration: float) -> Tensor:
    """Generalised binary cross-entropy: :func:`bce` with σ(positive) to the power of β.

    Petrov and Macdonald, gSASRec: Reducing Overconfidence in Sequential Recommendation Trained with Negative Sampling,
    RecSys 2023: β = α (t (1 - 1/α) + 1/α).

    Parameters
    ----------
    positive, negative
        (n,) and (n, m) scores.
    sampling_rate
        α: negatives of a row divided by the items that are not positive, above 0 and at most 1.
    calibration
        t: with 0 it is :func:`bce`; with 1 the scores are as well calibrated as without sampling.
    """
    beta = sampling_rate * (calibration * (1 - 1 / sampling_rate) + 1 / sampling_rate)
    return _bce(beta * softplus(-positive), negative)


def _bce(of_positive: Tensor, negative: Tensor) -> Tensor:
    return ((of_positive + softplus(negative).sum(1)) / (1 + negative.shape[1])).mean()


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
