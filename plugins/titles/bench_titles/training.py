"""What is trained: every title of a history is written from those before it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from bench_torchkit.ragged import gather, pointers, within
from bench_torchkit.trainer import Place, Stage, Task
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from bench_titles.backbone import Writer
from bench_titles.catalogue import Catalogue
from bench_titles.config import TitlesConfig
from bench_titles.search import Prompts, prompts_of
from bench_titles.trie import Trie


class Pieces:
    """Histories, cut into pieces of at most ``most`` titles, elsewhere in each epoch.

    Parameters
    ----------
    indptr, titles
        Row r of n rows is ``titles[indptr[r]:indptr[r + 1]]``, oldest first.
    shuffled
        Whether the titles of a row are put into another order in each epoch.
    """

    def __init__(
        self, indptr: NDArray[np.int64], titles: NDArray[np.int64], most: int, batch_size: int, shuffled: bool
    ) -> None:
        self._indptr, self._titles, self._most, self._shuffled = indptr, titles, most, shuffled
        lengths = np.diff(indptr)
        pieces = np.where(lengths > most, -(-(lengths - 1) // most) + 1, lengths > 0).sum()
        self.batches = max(1, -(-int(pieces) // batch_size))
        """Of an epoch, at most; none has more than ``batch_size`` pieces."""

    def draw(self, rng: np.random.Generator) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Batches of pieces, as pointers and titles; those of a batch are of about one length."""
        lengths = np.diff(self._indptr)
        titles = self._titles
        if self._shuffled:
            rows = np.repeat(np.arange(len(lengths)), lengths)
            titles = titles[np.lexsort((rng.random(len(titles)), rows))]
        first = np.where(lengths > self._most, rng.integers(1, self._most + 1, len(lengths)), lengths)
        pieces = -(-(lengths - first) // self._most) + (first > 0)
        number = within(pieces)
        begin = np.repeat(first, pieces) + (number - 1) * self._most
        begin, end = np.maximum(begin, 0), np.minimum(begin + self._most, np.repeat(lengths, pieces))
        start, sizes = np.repeat(self._indptr[:-1], pieces) + begin, end - begin
        if not len(sizes):
            return []
        order = rng.permutation(len(sizes))
        order = order[np.argsort(sizes[order], kind="stable")]
        found = []
        for chosen in np.array_split(order, min(self.batches, len(order))):
            at = np.repeat(start[chosen], sizes[chosen]) + within(sizes[chosen])
            found.append((pointers(sizes[chosen]), titles[at]))
        return [found[at] for at in rng.permutation(len(found))]


class Batch(NamedTuple):
    """Pieces of histories."""

    prompts: Prompts
    titles: NDArray[np.int64]
    """Those of all pieces, one after another."""


class Training(Task[Batch]):
    """Of a language model, in one stage."""

    def __init__(
        self, config: TitlesConfig, writer: Writer, catalogue: Catalogue, trie: Trie, pieces: Pieces, seed: int
    ) -> None:
        self.config = config
        self.module: Writer = writer
        self._catalogue, self._trie, self._pieces, self._seed = catalogue, trie, pieces, seed
        self.stages = [Stage("", config.epochs, pieces.batches)]

    def optimizer(self, stage: int) -> torch.optim.AdamW:
        """AdamW over what is trained."""
        trained = [p for p in self.module.parameters() if p.requires_grad]
        config = self.config
        return torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)

    def _rng(self, place: Place) -> np.random.Generator:
        return np.random.default_rng([self._seed, 5, place.epoch])

    def seed(self, place: Place) -> int:
        """The first draw of the epoch's generator."""
        return int(self._rng(place).integers(2**31))

    def batches(self, place: Place) -> Iterable[Batch]:
        """All pieces, in a random order of the epoch."""
        catalogue = self._catalogue
        for indptr, titles in self._pieces.draw(self._rng(place)):
            yield Batch(prompts_of(indptr, titles, catalogue.ids, catalogue.indptr, self.module.end), titles)

    def losses(self, batch: Batch, place: Place) -> dict[str, Tensor]:
        """−log P of each title behind those before it in its piece: mean over tokens, ends among them."""
        writer, prompts = self.module, batch.prompts
        # The tokens of a piece are brought to the beginning of its row, where what comes behind it is not seen.
        lengths = prompts.mask.sum(axis=1)
        mask = np.arange(prompts.mask.shape[1]) < lengths[:, None]
        ids = np.full_like(prompts.ids, writer.end)
        ids[mask] = prompts.ids[prompts.mask]
        rows = torch.from_numpy(ids).to(writer.device)
        targets = torch.from_numpy(mask[:, 1:]).to(writer.device)
        states = writer.states(rows, use_cache=False)[:, :-1][targets]
        logits, tokens = writer.logits(states).float(), rows[:, 1:][targets]
        if self.config.loss == "free":
            return {"total": cross_entropy(logits, tokens)}
        trie = self._trie
        edges, at = trie.edges(trie.path[gather(trie.begins, batch.titles)])
        taken = torch.from_numpy(trie.tokens[edges]).to(tokens.device) == tokens[torch.from_numpy(at).to(tokens.device)]
        return {"total": -trie.log_p(logits, edges, at)[taken].mean()}
