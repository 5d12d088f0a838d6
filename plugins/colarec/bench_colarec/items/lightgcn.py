"""A LightGCN (He et al., SIGIR 2020, arXiv:2002.02126) that may begin at the leading singular vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from bench_torchkit.graph import as_tensor, normalized_adjacency, propagate, singular_vectors
from bench_torchkit.negatives import NegativeSampler
from bench_torchkit.trainer import train_epochs
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding, softplus

from bench import Context, Interactions
from bench_colarec.items.vectors import Vectors

_NOISE = 0.1
"""Standard deviation of random initial values, as in the authors' code."""

_INITIAL_LENGTH = 4.0
"""Length of the rows when they begin as singular vectors. Shorter ones begin to learn popularity first, and so lose
what they were given; longer ones leave BPR nothing to learn, since pairs are ranked with certainty."""


def lightgcn(
    train: Interactions,
    context: Context,
    *,
    publish: Callable[[Vectors], None],
    size: int = 64,
    layers: int = 3,
    learning_rate: float = 0.02,
    batch_size: int = 16384,
    l2: float = 1e-3,
    passes: int = 200,
    negatives: int = 1,
    init: Literal["svd", "random"] = "svd",
    stage: str = "vectors",
) -> Vectors:
    """Train a LightGCN on ``train`` by BPR until the core's stopping rule ends it, as a stage of its own.

    Its epochs grow: see :func:`looks`.

    Parameters
    ----------
    publish
        Called with the vectors of now before each validation, so that ``recommend`` scores with them.
    passes
        Most passes over the interactions.
    size, layers
        d and the number of propagations; 0 layers is matrix factorization.
    learning_rate, batch_size, l2, negatives
        Of Adam; pairs per step (large ones make an epoch cheap); weight of the penalty; pairs of each interaction.
    init
        ``random`` is the paper's. ``svd`` begins near the end: with the leading singular vectors of the normalized
        interactions, each times the root of its singular value, and rows of equal length as in spectral clustering.

    Returns
    -------
    The propagated vectors of the best validation, or of the last epoch if nothing was validated.
    """
    rng = np.random.default_rng(context.seed)
    adjacency = normalized_adjacency(train)
    values = _initial_values(adjacency, train.n_users, size, init, rng)
    ego = torch.nn.Parameter(torch.from_numpy(values).to(context.device))
    matrix = as_tensor(adjacency, context.device)
    optimizer = torch.optim.Adam([ego], lr=learning_rate, fused=True)
    pairs = Pairs(train, negatives, rng)

    @torch.no_grad()
    def current() -> Vectors:
        out = propagate(ego, matrix, layers).cpu().numpy()
        return Vectors(out[: train.n_users], out[train.n_users :])

    now = current()

    ends = [0, *looks(passes)]

    def train_pass() -> None:
        for rows in pairs.batches(batch_size):
            nodes = torch.from_numpy(np.concatenate(rows)).to(context.device)
            users, positives, negatives = embedding(nodes, propagate(ego, matrix, layers)).chunk(3)
            loss = bpr(users, positives, negatives) + l2 * penalty(ego, nodes)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    def train_epoch(epoch: int) -> None:
        nonlocal now
        for number in range(ends[epoch - 1] + 1, ends[epoch] + 1):
            train_pass()
            context.progress(number, ends[-1], "pass")
        now = current()
        publish(now)

    best = train_epochs(context, len(ends) - 1, train_epoch, lambda: now, stage)
    return now if best is None else best


def looks(passes: int) -> list[int]:
    """After which passes the vectors are validated, each a fifth further on than the one before, and at least a pass.

    On dense data a few passes are enough, on sparse ones vectors get better for a hundred, by less in each than the
    users of a validation err. So the stopping rule allows for a number of looks without a better score, not of passes.
    """
    found = [1]
    while found[-1] < passes:
        found.append(min(passes, max(found[-1] + 1, found[-1] * 6 // 5)))
    return found


def _initial_values(
    adjacency: Any, n_users: int, size: int, init: Literal["svd", "random"], rng: np.random.Generator
) -> NDArray[np.float32]:
    values = rng.normal(0, _NOISE, (adjacency.shape[0], size))
    if init == "svd":
        found = singular_vectors(adjacency[:n_users, n_users:], size, rng)
        values[:, : found.shape[1]] = _INITIAL_LENGTH * found
    return values.astype(np.float32)


def bpr(users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Mean of -ln σ(u·i - u·j) over rows of (b, d) (eq. 15)."""
    return softplus((users * (negatives - positives)).sum(dim=1)).mean()


def penalty(ego: Tensor, nodes: Tensor) -> Tensor:
    """Half the squared length of the rows (3 b,) of ``ego`` that b triples name, per triple: the authors' L2 term."""
    times = torch.bincount(nodes, minlength=len(ego)).to(ego.dtype)
    return 3 / 2 * (ego.square().sum(dim=1) @ times) / len(nodes)


class Pairs:
    """Interactions, each with an item at random that the user has not interacted with."""

    def __init__(self, train: Interactions, negatives: int, rng: np.random.Generator) -> None:
        self._n_users, self._n_items = train.shape
        self._rng = rng
        self._sampler = NegativeSampler(train)
        keys = np.sort(train.users * train.n_items + train.items)
        # Who has interacted with everything has no negative, and nothing to learn a ranking from.
        learnable = keys[np.repeat(train.lengths < train.n_items, train.lengths)]
        self._positives = np.repeat(learnable, negatives)

    def batches(self, size: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """Nodes of users, positives and negatives, (b,) each, b ≤ ``size``: all pairs once, in random order."""
        order = self._rng.permutation(self._positives)
        for begin in range(0, len(order), size):
            users, items = np.divmod(order[begin : begin + size], self._n_items)
            yield users, items + self._n_users, self._sampler.draw(self._rng, users) + self._n_users
