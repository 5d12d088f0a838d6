"""Hidden states of texts, computed in the training step or read from a precomputed cache."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from bench_torchkit.ragged import padded, pointers
from bench_torchkit.text import fingerprint, masked_mean
from numpy.typing import NDArray
from torch import Tensor, nn

from bench_gpt2rec.documents import Documents

Mode = Literal["cached", "dynamic"]

_TOKENS_AT_ONCE = 2**13
"""Tokens of texts of similar lengths that are read together on a CPU, so that activations stay in its caches."""

_TOKENS_AT_ONCE_GPU = 2**17


class States(NamedTuple):
    """What the language model made of some documents."""

    tokens: Tensor
    """(n, L, h): last hidden states; with one state per document, L = 1 and it is the mean of the tokens."""
    mask: Tensor
    """(n, L): true where there is a token."""

    def mean(self) -> Tensor:
        """(n, h): mean over tokens, padding left out."""
        return masked_mean(self.tokens, self.mask)

    def rows(self, chosen: Tensor) -> States:
        """Those of some of the documents."""
        return States(self.tokens[chosen], self.mask[chosen])

    def first(self, max_tokens: int | None) -> States:
        """The first tokens of each."""
        return States(self.tokens[:, :max_tokens], self.mask[:, :max_tokens])


class Request(NamedTuple):
    """What is to be read."""

    documents: NDArray[np.int64]
    """(n, m): documents of n users or items, −1 where there are fewer."""
    max_tokens: int | None = None
    """Tokens of each document that are needed; all if None."""


class TextFeatures(NamedTuple):
    """What there is to read of n users or items."""

    states: States
    """Of D documents."""
    documents: Tensor
    """(n, m): places in ``states`` of what describes each, −1 where there is less than m."""

    @property
    def mask(self) -> Tensor:
        """(n,): true where there is a document at all."""
        return (self.documents >= 0).any(dim=1)

    def mean(self) -> Tensor:
        """(n, h): mean over documents of the means over their tokens; 0 without any."""
        return masked_mean(self.states.mean()[self.documents.clamp(min=0)], self.documents >= 0)


class Cache(NamedTuple):
    """States of all documents."""

    fingerprint: str
    """Of the weights that made them."""
    indptr: NDArray[np.int64]
    """(n_documents + 1,)."""
    states: NDArray[np.float32]
    """(n_states, h): one per token, or one per document. Mapped from a file without a name, which goes with it."""

    def read(self, documents: NDArray[np.int64], max_tokens: int | None = None) -> States:
        """States of some documents, of the first ``max_tokens`` tokens of each."""
        at, mask = padded(self.indptr, documents, max_tokens)
        found = np.asarray(self.states[at])
        found[~mask] = 0
        return States(torch.from_numpy(found), torch.from_numpy(mask))


class TextEncoder(nn.Module):
    """Reads documents, in one of two modes that can be switched at any time.

    Parameters
    ----------
    by_token
        Whether states of tokens are needed, or only their mean.
    autocast
        Whether to compute in bfloat16 where there are gradients.
    """

    def __init__(self, model: nn.Module, documents: Documents, by_token: bool, autocast: bool = False) -> None:
        super().__init__()
        self.model = model
        self.documents = documents
        self.by_token = by_token
        self.autocast = autocast
        self.mode: Mode = "dynamic"
        self.progress: Callable[[int, int], None] | None = None
        """Told of documents done and in all while the cache is filled."""
        self._cache: Cache | None = None

    @property
    def hidden_size(self) -> int:
        """h: of a state."""
        return int(self.model.config.hidden_size)  # type: ignore[union-attr, arg-type]

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def switch(self, mode: Mode) -> None:
        """``cached``: read from states that the weights as they are now make; ``dynamic``: with gradients."""
        if mode == "cached":
            self.rebuild_cache()
        self.mode = mode

    def forward(self, *requests: Request, cached: bool = False) -> list[TextFeatures]:
        """What is asked for, each distinct document read once.

        By the mode, or for recommending, with ``cached``, from the states of the last :meth:`rebuild_cache`.
        """
        own = [_distinct(request.documents) for request in requests]
        if cached or self.mode == "cached":
            assert self._cache is not None
            found = [self._cache.read(one, most) for one, (_, most) in zip(own, requests, strict=True)]
            states = [States(one.tokens.to(self.device), one.mask.to(self.device)) for one in found]
        else:
            union = np.unique(np.concatenate(own))
            encoded = self.encode(union)
            places = [torch.from_numpy(np.searchsorted(union, one)).to(self.device) for one in own]
            states = [encoded.rows(at).first(most) for at, (_, most) in zip(places, requests, strict=True)]
        return [
            TextFeatures(one, torch.from_numpy(_places(table, numbers)).to(self.device))
            for one, numbers, (table, _) in zip(states, own, requests, strict=True)
        ]

    def encode(self, documents: NDArray[np.int64]) -> States:
        """States of ``documents`` (n,), read now; texts of similar lengths are read together."""
        lengths = self._n_states(documents)
        longest = int(lengths.max(initial=1))
        parts, order = [], []
        for rows, states in self._chunks(documents):
            parts.append(nn.functional.pad(states.tokens, (0, 0, 0, longest - states.tokens.shape[1])))
            order.append(rows)
        back = torch.from_numpy(np.argsort(np.concatenate(order), kind="stable")).to(self.device)
        real = np.arange(longest) < lengths[:, None]
        return States(torch.cat(parts)[back], torch.from_numpy(real).to(self.device))

    def rebuild_cache(self) -> bool:
        """Fill the cache if the weights are others than those it was filled with; whether it was filled."""
        fingerprint = self.fingerprint()
        if self._cache is not None and self._cache.fingerprint == fingerprint:
            return False
        self._cache = None  # room for the next
        indptr = pointers(self._n_states(np.arange(len(self.documents))))
        with tempfile.TemporaryFile(prefix="gpt2rec-") as file:
            states: Any = np.memmap(file, np.float32, "w+", shape=(max(1, int(indptr[-1])), self.hidden_size))
        training, done = self.model.training, 0
        self.model.eval()
        with torch.inference_mode():
            for rows, found in self._chunks(np.arange(len(self.documents))):
                at, mask = padded(indptr, rows)
                states[at[mask]] = found.tokens.float().cpu().numpy()[mask]
                done += len(rows)
                if self.progress is not None:
                    self.progress(done, len(self.documents))
        self.model.train(training)
        self._cache = Cache(fingerprint, indptr, states)
        return True

    @property
    def cached_states(self) -> NDArray[np.float32]:
        """(n_states, h): states of all documents, as :meth:`rebuild_cache` left them."""
        assert self._cache is not None
        return self._cache.states

    def set_cache(self, states: NDArray[np.float32]) -> None:
        """Take over :attr:`cached_states` that the same weights made before."""
        indptr = pointers(self._n_states(np.arange(len(self.documents))))
        self._cache = Cache(self.fingerprint(), indptr, states)

    def _n_states(self, documents: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.documents.lengths[documents] if self.by_token else np.ones(len(documents), np.int64)

    def fingerprint(self) -> str:
        """Of all weights, also of those that nothing here changes."""
        return fingerprint(self.model)

    def _chunks(self, documents: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], States]]:
        """Places in ``documents`` and states of these, texts of similar lengths together."""
        most = _TOKENS_AT_ONCE if self.device.type == "cpu" else _TOKENS_AT_ONCE_GPU
        lengths = self.documents.lengths[documents]
        order = np.argsort(lengths, kind="stable")[::-1]
        begin = 0
        while begin < len(order):
            rows = order[begin : begin + max(1, most // max(1, int(lengths[order[begin]])))]
            begin += len(rows)
            yield rows, self._read(documents[rows])

    def _read(self, documents: NDArray[np.int64]) -> States:
        at, real = padded(self.documents.indptr, documents)
        ids = torch.from_numpy(self.documents.ids[at]).to(self.device)
        mask = torch.from_numpy(real).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast and torch.is_grad_enabled()):
            hidden = self.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        states = States(hidden.float(), mask)
        return states if self.by_token else States(states.mean()[:, None], mask[:, :1])


def _distinct(documents: NDArray[np.int64]) -> NDArray[np.int64]:
    found = np.unique(documents)
    found = found[found >= 0]
    # If nobody has a text, one is read, and nobody gets it.
    return found if len(found) else np.zeros(1, np.int64)


def _places(documents: NDArray[np.int64], distinct: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(documents < 0, -1, np.searchsorted(distinct, documents))
