"""States of documents: from the language model inside the step, or from a file of states computed before."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench_gpt2rec.documents import Documents
from bench_gpt2rec.ragged import padded

Mode = Literal["cached", "dynamic"]

_TOKENS_AT_ONCE = 2**13
"""Tokens of texts of similar lengths that are read together on a CPU: what is in work stays in its caches."""

_TOKENS_AT_ONCE_GPU = 2**17


class States(NamedTuple):
    """What the language model made of some documents."""

    tokens: Tensor
    """(n, L, h): last hidden states; with one state per document, L = 1 and it is the mean of the tokens."""
    mask: Tensor
    """(n, L): true where there is a token."""

    def mean(self) -> Tensor:
        """(n, h): mean over tokens, padding left out."""
        weights = self.mask.to(self.tokens.dtype)
        weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1)
        return torch.einsum("nl,nlh->nh", weights, self.tokens)

    def rows(self, chosen: Tensor) -> States:
        """Those of some of the documents."""
        return States(self.tokens[chosen], self.mask[chosen])

    def first(self, most: int | None) -> States:
        """The first ``most`` tokens of each."""
        return States(self.tokens[:, :most], self.mask[:, :most])


class Wanted(NamedTuple):
    """What is to be read."""

    documents: NDArray[np.int64]
    """(n, m): documents of n users or items, −1 where there are fewer."""
    most: int | None = None
    """Tokens of each document that are wanted; all if None."""


class Described(NamedTuple):
    """What is to be read of n users or items."""

    states: States
    """Of D documents."""
    documents: Tensor
    """(n, m): places in ``states`` of what describes each, −1 where there is less than m."""

    @property
    def there(self) -> Tensor:
        """(n,): true where there is a document at all."""
        return (self.documents >= 0).any(dim=1)

    def mean(self) -> Tensor:
        """(n, h): mean over documents of the means over their tokens; 0 without any."""
        there = (self.documents >= 0).to(self.states.tokens.dtype)
        weights = there / there.sum(dim=1, keepdim=True).clamp(min=1)
        return torch.einsum("nm,nmh->nh", weights, self.states.mean()[self.documents.clamp(min=0)])


class Cache(NamedTuple):
    """States of all documents, mapped from a file without a name that ends with this object."""

    fingerprint: str
    """Of the weights that made them."""
    indptr: NDArray[np.int64]
    """(n_documents + 1,)."""
    states: NDArray[np.float32]
    """(n_states, h): one per token, or one per document."""

    def read(self, documents: NDArray[np.int64], most: int | None = None) -> States:
        """States of some documents, of the first ``most`` tokens of each."""
        at, mask = padded(self.indptr, documents, most)
        found = np.asarray(self.states[at])
        found[~mask] = 0
        return States(torch.from_numpy(found), torch.from_numpy(mask))


class Reader(nn.Module):
    """Reads documents, in one of two modes that can be switched at any time."""

    def __init__(self, model: nn.Module, documents: Documents, by_token: bool, autocast: bool = False) -> None:
        """``by_token``: whether states of tokens are wanted, or only their mean. ``autocast``: learn in bfloat16."""
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
    def width(self) -> int:
        """h: of a state."""
        return int(self.model.config.hidden_size)  # type: ignore[union-attr, arg-type]

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def switch(self, mode: Mode) -> None:
        """``cached``: read from states that the weights as they are now make; ``dynamic``: with gradients."""
        if mode == "cached":
            self.refresh()
        self.mode = mode

    def forward(self, *wanted: Wanted, fresh: bool = False) -> list[Described]:
        """What is asked for, each distinct document read once.

        By the mode, or for recommending, with ``fresh``, from the states of the last :meth:`refresh`.
        """
        own = [_distinct(one.documents) for one in wanted]
        if fresh or self.mode == "cached":
            assert self._cache is not None
            found = [self._cache.read(one, most) for one, (_, most) in zip(own, wanted, strict=True)]
            states = [States(one.tokens.to(self.device), one.mask.to(self.device)) for one in found]
        else:
            union = np.unique(np.concatenate(own))
            encoded = self.encode(union)
            places = [torch.from_numpy(np.searchsorted(union, one)).to(self.device) for one in own]
            states = [encoded.rows(at).first(most) for at, (_, most) in zip(places, wanted, strict=True)]
        return [
            Described(one, torch.from_numpy(_places(table, numbers)).to(self.device))
            for one, numbers, (table, _) in zip(states, own, wanted, strict=True)
        ]

    def encode(self, documents: NDArray[np.int64]) -> States:
        """States of ``documents`` (n,), read now; texts of similar lengths are read together."""
        lengths = self.documents.lengths[documents] if self.by_token else np.ones(len(documents), np.int64)
        longest = int(lengths.max(initial=1))
        parts, order = [], []
        for rows, states in self._chunks(documents):
            parts.append(nn.functional.pad(states.tokens, (0, 0, 0, longest - states.tokens.shape[1])))
            order.append(rows)
        back = torch.from_numpy(np.argsort(np.concatenate(order), kind="stable")).to(self.device)
        real = np.arange(longest) < lengths[:, None]
        return States(torch.cat(parts)[back], torch.from_numpy(real).to(self.device))

    def refresh(self) -> bool:
        """Fill the cache if the weights are others than those it was filled with; whether it was filled."""
        fingerprint = self.fingerprint()
        if self._cache is not None and self._cache.fingerprint == fingerprint:
            return False
        self._cache = None  # room for the next
        lengths = self.documents.lengths if self.by_token else np.ones(len(self.documents), np.int64)
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        with tempfile.TemporaryFile(prefix="gpt2rec-") as file:
            states: Any = np.memmap(file, np.float32, "w+", shape=(max(1, int(indptr[-1])), self.width))
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

    def fingerprint(self) -> str:
        """SHA-256 of all weights, also of those that nothing here changes: half a second for those of GPT-2."""
        digest = hashlib.sha256()
        for parameter in self.model.parameters():
            digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()

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
