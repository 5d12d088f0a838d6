"""The losses of section 3.4 of the paper, on tensors. Sampled softmax and BPR over a batch are the toolkit's."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def generation_loss(log_likelihoods: Tensor) -> Tensor:
    """L_rec and L_index: mean over identifiers of -Σ_t ln P(code t), from (…, codes) log-likelihoods."""
    return -log_likelihoods.sum(-1).mean()


def bpr_loss(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """L_bpr and L_c: mean of -ln σ(h(a) · (h(p) - h(n))), all (n, d)."""
    return -functional.logsigmoid((anchor * (positive - negative)).sum(-1)).mean()
