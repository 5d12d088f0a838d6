"""Scores of all items for some users, by the kind of model.

:func:`scores` is for the benchmark. Every other function takes a built model, users (b,) as RecBole ids and their
histories (b rows), and returns scores (b, n_items + 1), the first column being RecBole's padding.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from bench_torchkit.pairs import add_scores
from numpy.typing import NDArray
from recbole.data.interaction import Interaction
from recbole.data.transform import MaskItemSequence
from recbole.model.abstract_recommender import AbstractRecommender, AutoEncoderMixin, SequentialRecommender
from recbole.model.general_recommender import NeuMF, SimpleX
from torch.nn.functional import normalize, pad

from bench import Interactions
from bench_recbole.dataset import histories
from bench_recbole.setup import Built

Score = Callable[[Built, torch.Tensor, Interactions], torch.Tensor]

USERS_AT_ONCE = 512
"""Users in one forward pass, which bounds the memory of hidden states; ``rank`` bounds that of the scores."""

PAIRS_AT_ONCE = 2**12
"""User-item pairs in one forward pass of a model that scores pairs: few enough to stay in the processor's cache."""

USER_VECTORS = frozenset({"CDAE", "Caser", "FOSSIL", "FPMC", "HGN", "HRM", "NPE", "SHAN", "SimpleX", "TransRec"})
"""Models that read the history and beside it what they have learned of each user by id."""


def scores(built: Built, users: NDArray[np.int64], history: Interactions) -> NDArray[np.float32]:
    """Scores (n, n_items) of all items for ``users`` (n,) with n rows of ``history``."""
    built.model.eval()
    score = _kind(built)
    device = built.options["device"]
    found = np.empty((len(users), history.n_items), np.float32)
    with torch.inference_mode():
        for start in range(0, len(users), USERS_AT_ONCE):
            part = np.arange(start, min(start + USERS_AT_ONCE, len(users)))
            batch = score(built, torch.from_numpy(users[part] + 1).to(device), history.select(part))
            found[part] = batch[:, 1:].cpu().numpy()
    return found


def _kind(built: Built) -> Score:
    model = built.model
    if built.is_sequential:
        return _by_sequence
    if isinstance(model, AutoEncoderMixin):
        return _by_rating_row
    if isinstance(model, SimpleX):
        return _simplex
    if isinstance(model, NeuMF):
        return _neumf
    if type(model).full_sort_predict is AbstractRecommender.full_sort_predict:
        return _by_pair
    return _by_user


def folds_in(recbole_class: type[AbstractRecommender]) -> bool:
    """Whether the given history is all that a model of this class needs to know of a user."""
    reads_history = issubclass(recbole_class, (SequentialRecommender, AutoEncoderMixin))
    return reads_history and recbole_class.__name__ not in USER_VECTORS


def _by_user(built: Built, users: torch.Tensor, _history: Interactions) -> torch.Tensor:
    """What the model has learned of each user, by id."""
    scores: torch.Tensor = built.model.full_sort_predict(Interaction({built.data.uid_field: users}))
    return scores.view(len(users), -1)


def _by_sequence(built: Built, users: torch.Tensor, history: Interactions) -> torch.Tensor:
    """From the latest items of the history. An empty one is a sequence of one padding item."""
    masked = isinstance(built.transform, MaskItemSequence)
    width = built.data.max_item_list_len
    sequences, lengths = histories(history, width - masked)
    if masked:  # RecBole puts the mask behind the items, and drops the first column
        sequences, lengths = pad(sequences, (1, 0)), lengths + 1
    batch = Interaction({
        built.data.uid_field: users.cpu(),
        built.data.item_id_list_field: sequences,
        built.data.item_list_length_field: lengths.clamp(min=1),
    })  # fmt: skip
    if not masked:  # masking is for training only
        batch = built.transform(built.data, batch)
    scores: torch.Tensor = built.model.full_sort_predict(batch.to(users.device))
    return scores.view(len(users), -1)


def _by_rating_row(built: Built, users: torch.Tensor, history: Interactions) -> torch.Tensor:
    """From the history as a row of ones, where RecBole's autoencoders would look up the user's train row."""
    rows = torch.zeros(len(users), history.n_items + 1)
    rows[torch.from_numpy(history.users), torch.from_numpy(history.items + 1)] = 1
    rows = rows.to(users.device)
    built.model.get_rating_matrix = lambda _users: rows
    try:
        return _by_user(built, users, history)
    finally:
        del built.model.get_rating_matrix


def _simplex(built: Built, users: torch.Tensor, history: Interactions) -> torch.Tensor:
    """SimpleX's ``full_sort_predict`` on the given history instead of the train row."""
    model = built.model
    ids, lengths = (tensor.to(users.device) for tensor in histories(history, built.options["history_len"]))
    vectors = model.get_UI_aggregation(model.user_emb(users), model.item_emb(ids), lengths)
    return normalize(vectors, dim=1) @ normalize(model.item_emb.weight, dim=1).T


def _neumf(built: Built, users: torch.Tensor, _history: Interactions) -> torch.Tensor:
    """NeuMF's logits, which rank as its probabilities do but never tie at 0 or 1.

    The perceptron scores pairs as :mod:`bench_torchkit.pairs` says, which saves most of the work.
    """
    model = built.model
    weight = model.predict_layer.weight[0]
    scores: torch.Tensor = model.predict_layer.bias.repeat(len(users), model.n_items)
    if model.mf_train:
        mf_weight = weight[: model.mf_embedding_size]
        scores = scores + model.user_mf_embedding(users) * mf_weight @ model.item_mf_embedding.weight.T
    if model.mlp_train:
        first, rest = model.mlp_layers.mlp_layers[1], model.mlp_layers.mlp_layers[2:]  # before them: dropout
        user_weight, item_weight = first.weight.split(model.mlp_embedding_size, dim=1)
        user_half = model.user_mlp_embedding(users) @ user_weight.T + first.bias
        item_half = model.item_mlp_embedding.weight @ item_weight.T
        mlp_weight = weight[-model.mlp_hidden_size[-1] :]
        add_scores(scores, user_half, item_half, lambda hidden: rest(hidden) @ mlp_weight, PAIRS_AT_ONCE)
    return scores


def _by_pair(built: Built, users: torch.Tensor, history: Interactions) -> torch.Tensor:
    """Pair by pair, for models that have no other way."""
    items = torch.arange(history.n_items + 1, device=users.device)
    parts = [
        built.model.predict(
            Interaction({
                built.data.uid_field: part.repeat_interleave(len(items)),
                built.data.iid_field: items.repeat(len(part)),
            })
        )
        for part in torch.split(users, max(1, PAIRS_AT_ONCE // len(items)))
    ]  # fmt: skip
    return torch.cat(parts).view(len(users), -1)
