"""Weighted sums of rows in place of sparse products and of many small ones, and large products in pieces.

    python benchmarks/weighted_sums.py

One thread of a CPU. Sizes are those of ``colarec-phone``: 27,879 users, 10,429 items, about 150,000 interactions that
nobody made, d = 64.

- a propagation over the graph of users and items (:mod:`bench_torchkit.graph`), against torch's sparse product;
- scores of the 22 codes that may come next of 2,048 identifiers, with their gradients
  (:class:`bench_colarec.network.codebooks.Products`), against torch's own gradient of the products written out;
- a softmax of 2,048 states over all items, with its gradients (:func:`bench_torchkit.losses.softmax`), against torch's
  cross-entropy of all products.

Both sides take turns in one run; seconds are those of the processor. Writes ``benchmarks/records/weighted_sums.json``.
"""

from __future__ import annotations

import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from bench_colarec.network.codebooks import Products
from bench_torchkit.graph import as_tensor, normalized_adjacency, propagate
from bench_torchkit.losses import softmax
from torch import Tensor
from torch.nn.functional import cross_entropy, embedding

from bench.interactions import Interactions

USERS, ITEMS, PER_USER, SIZE, LAYERS = 27_879, 10_429, 5, 64, 3
STATES, CODES = 2048, 22
ROUNDS = 15
RECORD = Path(__file__).parent / "records" / "weighted_sums.json"


def random_train(rng: np.random.Generator) -> Interactions:
    """Some items of each user, few of them often and most of them seldom."""
    rows = [np.unique((ITEMS * rng.random(PER_USER + 1) ** 2).astype(np.int32)) for _ in range(USERS)]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return Interactions(indptr, np.concatenate(rows), np.zeros(indptr[-1], np.int64), ITEMS)


def turns(sides: dict[str, Callable[[], list[Tensor]]]) -> dict[str, float]:
    """Milliseconds of each side, medians over rounds, and how many times faster the second one is."""
    results, seconds = {name: side() for name, side in sides.items()}, {name: list[float]() for name in sides}
    one, other = results.values()
    for own, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-4, atol=1e-5)
    for _ in range(ROUNDS):
        for name, side in sides.items():
            start = time.process_time()
            side()
            seconds[name].append(time.process_time() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    plain, ours = medians.values()
    return {**{name: round(1000 * value, 2) for name, value in medians.items()}, "ratio": round(plain / ours, 2)}


def propagation(rng: np.random.Generator) -> dict[str, float]:
    """Three layers forth."""
    matrix = as_tensor(normalized_adjacency(random_train(rng)), "cpu")
    ego = torch.from_numpy(rng.standard_normal((USERS + ITEMS, SIZE), np.float32))

    def sparse() -> list[Tensor]:
        total = values = ego
        for _ in range(LAYERS):
            values = matrix @ values
            total = total + values
        return [total / (LAYERS + 1)]

    return turns({"sparse product": sparse, "weighted sums": lambda: [propagate(ego, matrix, LAYERS)]})


def products(rng: np.random.Generator) -> dict[str, float]:
    """Forth and back, from states to a table of all items."""
    given = [rng.standard_normal((rows, SIZE), np.float32) for rows in (STATES, ITEMS)]
    states, table = (torch.from_numpy(values).requires_grad_() for values in given)
    parents = rng.integers(0, ITEMS // CODES, STATES)
    rows = torch.from_numpy(parents[:, None] * CODES + np.arange(CODES))
    above = torch.from_numpy(rng.standard_normal((STATES, CODES), np.float32))

    def plain() -> list[Tensor]:
        scores = (embedding(rows, table) * states.unsqueeze(-2)).sum(-1)
        return [scores.detach(), *torch.autograd.grad(scores, [states, table], above)]

    def sums() -> list[Tensor]:
        scores: Tensor = Products.apply(states, table, rows)  # type: ignore[no-untyped-call]
        return [scores.detach(), *torch.autograd.grad(scores, [states, table], above)]

    return turns({"written out": plain, "weighted sums": sums})


def softmax_over_all(rng: np.random.Generator) -> dict[str, float]:
    """Forth and back, from states to a table of all items."""
    given = [rng.standard_normal((rows, SIZE), np.float32) / 4 for rows in (STATES, ITEMS)]
    states, table = (torch.from_numpy(values).requires_grad_() for values in given)
    targets = torch.from_numpy(rng.integers(0, ITEMS, STATES))

    def whole() -> list[Tensor]:
        loss = cross_entropy(states @ table.T, targets)
        return [loss.detach(), *torch.autograd.grad(loss, [states, table])]

    def pieces() -> list[Tensor]:
        loss = softmax(states, table, targets)
        return [loss.detach(), *torch.autograd.grad(loss, [states, table])]

    return turns({"all at once": whole, "in pieces": pieces})


def main() -> None:
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    record = {
        "torch": torch.__version__,
        "milliseconds": {
            "propagation, three layers": propagation(rng),
            "products, with gradients": products(rng),
            "softmax over all items, with gradients": softmax_over_all(rng),
        },
    }
    print(json.dumps(record, indent=2))
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
