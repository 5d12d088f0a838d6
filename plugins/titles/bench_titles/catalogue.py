"""Titles and the items that bear them: several items may share one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from bench_torchkit.ragged import gather, pointers, row_of, within
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bench import UNFILLED, DataError, Interactions, Recommendations
from bench_titles import tokens

NONE = -1
"""Title of an item without one."""

_FIELDS = ("title", "name")


def item_titles(frame: pd.DataFrame, field: str | None, model: str) -> list[str]:
    """(n_items): title of each item, empty where it has none, from what :meth:`bench.Context.item_texts` gives.

    ``field`` is the one that the user named, ``model`` is for the error.

    Raises
    ------
    DataError
        If no item has a title.
    """
    for name in _FIELDS if field is None else (field,):
        found = [" ".join(str(text).split()) for text in frame[name]] if name in frame and name != "id" else []
        if any(found):
            return found
    wanted = " or ".join(f"'{name}'" for name in _FIELDS) if field is None else f"'{field}'"
    others = [name for name in frame if name not in ("id", "text", field) and frame[name].astype(str).str.strip().any()]
    raise DataError(
        f"{model}: the items of this data set have no titles (field {wanted}): name another field with "
        f"--set {model}.title_field=FIELD, of {', '.join(map(str, others)) or 'which there is none'}"
    )


def popular_first(train: Interactions) -> NDArray[np.int64]:
    """(n_items,): all items, the most popular of ``train`` first, then by number."""
    return np.argsort(-train.popularity, kind="stable")


@dataclass(frozen=True)
class Catalogue:
    """T distinct titles as tokens, in the order of their tokens, and the items that bear them."""

    ids: NDArray[np.int64]
    """(n_tokens,)."""
    indptr: NDArray[np.int64]
    """(T + 1,): tokens of title ``t``, without its end, are ``ids[indptr[t]:indptr[t + 1]]``."""
    titles: NDArray[np.int64]
    """(n_items,): title of each item, or :data:`NONE`."""
    popular: NDArray[np.int64]
    """(n_items,): all items, the most popular of train first, then by number."""
    texts: list[str]
    """(n_items): whole titles, for retrieval."""

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def n_items(self) -> int:
        return len(self.titles)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(T,): tokens of each title."""
        return np.diff(self.indptr)

    @property
    def bearers(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(T + 1,) pointers and (n,) items: those of each title, the most popular of train first, then by number."""
        known = self.popular[self.titles[self.popular] != NONE]
        order = np.argsort(self.titles[known], kind="stable")
        return pointers(np.bincount(self.titles[known], minlength=len(self))), known[order]

    @property
    def shared(self) -> NDArray[np.bool_]:
        """(n_items,): whether another item has the same title."""
        counts = np.bincount(self.titles[self.titles != NONE], minlength=len(self))
        found: NDArray[np.bool_] = (self.titles != NONE) & (counts[self.titles] > 1)
        return found

    def tokens_of(self, title: int) -> list[int]:
        """Of one title, without its end."""
        found: list[int] = self.ids[self.indptr[title] : self.indptr[title + 1]].tolist()
        return found

    def of_histories(self, history: Interactions, most: int | None = None) -> tuple[NDArray[np.int64], ...]:
        """(n + 1,) pointers and titles of n histories, oldest first, the latest ``most``; some items have none."""
        known = history.where(self.titles[history.items] != NONE)
        known = known if most is None else known.latest(most)
        return known.indptr, self.titles[known.items]

    def save(self, folder: Path) -> None:
        """One file of arrays and one of texts."""
        arrays = {name: getattr(self, name) for name in ("ids", "indptr", "titles", "popular")}
        np.savez(folder / "catalogue.npz", allow_pickle=False, **arrays)
        (folder / "titles.json").write_text(json.dumps(self.texts, ensure_ascii=False), encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> Catalogue:
        """The inverse of :meth:`save`."""
        with np.load(folder / "catalogue.npz", allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return Catalogue(**arrays, texts=json.loads((folder / "titles.json").read_text(encoding="utf-8")))


def make_catalogue(texts: Sequence[str], tokenizer: Tokenizer, most: int, popular: NDArray[np.int64]) -> Catalogue:
    """Of ``texts`` (n_items), with at most ``most`` tokens each: titles that agree in these are one."""
    of_items = [tuple(one) for one in tokens.encode(tokenizer, texts, most)]
    distinct = sorted({one for one in of_items if one})
    numbers = {one: number for number, one in enumerate(distinct)}
    return Catalogue(
        ids=np.array([token for one in distinct for token in one], np.int64),
        indptr=pointers(np.array([len(one) for one in distinct], np.int64)),
        titles=np.array([numbers.get(one, NONE) for one in of_items], np.int64),
        popular=popular,
        texts=list(texts),
    )


class Candidates(NamedTuple):
    """Items that were found for users, in any order of users, the best of a user first; all (m,)."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    scores: NDArray[np.float64]


def joined(parts: Sequence[Candidates]) -> Candidates:
    """One after the other, by users."""
    if not parts:
        return Candidates(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    users, items, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(users, kind="stable")
    return Candidates(users[order], items[order], scores[order])


def to_lists(parts: Sequence[Candidates], exclude: Interactions, popular: NDArray[np.int64], k: int) -> Recommendations:
    """Lists (n, k) of what was found.

    What ``exclude`` (n rows) holds and what stands higher up in a list already is left out. Behind the last item that
    was found stand the most popular ones, whose scores are lower by 1 each.
    """
    n, n_items = exclude.shape
    users, items, scores = joined(parts)
    _, first = np.unique(users * n_items + items, return_index=True)
    once = np.zeros(len(users), bool)
    once[first] = True
    kept = once & ~exclude.contains(users, items)
    users, items, scores = users[kept], items[kept], scores[kept]
    place = within(np.bincount(users, minlength=n))
    fits = place < k
    users, items, scores, place = users[fits], items[fits], scores[fits], place[fits]
    found = np.full((n, k), UNFILLED, np.int32)
    values = np.full((n, k), -np.inf, np.float32)
    found[users, place], values[users, place] = items, scores
    for row in np.flatnonzero(found[:, -1] == UNFILLED) if k else ():
        filled = int((found[row] != UNFILLED).sum())
        used = np.zeros(n_items, bool)
        used[found[row, :filled]] = True
        used[exclude.items[exclude.indptr[row] : exclude.indptr[row + 1]]] = True
        more = popular[~used[popular]][: k - filled]
        last = values[row, filled - 1] if filled else np.float32(0)
        found[row, filled : filled + len(more)] = more
        values[row, filled : filled + len(more)] = last - 1 - np.arange(len(more))
    return Recommendations(found, values)


def expand(catalogue: Catalogue, titles: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The items of ``titles`` (m,), title after title, and for each the place of its title in ``titles``."""
    indptr, items = catalogue.bearers
    sizes = np.diff(indptr)[titles]
    return items[gather(indptr, titles)], row_of(pointers(sizes), np.arange(sizes.sum()))
