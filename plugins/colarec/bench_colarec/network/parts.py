"""What a trained network needs beside its weights: identifiers, tokens, and the users that item inputs show."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from bench_torchkit.tree import Tree, tree

from bench import Interactions
from bench_colarec.items.tokens import TokenTable
from bench_colarec.network.inputs import InputTable, input_table


@dataclass(frozen=True)
class Parts:
    """Fixed before the network is made."""

    tree: Tree
    tokens: TokenTable
    item_users: Interactions
    """Row ``i`` holds the users (as ``items``) that the input of item ``i`` shows when recommending."""
    item_ids: bool
    """Whether an item brings an embedding of its own."""

    @cached_property
    def inputs(self) -> InputTable:
        """What inputs are made of."""
        return input_table(self.tokens, self.item_users.n_items, self.item_ids)

    def save(self, folder: Path) -> None:
        """One file of arrays."""
        np.savez(
            folder / "parts.npz",
            codes=self.tree.codes,
            width=self.tree.width,
            token_indptr=self.tokens.indptr,
            token_ids=self.tokens.ids,
            vocab_size=self.tokens.size,
            user_indptr=self.item_users.indptr,
            users=self.item_users.items,
            n_users=self.item_users.n_items,
            item_ids=self.item_ids,
        )

    @staticmethod
    def load(folder: Path) -> Parts:
        """The inverse of :meth:`save`."""
        with np.load(folder / "parts.npz", allow_pickle=False) as found:
            users = found["users"]
            return Parts(
                tree(found["codes"], int(found["width"])),
                TokenTable(found["token_indptr"], found["token_ids"], int(found["vocab_size"])),
                Interactions(found["user_indptr"], users, np.zeros(len(users), np.int64), int(found["n_users"])),
                bool(found["item_ids"]),
            )
