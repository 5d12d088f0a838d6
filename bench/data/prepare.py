"""From raw files to a prepared data set, and from there to a split; each step is kept on disk and done once."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bench.data
from bench.contract import Interactions
from bench.data import filters, raw, splits
from bench.data.catalog import Card
from bench.data.dataset import Dataset, HiddenTest, Split, VisibleSplit, save_interactions
from bench.data.protocol import Protocol
from bench.data.sources import RawData, reader
from bench.errors import BenchError
from bench.files import cache_folder, content_hash, new_folder, tree_hash, write_json

_CODE = tree_hash([Path(path) for path in bench.data.__path__])
"""Prepared data of another version of this package is not used."""


def prepare(card: Card, raw_dir: Path | None = None) -> Dataset:
    """The prepared data set of ``card``, made from its raw files if it is not there yet.

    Raises
    ------
    BenchError
        If files are missing, damaged or do not give the expected counts.
    """
    files = raw.find(card, raw_dir)
    checksums = files.checksums()
    key = content_hash({"card": card.model_dump(mode="json"), "files": checksums, "code": _CODE})[:16]
    folder = cache_folder() / "datasets" / f"{card.name}-{key}"
    if not folder.is_dir():
        data = reader(files.source.reader)(files.paths)
        with new_folder(folder) as draft:
            _write_dataset(draft, card, data, {"reader": files.source.reader, "checksums": checksums})
    return Dataset(folder)


def _write_dataset(folder: Path, card: Card, data: RawData, source: dict[str, Any]) -> None:
    table = data.interactions
    if table.empty:
        raise BenchError(f"'{card.name}': the raw files hold no interaction")
    user_codes, user_ids = pd.factorize(table["user"])
    item_codes, item_ids = pd.factorize(table["item"])
    log = [("raw rows", len(table))]
    kept = filters.unique_pairs(user_codes, item_codes, card.filters.duplicates)
    log.append((f"one per user and item ({card.filters.duplicates})", int(kept.sum())))
    if card.filters.k_core:
        kept[kept] = filters.k_core(user_codes[kept], item_codes[kept], card.filters.k_core)
        log.append((f"{card.filters.k_core}-core", int(kept.sum())))
    if not kept.any():
        raise BenchError(f"'{card.name}': no interaction is left after the filters of its card: lower k_core")
    user_codes, item_codes = user_codes[kept], item_codes[kept]
    times = table["time"].to_numpy()[kept]
    users, user_ids = _renumber(user_codes, user_ids.to_numpy(object))
    items, item_ids = _renumber(item_codes, item_ids.to_numpy(object))
    counts = {"users": len(user_ids), "items": len(item_ids), "interactions": len(users)}
    if card.expected and counts != card.expected.model_dump():
        wanted = ", ".join(f"{number:,} {what}" for what, number in card.expected.model_dump().items())
        got = ", ".join(f"{number:,} {what}" for what, number in counts.items())
        raise BenchError(f"'{card.name}' has {got}, but its card says {wanted}: are the raw files complete?")
    order = np.lexsort((times, users))  # stable: ties keep the order of the raw file
    indptr = np.concatenate([[0], np.cumsum(np.bincount(users, minlength=len(user_ids)))]).astype(np.int64)
    interactions = Interactions(indptr, items[order].astype(np.int32), times[order], len(item_ids))
    save_interactions(folder, "all", interactions)
    texts = {"item": _aligned(data.items, item_ids), "user": _aligned(data.users, user_ids)}
    for what, frame in texts.items():
        frame.to_parquet(folder / f"{what}_texts.parquet")
    write_json(
        folder / "facts.json",
        {
            "dataset": card.name,
            **counts,
            "steps": log,
            "problems": data.problems,
            "without_text": int((texts["item"].drop(columns="id") == "").all(axis=1).sum()),
            "source": source,
            "interactions_hash": _interactions_hash(interactions, user_ids, item_ids),
            "texts_hash": content_hash({what: frame.to_dict("list") for what, frame in texts.items()}),
        },
    )


def _renumber(codes: Any, ids: Any) -> tuple[Any, Any]:
    """Codes and ids of what still occurs, numbered by sorted id."""
    used = np.flatnonzero(np.bincount(codes, minlength=len(ids)))
    used = used[np.argsort(ids[used])]
    number = np.full(len(ids), -1, np.int64)
    number[used] = np.arange(len(used))
    return number[codes], ids[used]


def _aligned(texts: pd.DataFrame, ids: Any) -> pd.DataFrame:
    """One row per id, in that order; fields of an id that has none are empty."""
    frame = texts.drop_duplicates("id").set_index("id").reindex(ids).fillna("")
    return frame.rename_axis("id").reset_index().astype("str")


def _interactions_hash(interactions: Interactions, user_ids: Any, item_ids: Any) -> str:
    """Identity of the canonical interactions: original ids and their order, whatever file they came from."""
    digest = hashlib.sha256()
    for ids in (user_ids, item_ids):
        digest.update("\n".join(ids).encode() + b"\0")
    digest.update(interactions.indptr.astype("<i8").tobytes())
    digest.update(interactions.items.astype("<i4").tobytes())
    return digest.hexdigest()


def split(dataset: Dataset, protocol: Protocol) -> Split:
    """Split ``dataset`` by ``protocol``, or find the split that was made before."""
    facts = dataset.facts
    key = content_hash(
        {
            "dataset": dataset.path.name,
            "interactions": facts["interactions_hash"],
            "rules": protocol.rules(),
            "code": _CODE,
        }
    )[:16]
    name = f"{facts['dataset']}-{key}"
    visible, hidden = (cache_folder() / kind / name for kind in ("splits", "tests"))
    if not (visible.is_dir() and hidden.is_dir()):
        parts = splits.random_ratio(dataset.interactions.indptr, protocol.split.ratios, protocol.split.seed)
        fingerprint = content_hash(
            {
                "interactions": facts["interactions_hash"],
                "parts": hashlib.sha256(parts.tobytes()).hexdigest(),
                "rules": protocol.model_dump(mode="json", include={"history", "exclude", "candidates"}),
            }
        )
        common = {key: facts[key] for key in ("dataset", "users", "items")}
        with new_folder(hidden) as draft:
            _write_parts(draft, dataset.interactions, parts, {"test": splits.TEST}, common)
        with new_folder(visible) as draft:
            visible_parts = {"train": splits.TRAIN, "valid": splits.VALID}
            _write_parts(draft, dataset.interactions, parts, visible_parts, {**common, "fingerprint": fingerprint})
            for texts in ("item_texts.parquet", "user_texts.parquet"):
                shutil.copyfile(dataset.path / texts, draft / texts)
    return Split(VisibleSplit(visible), HiddenTest(hidden))


def _write_parts(
    folder: Path, whole: Interactions, parts: splits.Parts, names: dict[str, int], facts: dict[str, Any]
) -> None:
    for name, part in names.items():
        chosen = parts == part
        indptr = np.concatenate([[0], np.cumsum(chosen)])[whole.indptr]
        save_interactions(folder, name, Interactions(indptr, whole.items[chosen], whole.times[chosen], whole.n_items))
    write_json(folder / "facts.json", facts)
