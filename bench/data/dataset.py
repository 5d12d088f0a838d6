"""Prepared data on disk: matrices as ``.npy`` files that are mapped, texts in Parquet, facts in JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError
from bench.interactions import Interactions, load_interactions

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Folder:
    """Arrays and facts."""

    path: Path

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The folder's ``facts.json``."""
        try:
            found: dict[str, Any] = json.loads((self.path / "facts.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"prepared data in {self.path} is damaged ({error}): delete that folder") from error
        return found

    @property
    def n_items(self) -> int:
        return int(self.facts["items"])

    @property
    def n_users(self) -> int:
        return int(self.facts["users"])

    def load(self, name: str) -> Interactions:
        """The interactions that were saved under ``name``, mapped.

        Raises
        ------
        DataError
            If they are damaged.
        """
        try:
            return load_interactions(self.path, name, self.n_items)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"prepared data in {self.path} is damaged ({error}): delete that folder") from error


class Texts(Folder):
    """The part of a folder that describes items and users."""

    def item_texts(self) -> pd.DataFrame:
        """See :meth:`bench.contract.Context.item_texts`."""
        return self._texts("item_texts")

    def user_texts(self) -> pd.DataFrame:
        """See :meth:`bench.contract.Context.user_texts`."""
        return self._texts("user_texts")

    def _texts(self, name: str) -> pd.DataFrame:
        import pandas as pd

        return pd.read_parquet(self.path / f"{name}.parquet")


class Dataset(Texts):
    """All interactions of a data set after filtering, users and items numbered by sorted original id."""

    @cached_property
    def interactions(self) -> Interactions:
        return self.load("all")

    @cached_property
    def moments(self) -> NDArray[np.int64]:
        """(n_interactions,) times as exactly as the raw files tell them: nanoseconds since 1970, or seconds where
        these tell all.
        """
        exact: NDArray[np.int64] = np.load(self._moments) if self.is_finer else self.interactions.times
        return exact

    @property
    def is_finer(self) -> bool:
        """Whether whole seconds do not tell all of the times."""
        return self._moments.is_file()

    @property
    def _moments(self) -> Path:
        return self.path / "moments.npy"

    @property
    def published_parts(self) -> NDArray[np.int8]:
        """(n_interactions,) the part of each interaction, as the raw files give it.

        Raises
        ------
        DataError
            If they do not.
        """
        path = self.path / "parts.npy"
        if not path.is_file():
            raise DataError(f"the raw files of '{self.facts['dataset']}' give no split: choose another --protocol")
        parts: NDArray[np.int8] = np.load(path)
        return parts
