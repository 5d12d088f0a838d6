"""What one batch costs: from a batch to losses."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench_gpt2rec.config import Gpt2RecConfig
from bench_gpt2rec.losses import bpr, info_nce
from bench_gpt2rec.network import Network, Side
from bench_gpt2rec.reader import States
from bench_gpt2rec.sampling import Batch


def losses(config: Gpt2RecConfig, network: Network, batch: Batch) -> dict[str, Tensor]:
    """``total``, and its parts before they are weighted: ``bpr`` and, with texts and λ > 0, ``contrast``."""
    # Each item is fused once, however often the batch has it.
    items, place = np.unique(np.concatenate([batch.positives, batch.negatives]), return_inverse=True)
    users = torch.from_numpy(batch.users).to(network.device)
    chosen = torch.from_numpy(items).to(network.device)
    places = torch.from_numpy(place).to(network.device)
    states, tables = _read(network, batch, items)
    user_halves = network.scorer.users(network.users(users, states, tables[0]).vectors)
    item_halves = network.scorer.items(network.items(chosen, states, tables[1]).vectors, chosen)
    n = len(batch.positives)
    found = {
        "bpr": bpr(
            network.scorer.pairs(user_halves, item_halves.rows(places[:n])),
            network.scorer.every(user_halves, item_halves.rows(places[n:])),
            torch.from_numpy(batch.counts).to(network.device),
            config.hardness,
        )
    }
    total = found["bpr"]
    if config.contrast_weight and states is not None:
        found["contrast"] = (
            _contrast(config, network.users, batch.users, states, tables[0])
            + _contrast(config, network.items, items, states, tables[1])
        ) / 2
        total = total + config.contrast_weight * found["contrast"]
    if config.regularisation:
        squares = network.items.ids(chosen).square().sum(dim=1)[places]
        of_ids = network.users.ids(users).square().sum(dim=1).mean() + squares[:n].mean() + squares[n:].mean()
        total = total + config.regularisation * of_ids
    return {"total": total, **found}


def _read(network: Network, batch: Batch, items: NDArray[np.int64]) -> tuple[States | None, list[Tensor | None]]:
    """States of all that describes the users and ``items`` of a batch, and the documents of either."""
    if network.reader is None:
        return None, [None, None]
    documents = network.reader.documents
    if documents.profiles is None:
        of_users = documents.of_histories(batch.known)
    else:
        of_users = documents.profiles[batch.users][:, None]
    read = network.read(of_users, documents.of_items(items))
    return read.states, [*read.tables]


def _contrast(
    config: Gpt2RecConfig, side: Side, numbers: NDArray[np.int64], states: States, documents: Tensor | None
) -> Tensor:
    """InfoNCE over the distinct users or items ``numbers`` (n,) that have a text."""
    assert documents is not None
    rows = torch.from_numpy(np.unique(numbers, return_index=True)[1]).to(documents.device)
    rows = rows[(documents[rows] >= 0).any(dim=1)]
    if len(rows) < 2:
        return states.tokens.new_zeros(())
    ids, text = side.views(torch.from_numpy(numbers).to(documents.device)[rows], states, documents[rows])
    same = documents[rows, 0] if documents.shape[1] == 1 else None
    return info_nce(ids, text, config.temperature, same)
