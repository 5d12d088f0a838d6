"""From histories to lists: titles are written, and each is grounded to items."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bench import Interactions, Recommendations
from bench_titles import tokens
from bench_titles.backbone import Writer
from bench_titles.catalogue import NONE, Candidates, Catalogue, expand, to_lists
from bench_titles.config import TitlesConfig
from bench_titles.retriever import Retriever
from bench_titles.search import Beams, Prompts, prompts_of, search
from bench_titles.trie import Anything, Titles, Trie

_NUMBERS_AT_ONCE = 2**24
"""In the logits, or in the keys and values, of the users that are searched for together."""


class Query(NamedTuple):
    """A title that was written freely."""

    text: str
    log_probability: float


class Grounder:
    """Makes lists with a language model and a catalogue that do not change while this object lives."""

    def __init__(self, config: TitlesConfig, writer: Writer, tokenizer: Tokenizer, catalogue: Catalogue) -> None:
        self.config, self.writer, self.tokenizer, self.catalogue = config, writer, tokenizer, catalogue
        self.trie = Trie(catalogue, writer.end)

    def by_trie(self, history: Interactions, exclude: Interactions, k: int, num_beams: int) -> Recommendations:
        """Lists (n, k) of the items that bear the ``num_beams`` most probable titles, none of ``exclude``."""
        parts = []
        for users, titles, scores in self.titles(history, exclude, num_beams):
            items, place = expand(self.catalogue, titles)
            parts.append(Candidates(users[place], items, scores[place]))
        return to_lists(parts, exclude, self.catalogue.popular, k)

    def by_bm25(self, history: Interactions, exclude: Interactions, k: int) -> Recommendations:
        """Lists (n, k): each written title brings its ``items_per_query`` best items that the list has not yet."""
        popular = self.catalogue.popular
        retriever = self.retriever()
        parts = []
        for row, queries in enumerate(self.queries(history)):
            free = np.ones(len(popular), bool)
            free[exclude.items[exclude.indptr[row] : exclude.indptr[row + 1]]] = False
            for query in queries:
                scores = retriever.scores(query.text)
                places = np.flatnonzero((scores > 0) & free[popular])
                best = places[np.argsort(-scores[places], kind="stable")[: self.config.items_per_query]]
                free[popular[best]] = False
                score = np.full(len(best), query.log_probability)
                parts.append(Candidates(np.full(len(best), row), popular[best], score))
        return to_lists(parts, exclude, popular, k)

    def retriever(self) -> Retriever:
        """Over the titles of items in the order of popularity, which decides between equals."""
        titles = [self.catalogue.texts[item] for item in self.catalogue.popular]
        return Retriever(titles, self.config.bm25_k1, self.config.bm25_b)

    def titles(
        self, history: Interactions, exclude: Interactions, num_beams: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
        """Rows of ``history``, titles behind them, and their log-probabilities, best first.

        They are the most probable ones that an item bears that is not in ``exclude``.
        """
        for rows, prompts in self._prompts(history, num_beams):
            grammar = Titles(self.trie, self._allowed(exclude.select(rows)), self.config.loss == "trie")
            found = self._search(prompts, grammar, num_beams)
            yield rows[found.users], self.trie.lows[found.nodes], found.scores

    def queries(self, history: Interactions) -> Iterator[list[Query]]:
        """For each row of ``history`` the titles that are written freely, most probable first, none twice."""
        num_beams = self.config.num_beams
        grammar = Anything(self.writer.end, self.config.title_tokens, num_beams)
        for rows, prompts in self._prompts(history, num_beams):
            found = self._search(prompts, grammar, num_beams)
            for row in range(len(rows)):
                texts: dict[str, float] = {}
                mine = found.where(found.users == row)
                for ids, score in zip(mine.tokens, mine.scores.tolist(), strict=True):
                    texts.setdefault(tokens.decode(self.tokenizer, ids[ids >= 0].tolist()), score)
                yield [Query(text, score) for text, score in texts.items()]

    def _search(self, prompts: Prompts, grammar: Titles | Anything, num_beams: int) -> Beams:
        self.writer.eval()
        with torch.inference_mode():
            return search(self.writer, prompts, grammar, num_beams)

    def _allowed(self, exclude: Interactions) -> NDArray[np.bool_]:
        """(n, T): whether an item that is not in ``exclude`` (n rows) bears the title."""
        titles, n = self.catalogue.titles, len(self.catalogue)
        gone = titles[exclude.items]
        cells = (exclude.users * n + gone)[gone != NONE]
        taken = np.bincount(cells, minlength=exclude.n_users * n).reshape(exclude.n_users, n)
        found: NDArray[np.bool_] = taken < np.bincount(titles[titles != NONE], minlength=n)
        return found

    def _prompts(self, history: Interactions, num_beams: int) -> Iterator[tuple[NDArray[np.int64], Prompts]]:
        """Rows that are searched for together, and what stands before the titles that are to be written."""
        config, catalogue = self.config, self.catalogue
        behind = config.most_tokens + num_beams * config.title_tokens
        numbers = max(num_beams * self.writer.vocabulary, behind * self.writer.numbers_per_token, 4 * len(catalogue))
        size = max(1, _NUMBERS_AT_ONCE // numbers)
        for begin in range(0, history.n_users, size):
            rows = np.arange(begin, min(begin + size, history.n_users))
            indptr, titles = catalogue.of_histories(history.select(rows), config.history)
            yield rows, prompts_of(indptr, titles, catalogue.ids, catalogue.indptr, self.writer.end)
