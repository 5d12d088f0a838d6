"""What there is to read: distinct texts as tokens, and which of them describe an item or a user.

An item has one text. A user has a profile if the data set describes users, and otherwise the texts of the latest items
of the history: then a text is read once, whoever it describes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from bench_torchkit.ragged import latest_first, pointers
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bench import ConfigError, DataError, Interactions
from bench_gpt2rec import tokens
from bench_gpt2rec.config import Gpt2RecConfig

NONE = -1
"""Document of who has no text."""


@dataclass(frozen=True)
class Texts:
    """Distinct texts, and whom they describe; without their tokens."""

    texts: list[str]
    """First those of items, then the profiles of users."""
    n_item_texts: int
    """How many of them are of items."""
    items: NDArray[np.int64]
    """(n_items,): text of each item, or :data:`NONE`."""
    profiles: NDArray[np.int64] | None
    """(n_users,): text of each user, or None if users are described by their histories."""


def read(config: Gpt2RecConfig, item_texts: pd.DataFrame, user_texts: pd.DataFrame) -> Texts:
    """The texts of a data set, from what :class:`bench.Context` gives of items and users.

    Raises
    ------
    DataError
        If items have no texts.
    ConfigError
        If users have none where ``config`` asks for them.
    """
    of_items = _column(item_texts)
    if not any(of_items):
        raise DataError(
            "gpt2rec: the items of this data set have no texts: name text fields in its card ('texts'), or use the "
            "model gpt2rec-ids"
        )
    of_users = _column(user_texts) if config.user_text != "history" else []
    if config.user_text == "profile" and not any(of_users):
        raise ConfigError(
            "gpt2rec: this data set does not describe its users: describe them by their histories with "
            "--set gpt2rec.user_text=history"
        )
    distinct, items = _distinct(of_items)
    if not any(of_users):
        return Texts(distinct, len(distinct), items, None)
    more, users = _distinct(of_users)
    profiles = np.where(users == NONE, NONE, users + len(distinct))
    return Texts(distinct + more, len(distinct), items, profiles)


def _column(frame: pd.DataFrame) -> list[str]:
    return [str(text).strip() for text in frame["text"]] if "text" in frame else []


def _distinct(texts: list[str]) -> tuple[list[str], NDArray[np.int64]]:
    numbers = {text: number for number, text in enumerate(dict.fromkeys(filter(None, texts)))}
    return list(numbers), np.array([numbers.get(text, NONE) for text in texts], np.int64)


@dataclass(frozen=True)
class Documents:
    """Texts as tokens."""

    texts: list[str]
    """(n_documents)."""
    max_tokens: NDArray[np.int64]
    """(n_documents,): tokens that a document may have."""
    indptr: NDArray[np.int64]
    """(n_documents + 1,): tokens of document ``d`` are ``ids[indptr[d]:indptr[d + 1]]``."""
    ids: NDArray[np.int64]
    """(n_tokens,)."""
    items: NDArray[np.int64]
    """(n_items,): document of each item, or :data:`NONE`."""
    profiles: NDArray[np.int64] | None
    """(n_users,): document of each user, or None if histories describe users."""
    history: int
    """Items of a history that describe a user."""
    history_tokens: int
    """Tokens of each of their texts that describe the user."""

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(n_documents,): tokens of each."""
        return np.diff(self.indptr)

    @property
    def user_tokens(self) -> int | None:
        """Tokens of each document that describe a user; all if None."""
        return self.history_tokens if self.profiles is None else None

    def of_items(self, items: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n, 1): documents of ``items``."""
        return self.items[items][:, None]

    def of_users(self, users: NDArray[np.int64], histories: Interactions) -> NDArray[np.int64]:
        """(n, m): documents of ``users`` with these ``histories`` (n rows), :data:`NONE` where there are fewer."""
        if self.profiles is not None:
            return self.profiles[users][:, None]
        longest = max(1, int(histories.lengths.max(initial=0)))
        return self.of_histories(latest_first(histories.indptr, histories.items, min(self.history, longest)))

    def of_histories(self, items: NDArray[np.int64]) -> NDArray[np.int64]:
        """Documents of the items of histories, both (n, m), −1 where there is none."""
        return np.where(items < 0, NONE, self.items[items])

    def save(self, folder: Path) -> None:
        """One file of arrays and one of texts."""
        arrays = {"max_tokens": self.max_tokens, "indptr": self.indptr, "ids": self.ids, "items": self.items}
        if self.profiles is not None:
            arrays["profiles"] = self.profiles
        settings = {"history": np.int64(self.history), "history_tokens": np.int64(self.history_tokens)}
        np.savez(folder / "documents.npz", allow_pickle=False, **settings, **arrays)
        (folder / "texts.json").write_text(json.dumps(self.texts, ensure_ascii=False), encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> Documents:
        """The inverse of :meth:`save`."""
        texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
        with np.load(folder / "documents.npz", allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
        history, history_tokens = (int(found.pop(name)) for name in ("history", "history_tokens"))
        profiles = found.pop("profiles", None)
        return Documents(texts, **found, profiles=profiles, history=history, history_tokens=history_tokens)


def tokenize(texts: Texts, tokenizer: Tokenizer, config: Gpt2RecConfig) -> Documents:
    """Each text once."""
    n = texts.n_item_texts
    found = tokens.encode(tokenizer, texts.texts[:n], config.item_tokens)
    found += tokens.encode(tokenizer, texts.texts[n:], config.user_tokens)
    max_tokens = np.repeat([config.item_tokens, config.user_tokens], [n, len(texts.texts) - n])
    indptr = pointers(np.array([len(one.ids) for one in found], np.int64))
    ids = np.array([number for one in found for number in one.ids], np.int64)
    return Documents(
        texts.texts, max_tokens, indptr, ids, texts.items, texts.profiles, config.history, config.history_tokens
    )
