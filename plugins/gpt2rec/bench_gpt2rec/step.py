"""What one batch costs: from a batch to losses."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from bench_torchkit.losses import bpr, info_nce
from numpy.typing import NDArray
from torch import Tensor

from bench_gpt2rec.config import Gpt2RecConfig
from bench_gpt2rec.encoder import Request, TextFeatures
from bench_gpt2rec.network import Network, Tower
from bench_gpt2rec.sampling import Batch


def losses(config: Gpt2RecConfig, network: Network, batch: Batch) -> dict[str, Tensor]:
    """``total``, and its parts before they are weighted: ``bpr`` and, with texts and λ > 0, ``contrastive``."""
    users, items = _users(network, batch), distinct(batch.positives, batch.negatives)
    features = _read(network, users, items, batch)
    numbers = [torch.from_numpy(one.numbers).to(network.device) for one in (users, items)]
    of_users, of_positives, of_negatives = (
        torch.from_numpy(places).to(network.device) for places in (*users.places, *items.places)
    )
    towers = list(zip((network.users, network.items), numbers, features, strict=True))
    vectors = [tower(number, one).vectors for tower, number, one in towers]
    partial_users = network.scorer.users(vectors[0]).rows(of_users)
    partial_items = network.scorer.items(vectors[1], numbers[1])
    found = {
        "bpr": bpr(
            network.scorer.score_pairs(partial_users, partial_items.rows(of_positives)),
            network.scorer.score_all(partial_users, partial_items.rows(of_negatives)),
            torch.from_numpy(batch.allowed).to(network.device),
            config.adversarial_temperature,
        )
    }
    total = found["bpr"]
    if config.contrastive_weight and network.encoder is not None:
        found["contrastive"] = torch.stack([_contrastive(config, *tower) for tower in towers]).mean()
        total = total + config.contrastive_weight * found["contrastive"]
    if config.l2:
        squares = [one.square().sum(dim=1) for one in vectors]
        means = squares[0][of_users].mean() + squares[1][of_positives].mean() + squares[1][of_negatives].mean()
        total = total + config.l2 * means
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
    if network.encoder is not None and network.encoder.documents.profiles is None:
        # A user is described by another history for each positive, which is left out of it.
        return Distinct(batch.users, [np.arange(len(batch.users))])
    return distinct(batch.users)


def _read(network: Network, users: Distinct, items: Distinct, batch: Batch) -> list[TextFeatures | None]:
    """The texts of ``users`` and ``items``; one that describes both is read once."""
    if network.encoder is None:
        return [None, None]
    documents = network.encoder.documents
    if documents.profiles is None:
        of_users = documents.of_histories(batch.known)
    else:
        of_users = documents.profiles[users.numbers][:, None]
    requests = Request(of_users, documents.user_tokens), Request(documents.of_items(items.numbers))
    return [*network.encoder(*requests)]


def _contrastive(config: Gpt2RecConfig, tower: Tower, numbers: Tensor, features: TextFeatures | None) -> Tensor:
    """InfoNCE over the users or items ``numbers`` (n,) that have a text; of one user with two histories, the first."""
    assert features is not None
    rows = torch.from_numpy(np.unique(numbers.cpu().numpy(), return_index=True)[1]).to(numbers.device)
    rows = rows[features.mask[rows]]
    rows = rows[torch.randperm(len(rows))[: config.contrastive_batch_size].to(rows.device)]
    if len(rows) < 2:
        return features.states.tokens.new_zeros(())
    documents = features.documents[rows]
    ids, text = tower.views(numbers[rows], TextFeatures(features.states, documents))
    same = documents[:, 0] if documents.shape[1] == 1 else None
    return info_nce(ids, text, config.contrastive_temperature, same)
