"""BM25 over the titles of items: for titles that were written, and by itself as the model ``bm25``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from bench_torchkit.item_texts import check_words
from numpy.typing import NDArray
from pydantic import Field

from bench import Context, Interactions, ModelConfig, Recommendations, Recommender, Search, rank, save_array
from bench_titles.catalogue import item_titles, popular_first

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """In lower case, without punctuation."""
    return _WORD.findall(text.lower())


class Retriever:
    """Scores of items for the words of a query (Robertson and Zaragoza 2009, with the idf of Lucene, never below 0).

    Parameters
    ----------
    titles
        (n_items): what is searched.
    k1, b
        How much repeated words count, and how much long titles are held back.
    """

    def __init__(self, titles: Sequence[str], k1: float, b: float) -> None:
        import bm25s  # imported late: it brings a compiler where there is one

        self._n_items = len(titles)
        self._index = bm25s.BM25(k1=k1, b=b, method="lucene")
        self._index.index([words(title) for title in titles], show_progress=False)

    def scores(self, query: str) -> NDArray[np.float32]:
        """(n_items,): 0 where an item shares no word with ``query``."""
        known = self._index.get_tokens_ids(words(query))
        if not known:
            return np.zeros(self._n_items, np.float32)
        found: NDArray[np.float32] = self._index.get_scores_from_ids(known)
        return found


class BM25Config(ModelConfig):
    """What is asked, and how words are weighed."""

    title_field: str | None = None
    """Field that holds the titles; by default ``title`` or ``name``, whichever the data set has."""
    recent: Annotated[int, Field(ge=1), Search(1, 10)] = 1
    """Latest titles of the history whose words are the query."""
    k1: Annotated[float, Field(ge=0), Search(0.0, 3.0)] = 1.5
    """How much a word that is repeated counts."""
    b: Annotated[float, Field(ge=0, le=1), Search(0.0, 1.0)] = 0.75
    """How much long titles are held back."""


class BM25(Recommender):
    """Items whose titles share words with the latest one: what a retriever finds when nothing is written for it."""

    Config = BM25Config
    deterministic = True

    config: BM25Config

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Read the titles; popularity decides between equals."""
        self._titles = item_titles(context.item_texts(), self.config.title_field, "bm25")
        check_words(self._titles, "bm25", "choose another --set bm25.title_field")
        self._popular = popular_first(train)

    def recommend(
        self, users: NDArray[np.int64], history: Interactions, exclude: Interactions, k: int
    ) -> Recommendations:
        """By BM25, then by popularity in train, then by number; who has no history gets what is popular."""
        # With the items in order of popularity, the rule of ties of the harness is this one.
        popular, place = self._popular, np.argsort(self._popular)
        retriever = Retriever([self._titles[item] for item in popular], self.config.k1, self.config.b)
        latest = history.latest(self.config.recent)

        def score(rows: NDArray[np.int64]) -> NDArray[np.float32]:
            queries = [latest.items[latest.indptr[row] : latest.indptr[row + 1]] for row in rows]
            return np.stack([retriever.scores(" ".join(self._titles[item] for item in one)) for one in queries])

        moved = Interactions(exclude.indptr, place[exclude.items].astype(np.int32), exclude.times, exclude.n_items)
        found = rank(score, moved, k)
        items = np.where(found.items < 0, found.items, popular[found.items]).astype(np.int32)
        return Recommendations(items, found.scores)

    def save(self, folder: Path) -> None:
        """Titles, and the order of popularity."""
        save_array(folder / "popular.npy", self._popular)
        (folder / "titles.json").write_text(json.dumps(self._titles, ensure_ascii=False), encoding="utf-8")

    def load(self, folder: Path, device: str) -> None:
        """The inverse of :meth:`save`."""
        self._popular = np.load(folder / "popular.npy")
        self._titles = json.loads((folder / "titles.json").read_text(encoding="utf-8"))
