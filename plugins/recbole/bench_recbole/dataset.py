"""Our interactions as RecBole data sets: our ids plus one (0 is RecBole's padding), our rows, our split.

RecBole's own path (atomic files, filters, renumbering by order of appearance, splits) is left out altogether.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from recbole.data.dataset import Dataset, SequentialDataset
from recbole.data.interaction import Interaction
from recbole.utils import FeatureSource, FeatureType

from bench import Interactions

PARTS = ["train", "valid", "test"]
"""Value of RecBole's option ``benchmark_filename``: with it, ``build()`` slices the rows into parts as they stand."""


def histories(history: Interactions, width: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """The last ``width`` (None: all) items of each of n rows, oldest first, and their number.

    Returns (n, width) int64 RecBole ids, padded behind, and (n,) int64 lengths.
    """
    ids = history.padded(width) + 1
    return torch.from_numpy(ids), torch.from_numpy(np.minimum(history.lengths, ids.shape[1]))


def prefixes(
    history: Interactions, width: int, *, with_target: bool = False
) -> tuple[NDArray[np.int64], torch.Tensor, torch.Tensor]:
    """What stood before each interaction but the first of its user, and with ``with_target`` it too; n of them.

    Returns (n,) places of the interactions, and as :func:`histories` the last ``width`` of these items for each.
    """
    first = np.repeat(history.indptr[:-1], history.lengths)
    targets = np.flatnonzero(np.arange(len(history)) > first)
    end = targets + with_target
    start = np.maximum(first[targets], end - width)
    ids = np.zeros((len(targets), width), np.int64)
    for column in range(width):  # all at once would take three times the memory
        rows = np.flatnonzero(start + column < end)
        ids[rows, column] = history.items[start[rows] + column] + 1
    return targets, torch.from_numpy(ids), torch.from_numpy(end - start)


class _Given(Dataset):  # type: ignore[misc]
    """The half that both data sets share: filled from ``parts`` instead of files.

    ``parts`` is train, or train, valid and test for a comparison with RecBole's own evaluation; all over the same users
    and items.
    """

    def __init__(self, config: Any, parts: Sequence[Interactions]) -> None:
        self._parts = list(parts)
        super().__init__(config)

    def _from_scratch(self) -> None:
        self._get_preset()
        self._get_field_from_config()
        train = self._parts[0]
        self.user_feat = self.item_feat = None
        self.feat_name_list = ["inter_feat"]
        self.field2id_token: dict[str, Any] = {}
        for field, size, source in (
            (self.uid_field, train.n_users, FeatureSource.USER_ID),
            (self.iid_field, train.n_items, FeatureSource.ITEM_ID),
        ):
            self.set_field_property(field, FeatureType.TOKEN, source, 1)
            self.field2id_token[field] = range(size + 1)  # RecBole only asks for its length
        rows = [self._rows(part) for part in self._parts]
        joined = rows[0] if len(rows) == 1 else {name: torch.cat([part[name] for part in rows]) for name in rows[0]}
        self.inter_feat = Interaction(joined)
        self.file_size_list = [len(part[self.uid_field]) for part in rows] + [0] * (len(PARTS) - len(rows))

    def _change_feat_format(self) -> None:
        """Nothing to do: the rows are tensors from the start."""

    def _rows(self, part: Interactions) -> dict[str, torch.Tensor]:
        raise NotImplementedError


class GeneralData(_Given):
    """One row per interaction."""

    def _rows(self, part: Interactions) -> dict[str, torch.Tensor]:
        return {
            self.uid_field: torch.from_numpy(part.users + 1),
            self.iid_field: torch.from_numpy(part.items.astype(np.int64) + 1),
        }

    def _history_matrix(
        self, row: str, value_field: str | None = None, max_history_len: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See RecBole's. Without its loop over interactions, and truncated to the latest instead of random ones."""
        if value_field is not None:
            raise ValueError("the benchmark has interactions without values such as ratings")
        rows, columns = self.inter_feat[self.uid_field].numpy(), self.inter_feat[self.iid_field].numpy()
        n_rows = self.user_num
        if row == "item":
            rows, columns, n_rows = columns, rows, self.item_num
        order = np.argsort(rows, kind="stable")
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_rows))]).astype(np.int64)
        table = Interactions(indptr, columns[order] - 1, np.empty(0, np.int64), self.item_num)
        longest = int(table.lengths.max(initial=0))
        ids, lengths = histories(table, min(max_history_len or longest, longest))
        return ids, (ids > 0).float(), lengths


class SequentialData(_Given, SequentialDataset):  # type: ignore[misc]
    """One row per prefix: the items before an interaction, and that interaction as the target.

    Where items of the sequence are masked and predicted, the target is its last item: nothing else is learned from.
    A row of validation or test would be cut off from the user's train history, so that only train is of use here.
    """

    def _benchmark_presets(self) -> None:
        """Nothing to do: the sequences are made in :meth:`_rows`."""

    def _rows(self, part: Interactions) -> dict[str, torch.Tensor]:
        masked = self.config["transform"] == "mask_itemseq"
        targets, sequences, lengths = prefixes(part, self.max_item_list_len, with_target=masked)
        self.item_id_list_field = self.iid_field + self.config["LIST_SUFFIX"]
        self.set_field_property(
            self.item_id_list_field, FeatureType.TOKEN_SEQ, FeatureSource.INTERACTION, self.max_item_list_len
        )
        self.set_field_property(self.item_list_length_field, FeatureType.TOKEN, FeatureSource.INTERACTION, 1)
        return {
            self.uid_field: torch.from_numpy(part.users[targets] + 1),
            self.iid_field: torch.from_numpy(part.items[targets].astype(np.int64) + 1),
            self.item_id_list_field: sequences,
            self.item_list_length_field: lengths,
        }
