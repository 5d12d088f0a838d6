"""Encoder input sequences: task, item-ID, text, user and EOS tokens.

X_u = [task_u, c_i for each item i of the history, EOS]; X_i = [task_i, c_i, users of i, EOS]; c_i = [id of i, tokens of
i] (section 3.3 of the paper). Every input id is a row of one table of embeddings: text tokens, items, users, tasks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from bench_torchkit.ragged import pointers, within
from numpy.typing import NDArray

from bench_colarec.items.tokens import EOS, PAD, TokenTable

Ints = NDArray[np.integer[Any]]

USER_TASK, ITEM_TASK = 0, 1


class Inputs(NamedTuple):
    """A padded batch."""

    ids: NDArray[np.int64]
    """(n, L): rows of the table of embeddings; :data:`~bench_colarec.items.tokens.PAD` behind the end."""
    positions: NDArray[np.int64]
    """(n, L): 1 where an item begins, 2 for a user, 3, 4, … for the tokens of an item, 0 for the rest."""
    lengths: NDArray[np.int64]
    """(n,): ids in use; the last one of them is EOS."""


@dataclass(frozen=True)
class InputTable:
    """The input ids, and the block of them that stands for each item and each user."""

    n_tokens: int
    n_items: int
    n_users: int
    indptr: NDArray[np.int64]
    """(n_items + n_users + 1,): blocks; first those of the items, then those of the users."""
    ids: NDArray[np.int64]
    """Ids of all blocks."""
    positions: NDArray[np.int64]
    """Position of each of these ids within its item."""

    @property
    def size(self) -> int:
        """Ids in all: text tokens, items, users, the two tasks."""
        return self.n_tokens + self.n_items + self.n_users + 2

    @property
    def n_positions(self) -> int:
        """Largest position plus one."""
        return int(self.positions.max(initial=2)) + 1

    @property
    def blocks(self) -> NDArray[np.int64]:
        """(n_items + n_users,): ids of each block."""
        return np.diff(self.indptr)

    def item_ids(self, items: Ints) -> Ints:
        """Ids of ``items`` themselves."""
        return self.n_tokens + items

    def task(self, task: int) -> int:
        """Id of a task."""
        return self.size - 2 + task

    def users(self, indptr: Ints, items: Ints, most: int) -> Inputs:
        """User inputs from histories: row ``r`` has the items ``items[indptr[r]:indptr[r + 1]]``, oldest first.

        An input longer than ``most`` ids loses its oldest items, but keeps the last one, cut if need be.
        """
        return self._assemble(USER_TASK, indptr, items, most)

    def items(self, items: Ints, indptr: Ints, users: Ints, most: int) -> Inputs:
        """Item inputs: item ``items[r]`` and its ``users[indptr[r]:indptr[r + 1]]``."""
        counts = np.diff(indptr)
        begin = pointers(counts + 1)
        blocks = np.empty(begin[-1], np.int64)
        blocks[begin[:-1]] = items
        rest = np.ones(len(blocks), bool)
        rest[begin[:-1]] = False
        blocks[rest] = self.n_items + np.asarray(users, np.int64)
        return self._assemble(ITEM_TASK, begin, blocks, most, keep_first=True)

    def _assemble(self, task: int, indptr: Ints, blocks: Ints, most: int, keep_first: bool = False) -> Inputs:
        room = most - 2  # for the task and EOS
        counts = np.diff(indptr)
        sizes = np.minimum(self.blocks[blocks], room)
        total = pointers(sizes)
        rows = np.repeat(np.arange(len(counts)), counts)
        if keep_first:
            fits = total[1:] - total[indptr[:-1]][rows] <= room
        else:
            fits = total[indptr[1:]][rows] - total[:-1] <= room
        blocks, sizes, rows = np.asarray(blocks)[fits], sizes[fits], rows[fits]
        used = np.bincount(rows, weights=sizes, minlength=len(counts)).astype(np.int64)
        lengths = used + 2
        shape = (len(counts), int(lengths.max(initial=2)))
        ids, positions = np.full(shape, PAD, np.int64), np.zeros(shape, np.int64)
        at = within(sizes) + np.repeat(self.indptr[:-1][blocks], sizes)
        row = np.repeat(np.arange(len(counts)), used)
        column = within(used) + 1
        ids[row, column] = self.ids[at]
        positions[row, column] = self.positions[at]
        ids[:, 0] = self.task(task)
        ids[np.arange(len(counts)), lengths - 1] = EOS
        return Inputs(ids, positions, lengths)


def input_table(tokens: TokenTable, n_users: int, item_ids: bool) -> InputTable:
    """The blocks of all items and users: an id, if ``item_ids``, and tokens for an item; one id for a user."""
    n_items = len(tokens.lengths)
    first = int(item_ids)
    lengths = np.concatenate([tokens.lengths + first, np.ones(n_users, np.int64)])
    indptr = pointers(lengths)
    ids, positions = np.empty(indptr[-1], np.int64), np.empty(indptr[-1], np.int64)
    of_items = slice(0, indptr[n_items])
    is_token = np.ones(indptr[n_items], bool)
    if item_ids:
        is_token[indptr[:n_items]] = False
        ids[indptr[:n_items]] = tokens.size + np.arange(n_items)
    ids[of_items][is_token] = tokens.ids
    order = within(lengths[:n_items])
    positions[of_items] = np.where(order == 0, 1, order + 3 - first) if item_ids else order + 3
    ids[indptr[n_items] :] = tokens.size + n_items + np.arange(n_users)
    positions[indptr[n_items] :] = 2
    return InputTable(tokens.size, n_items, n_users, indptr, ids, positions)
