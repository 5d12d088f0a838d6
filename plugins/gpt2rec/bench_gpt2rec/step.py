"""What one batch costs: from a batch to losses."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench_gpt2rec.config import Gpt2RecConfig
from bench_gpt2rec.losses import bpr, info_nce
from bench_gpt2rec.network import Network, Side
from bench_gpt2rec.reader import Described, Wanted
from bench_gpt2rec.sampling import Batch


def losses(config: Gpt2RecConfig, network: Network, batch: Batch) -> dict[str, Tensor]:
    """``total``, and its parts before they are weighted: ``bpr`` and, with texts and λ > 0, ``contrast``."""
    users, items = _users(network, batch), distinct(batch.positives, batch.negatives)
    described = _read(network, users, items, batch)
    numbers = [torch.from_numpy(side.numbers).to(network.device) for side in (users, items)]
    of_users, of_positives, of_negatives = (
        torch.from_numpy(places).to(network.device) for places in (*users.places, *items.places)
    )
    sides = list(zip((network.users, network.items), numbers, described, strict=True))
    vectors = [side(number, one).vectors for side, number, one in sides]
    user_halves = network.scorer.users(vectors[0]).rows(of_users)
    item_halves = network.scorer.items(vectors[1], numbers[1])
    found = {
        "bpr": bpr(
            network.scorer.pairs(user_halves, item_halves.rows(of_positives)),
            network.scorer.every(user_halves, item_halves.rows(of_negatives)),
            torch.from_numpy(batch.counts).to(network.device),
            config.hardness,
        )
    }
    total = found["bpr"]
    if config.contrast_weight and network.reader is not None:
        found["contrast"] = torch.stack([_contrast(config, *side) for side in sides]).mean()
        total = total + config.contrast_weight * found["contrast"]
    if config.regularisation:
        squares = [side.square().sum(dim=1) for side in vectors]
        means = squares[0][of_users].mean() + squares[1][of_positives].mean() + squares[1][of_negatives].mean()
        total = total + config.regularisation * means
    return {"total": total, **found}


class Distinct(NamedTuple):
    """Users or items of a batch, each once however often the batch has it, so that it is fused once."""

    numbers: NDArray[np.int64]
    """(n,)."""
    places: list[NDArray[np.int64]]
    """Where those of the batch are in ``numbers``, as many arrays as were given."""


def distinct(*numbers: NDArray[np.int64]) -> Distinct:
    """The distinct values of some arrays."""
    found, places = np.unique(np.concatenate(numbers), return_inverse=True)
    return Distinct(found, np.split(places, np.cumsum([len(one) for one in numbers])[:-1]))


def _users(network: Network, batch: Batch) -> Distinct:
    if network.reader is not None and network.reader.documents.profiles is None:
        # A user is described by another history for each positive, which is left out of it.
        return Distinct(batch.users, [np.arange(len(batch.users))])
    return distinct(batch.users)


def _read(network: Network, users: Distinct, items: Distinct, batch: Batch) -> list[Described | None]:
    """What describes ``users`` and ``items``; a text that describes both is read once."""
    if network.reader is None:
        return [None, None]
    documents = network.reader.documents
    if documents.profiles is None:
        of_users = documents.of_histories(batch.known)
    else:
        of_users = documents.profiles[users.numbers][:, None]
    wanted = Wanted(of_users, documents.user_tokens), Wanted(documents.of_items(items.numbers))
    return [*network.reader(*wanted)]


def _contrast(config: Gpt2RecConfig, side: Side, numbers: Tensor, described: Described | None) -> Tensor:
    """InfoNCE over the users or items ``numbers`` (n,) that have a text; of one user with two histories, the first."""
    assert described is not None
    rows = torch.from_numpy(np.unique(numbers.cpu().numpy(), return_index=True)[1]).to(numbers.device)
    rows = rows[described.there[rows]]
    rows = rows[torch.randperm(len(rows))[: config.contrast_batch].to(rows.device)]
    if len(rows) < 2:
        return described.states.tokens.new_zeros(())
    documents = described.documents[rows]
    ids, text = side.views(numbers[rows], Described(described.states, documents))
    return info_nce(ids, text, config.temperature, documents[:, 0] if documents.shape[1] == 1 else None)
