"""Learning rates by name, and precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

Precision = Literal["auto", "float32", "bfloat16"]


_PLAIN: dict[str, Callable[[int], Callable[[int], float]]] = {
    "constant": lambda n_steps: lambda step: 1.0,
    "linear": lambda n_steps: lambda step: max(0.0, (n_steps - step) / max(1, n_steps)),
}
"""The two usual ones, as that function has them, which need nothing of it where the rate does not rise."""


def schedule(optimizer: Optimizer, name: str, n_steps: int, warm_up: float = 0.0, done: int = 0) -> LambdaLR:
    """A learning rate over ``n_steps`` steps, ``done`` of which are over, by a name of ``transformers.get_scheduler``.

    ``warm_up`` is the share of the steps in which the rate rises. Unlike that function's own, a rise does not begin at
    0, where the first step would learn nothing, but at its first stair, and the first step at the full rate is the last
    of the rise.
    """
    factor = _PLAIN[name](n_steps) if name in _PLAIN and not warm_up else _factor(optimizer, name, n_steps, warm_up)
    return LambdaLR(optimizer, lambda step: factor(done + step))


def _factor(optimizer: Optimizer, name: str, n_steps: int, warm_up: float) -> Callable[[int], float]:
    from transformers import get_scheduler  # imported late: it takes seconds, more than some models train

    rise = min(max(1, math.ceil(warm_up * n_steps)), n_steps - 1) if warm_up else 0
    if rise and name == "constant":
        name = "constant_with_warmup"
    found: LambdaLR = get_scheduler(name, optimizer, num_warmup_steps=rise, num_training_steps=n_steps)
    factor = found.lr_lambdas[0]
    return lambda step: factor(step + (step < rise))


def bfloat16(precision: Precision, device: str) -> bool:
    """Whether to compute in bfloat16; ``auto`` does where ``device`` is made for it."""
    if precision == "auto":
        return device.startswith("cuda") and torch.cuda.is_bf16_supported()
    return precision == "bfloat16"
