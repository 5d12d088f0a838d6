"""Prepared data on disk: matrices as ``.npy`` files that are mapped, texts in Parquet, facts in JSON."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError, one_line, plain
from bench.interactions import Interactions, load_interactions

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Folder:
    """Arrays and facts."""

    path: Path

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The folder's ``facts.json``, with all of :attr:`required`."""
        with self._guarded():
            found: dict[str, Any] = json.loads((self.path / "facts.json").read_text(encoding="utf-8"))
            for name, kind in self.required.items():
                if not isinstance(found[name], kind):
                    raise ValueError(f"its {name} is no {kind.__name__}")
        return found

    required: ClassVar[Mapping[str, type]] = {"dataset": str, "users": int, "items": int}
    """Types of the facts that must be there."""

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn what damage leads to into a ``DataError`` that names the folder."""
        try:
            yield
        except (OSError, ValueError, EOFError, KeyError, TypeError, RecursionError, NotImplementedError) as error:
            raise DataError(
                f"prepared data in {self.path} is damaged ({plain(one_line(error), 200)}): delete that folder, it is "
                "made again"
            ) from error

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
        with self._guarded():
            found = load_interactions(self.path, name, self.n_items)
            n = len(found.items)
            bounds, items = found.indptr, found.items
            if any(array.ndim != 1 or array.dtype.kind != "i" for array in (bounds, items, found.times)):
                raise ValueError(f"the arrays of {name} are not lists of integers")
            if len(bounds) != self.n_users + 1 or bounds[0] != 0 or bounds[-1] != n or len(found.times) != n:
                raise ValueError(f"the arrays of {name} do not fit together")
            if (np.diff(bounds) < 0).any() or (n and not 0 <= items.min() <= items.max() < self.n_items):
                raise ValueError(f"{name} has rows or items that are none")
            return found

    def array(self, name: str) -> NDArray[Any]:
        """One array.

        Raises
        ------
        DataError
            If it is damaged.
        """
        with self._guarded():
            found: NDArray[Any] = np.load(self.path / f"{name}.npy", allow_pickle=False)
            return found


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

        n = self.n_items if name == "item_texts" else self.n_users
        with self._guarded():
            found = pd.read_parquet(self.path / f"{name}.parquet")
            if "id" not in found or len(found) != n:
                raise ValueError(f"{name} has not a row with an id for each of {n:,}")
            return found


class Dataset(Texts):
    """All interactions of a data set after filtering, users and items numbered by sorted original id."""

    required = {
        **Folder.required,
        "interactions": int,
        "steps": list,
        "problems": dict,
        "warnings": dict,
        "source": dict,
        "interactions_hash": str,
        "texts_hash": str,
    }

    @cached_property
    def interactions(self) -> Interactions:
        return self.load("all")

    @cached_property
    def moments(self) -> NDArray[np.int64]:
        """(n_interactions,) times as exactly as the raw files tell them: nanoseconds since 1970, or seconds where
        these tell all.
        """
        exact: NDArray[np.int64] = self.array("moments") if self.is_finer else self.interactions.times
        return exact

    @property
    def is_finer(self) -> bool:
        """Whether whole seconds do not tell all of the times."""
        return (self.path / "moments.npy").is_file()

    @property
    def published_parts(self) -> NDArray[np.int8]:
        """(n_interactions,) the part of each interaction, as the raw files give it.

        Raises
        ------
        DataError
            If they do not.
        """
        if not (self.path / "parts.npy").is_file():
            raise DataError(f"the raw files of '{self.facts['dataset']}' give no split: choose another --protocol")
        parts: NDArray[np.int8] = self.array("parts")
        return parts
