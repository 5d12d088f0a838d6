"""Item texts as token ids: every item is tokenized once, before training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from bench_torchkit.ragged import pointers
from bench_torchkit.text import load_tokenizer, train_bpe
from numpy.typing import NDArray
from tokenizers import Tokenizer

PAD, EOS, UNKNOWN = 0, 1, 2
"""Ids that T5 gives to these; a tokenizer that is trained here does as T5."""


class Encoder(Protocol):
    """What is needed of a tokenizer."""

    def __len__(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens."""


@dataclass(frozen=True)
class Pretrained:
    """A tokenizer of Hugging Face."""

    tokenizer: Any

    def __len__(self) -> int:
        return len(self.tokenizer)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        found: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return found


@dataclass(frozen=True)
class Trained:
    """A byte-pair encoding that was learnt from the item texts."""

    tokenizer: Tokenizer

    def __len__(self) -> int:
        return int(self.tokenizer.get_vocab_size())

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts), add_special_tokens=False)]


def train(texts: Sequence[str], vocab_size: int) -> Trained:
    """A byte-pair encoding with T5's special tokens; see :func:`bench_torchkit.text.train_bpe`."""
    return Trained(train_bpe(texts, vocab_size, ["<pad>", "</s>", "<unk>"]))


def pretrained(source: str, key: str = "backbone") -> Pretrained:
    """The tokenizer of a model of the hub or of a local folder; see :func:`bench_torchkit.text.load_tokenizer`."""
    return Pretrained(load_tokenizer(source, "colarec", key))


@dataclass(frozen=True)
class TokenTable:
    """The tokens of all items, one behind the other."""

    indptr: NDArray[np.int64]
    """(n_items + 1,): tokens of item ``i`` are ``ids[indptr[i]:indptr[i + 1]]``."""
    ids: NDArray[np.int32]
    """(n_tokens,)."""
    size: int
    """Size of the vocabulary."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(n_items,): tokens of each item."""
        return np.diff(self.indptr)


def table(encoder: Encoder, texts: Sequence[str], most: int) -> TokenTable:
    """The first ``most`` tokens of each text; no tokens for an empty text.

    What a text has of padding and end, such as a literal ``<pad>``, is left out: inputs give these ids a meaning.
    """
    found = [[token for token in ids if token not in (PAD, EOS)][:most] for ids in encoder.encode(texts)]
    indptr = pointers(np.array([len(ids) for ids in found], np.int64))
    return TokenTable(indptr, np.array([token for ids in found for token in ids], np.int32), len(encoder))


def no_text(n_items: int) -> TokenTable:
    """The table of a model that does not read."""
    return TokenTable(np.zeros(n_items + 1, np.int64), np.zeros(0, np.int32), UNKNOWN + 1)
