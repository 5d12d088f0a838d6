"""Codes by RQ-VAE: an autoencoder whose middle is coded level by level."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from bench_semid.items.quantize import Codes, Vectors, k_means

HIDDEN = (512, 256, 128)
"""Widths between the vectors and the middle, as in TIGER."""

MIDDLE = 32
"""Dimensions that are coded."""

_EPOCHS = 150
_BATCH = 1024
_RATE = 1e-3
_COMMITMENT = 0.25


class RQVAE(nn.Module):
    """Lee et al., Autoregressive Image Generation using Residual Quantization, CVPR 2022; for items Rajput et al.,
    Recommender Systems with Generative Retrieval (TIGER), NeurIPS 2023, section 3.1.
    """

    def __init__(self, size: int, codes: int, values: int) -> None:
        super().__init__()
        widths = [size, *HIDDEN, MIDDLE]
        self.encoder = _layers(widths)
        self.decoder = _layers(widths[::-1])
        self.tables = nn.Parameter(torch.zeros(codes, values, MIDDLE))

    def quantize(self, middle: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes (n, m), what they stand for (n, d), and the mean loss of codes and of commitment, of all levels."""
        rest, total, loss, codes = middle, torch.zeros_like(middle), middle.new_zeros(()), []
        for table in self.tables:
            chosen = torch.cdist(rest.detach(), table.detach()).argmin(1)
            near = table[chosen]
            loss = loss + mse_loss(near, rest.detach()) + _COMMITMENT * mse_loss(rest, near.detach())
            rest, total = rest - near.detach(), total + near
            codes.append(chosen)
        return torch.stack(codes, 1), total, loss

    def forward(self, vectors: Tensor) -> Tensor:
        """The loss: what is lost by the way there and back, and that of the codes."""
        middle = self.encoder(vectors)
        _, coded, loss = self.quantize(middle)
        restored = self.decoder(middle + (coded - middle).detach())
        return mse_loss(restored, vectors) + loss

    @torch.no_grad()
    def begin(self, vectors: Tensor, seed: int) -> None:
        """Tables by k-means of what is left over at each level."""
        rest = self.encoder(vectors).numpy()
        for level, table in enumerate(self.tables):
            clusters = k_means(rest, len(table), seed + level)
            table[: len(clusters.centres)] = torch.from_numpy(clusters.centres)
            rest = rest - clusters.centres[clusters.labels]

    @torch.no_grad()
    def revive(self, vectors: Tensor, generator: torch.Generator) -> None:
        """Put a value that no item has where some item is, so that no codebook collapses to a few values."""
        rest = self.encoder(vectors)
        for table in self.tables:
            chosen = torch.cdist(rest, table).argmin(1)
            unused = torch.bincount(chosen, minlength=len(table)) == 0
            places = torch.randint(len(rest), (int(unused.sum()),), generator=generator)
            table[unused] = rest[places]
            rest = rest - table[chosen]


def _layers(widths: list[int]) -> nn.Sequential:
    found: list[nn.Module] = []
    for number, (before, behind) in enumerate(pairwise(widths)):
        found += [nn.ReLU()] * bool(number) + [nn.Linear(before, behind)]
    return nn.Sequential(*found)


def rq_vae(vectors: Vectors, codes: int, values: int, seed: int) -> Codes:
    """Train an :class:`RQVAE` on the CPU, and code the vectors by it."""
    given = torch.from_numpy(vectors / max(1e-12, float(vectors.std())))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = RQVAE(vectors.shape[1], codes, values)
    module.begin(given, seed)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(module.parameters(), lr=_RATE, weight_decay=0.0, fused=True)
    for epoch in range(_EPOCHS):
        order = torch.randperm(len(given), generator=generator)
        for rows in torch.split(order, _BATCH):
            loss: Tensor = module(given[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        if epoch < _EPOCHS // 2:
            module.revive(given, generator)
    with torch.no_grad():
        found: Tensor = module.quantize(module.encoder(given))[0]
    return found.numpy().astype(np.int32)
