"""From raw files to a prepared data set, and from there to a split; each step is kept on disk and done once."""

from __future__ import annotations

import datetime
import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bench.data
from bench.data import filters, raw, splits
from bench.data.catalog import Card, Template
from bench.data.dataset import Dataset, HiddenTest, Split, VisibleSplit, save_array, save_interactions
from bench.data.order import within_users
from bench.data.protocol import FoldSplit, HeldOutSplit, LeaveOutSplit, Protocol, RatioSplit, TemporalSplit
from bench.data.sources import RawData, count, reader
from bench.data.texts import fill
from bench.errors import DataError
from bench.files import cache_folder, content_hash, new_folder, tree_hash, write_json
from bench.interactions import Interactions

_CODE = tree_hash([Path(path) for path in bench.data.__path__])
"""Prepared data of another version of this package is not used."""


def prepare(card: Card, raw_dir: Path | None = None, strict: bool = False) -> Dataset:
    """The prepared data set of ``card``, made from its raw files if it is not there yet.

    With ``strict``, rows that cannot be used are an error; otherwise they are counted in the facts.

    Raises
    ------
    DataError
        If files are missing, damaged or do not give the expected counts.
    """
    files = raw.find(card, raw_dir)
    checksums = files.checksums()
    key = content_hash({"card": card.model_dump(mode="json"), "files": checksums, "code": _CODE})[:16]
    folder = cache_folder() / "datasets" / f"{card.name}-{key}"
    if not folder.is_dir():
        data = reader(files.source.reader)(files.paths, **files.source.options)
        with new_folder(folder) as draft:
            _write_dataset(draft, card, data, {"reader": files.source.reader, "checksums": checksums})
    dataset = Dataset(folder)
    if strict and (problems := {**dataset.facts["problems"], **dataset.facts["warnings"]}):
        found = ", ".join(f"{number:,} {what}" for what, number in problems.items())
        raise DataError(f"'{card.name}' has {found}: mend the raw files, or go on without --strict")
    return dataset


def _write_dataset(folder: Path, card: Card, data: RawData, source: dict[str, Any]) -> None:
    table = data.interactions
    if table.empty:
        found = ", ".join(f"{number:,} {what}" for what, number in data.problems.items()) or "no row at all"
        raise DataError(f"'{card.name}': the raw files hold no usable interaction ({found})")
    user_codes, user_ids = pd.factorize(table["user"])
    item_codes, item_ids = pd.factorize(table["item"])
    users, items, times = user_codes.astype(np.int64), item_codes.astype(np.int64), table["time"].to_numpy()
    texts = {"item": _texts(data.items, card.texts.item), "user": _texts(data.users, card.texts.user)}
    kept, steps = _filtered(card, table, users, items, item_ids, texts["item"])
    users, user_ids = _renumber(users[kept], user_ids.to_numpy(object))
    items, item_ids = _renumber(items[kept], item_ids.to_numpy(object))
    counts = {"users": len(user_ids), "items": len(item_ids), "interactions": len(users)}
    warnings = _check_counts(card, counts)
    order = within_users(users, times[kept])  # ties keep the order of the raw file
    bounds = np.concatenate([[0], np.cumsum(np.bincount(users, minlength=len(user_ids)))]).astype(np.int64)
    interactions = Interactions(bounds, items[order].astype(np.int32), times[kept][order], len(item_ids))
    save_interactions(folder, "all", interactions)
    if "part" in table:
        save_array(folder / "parts.npy", table["part"].to_numpy(np.int8)[kept][order])
    aligned = {"item": _aligned(texts["item"], item_ids), "user": _aligned(texts["user"], user_ids)}
    for what, frame in aligned.items():
        frame.to_parquet(folder / f"{what}_texts.parquet")
    if len(data.items):
        described = set(data.items["id"])
        count(data.problems, "items without metadata", sum(name not in described for name in item_ids))
    facts = {
        "dataset": card.name,
        **counts,
        "steps": steps,
        "problems": data.problems,
        "warnings": warnings,
        "source": source,
        "interactions_hash": _interactions_hash(interactions, user_ids, item_ids),
        "texts_hash": content_hash({what: frame.to_dict("list") for what, frame in aligned.items()}),
    }
    write_json(folder / "facts.json", facts)


def _filtered(
    card: Card, table: pd.DataFrame, users: filters.Ids, items: filters.Ids, item_ids: Any, item_texts: pd.DataFrame
) -> tuple[filters.Mask, list[tuple[str, int]]]:
    """What is left of the raw rows (n,), and how many after each step that was asked for."""
    rules, times = card.filters, table["time"].to_numpy()
    kept = np.ones(len(table), bool)
    steps = [("raw rows", len(table))]

    def step(name: str, mask: filters.Mask) -> None:
        kept[kept] = mask
        steps.append((name, int(kept.sum())))
        if not kept.any():
            raise DataError(f"'{card.name}': no interaction is left after the step '{name}'")

    if rules.min_rating is not None:
        if "rating" not in table:
            raise DataError(f"'{card.name}' asks for ratings of {rules.min_rating:g} and more, but has no ratings")
        step(f"rating {rules.min_rating:g} or more", table["rating"].to_numpy() >= rules.min_rating)
    if rules.since is not None:
        step(f"since {rules.since}", times[kept] >= _midnight(rules.since))
    if rules.until is not None:
        step(f"before {rules.until}", times[kept] < _midnight(rules.until))
    pairs = filters.unique_pairs(users[kept], items[kept], times[kept], rules.duplicates)
    step(f"one per user and item, the {rules.duplicates}", pairs)
    if rules.min_text:
        lengths = _aligned(item_texts, item_ids.to_numpy(object)).drop(columns="id").map(len).max(axis=1).to_numpy()
        step(f"items with {rules.min_text} characters of text", lengths[items[kept]] >= rules.min_text)
    if rules.k_core:
        step(f"{rules.k_core}-core", filters.k_core(users[kept], items[kept], rules.k_core))
    return kept, steps


def _midnight(day: datetime.date) -> float:
    return datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC).timestamp()


def _check_counts(card: Card, counts: dict[str, int]) -> dict[str, int]:
    """Warnings about approximate counts that are missed by more than a hundredth.

    Raises
    ------
    DataError
        If exact counts are missed.
    """
    if card.expected is None:
        return {}
    wanted = card.expected.model_dump(exclude={"approximate"})
    if card.expected.approximate:
        off = {what: counts[what] for what, number in wanted.items() if abs(counts[what] - number) > number / 100}
        return {f"{what} where about {wanted[what]:,} are commonly reported": number for what, number in off.items()}
    if counts != wanted:
        told = ", ".join(f"{number:,} {what}" for what, number in wanted.items())
        got = ", ".join(f"{number:,} {what}" for what, number in counts.items())
        raise DataError(f"'{card.name}' has {got}, but its card says {told}: are the raw files complete?")
    return {}


def _texts(fields: pd.DataFrame, template: Template | None) -> pd.DataFrame:
    """The fields, with the column ``text`` made by the template unless the raw files have one."""
    if template is None or "text" in fields or not len(fields):
        return fields
    return fields.assign(text=fill(template, fields))


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


def split(dataset: Dataset, protocol: Protocol, fold: int | None = None) -> Split:
    """Split ``dataset`` by ``protocol``, or find the split that was made before.

    ``fold`` is one of ``protocol.folds``. All folds have one fingerprint.

    Raises
    ------
    DataError
        If the protocol does not suit the data: there is no published split, or nothing to test.
    """
    facts = dataset.facts
    identity = [dataset.path.name, facts["interactions_hash"], protocol.rules(), fold, _CODE]
    name = f"{facts['dataset']}-{content_hash(identity)[:16]}"
    visible, hidden = (cache_folder() / kind / name for kind in ("splits", "tests"))
    if not (visible.is_dir() and hidden.is_dir()):
        assigned, parts = _assigned(dataset, protocol, fold)
        whole = dataset.interactions
        if protocol.candidates == "train":
            seen = np.bincount(whole.items[parts == splits.TRAIN], minlength=whole.n_items) > 0
            parts = np.where((parts == splits.TEST) & ~seen[whole.items], _NOWHERE, parts)
        if not (parts == splits.TEST).any():
            raise DataError(
                f"protocol '{protocol.name}' leaves no test interaction of '{facts['dataset']}': choose another one"
            )
        rules = protocol.model_dump(mode="json", include={"history", "exclude", "candidates"})
        fingerprint = content_hash(
            {
                "interactions": facts["interactions_hash"],
                "parts": hashlib.sha256(assigned.tobytes()).hexdigest(),
                "rules": rules,
            }
        )
        common = {key: facts[key] for key in ("dataset", "users", "items")}
        with new_folder(hidden) as draft:
            _write_parts(draft, whole, parts, {"test": splits.TEST}, common)
        with new_folder(visible) as draft:
            named = {"train": splits.TRAIN, "valid": splits.VALID}
            if (parts == splits.KNOWN).any():
                named["known"] = splits.KNOWN
            told = {**common, "fingerprint": fingerprint, "parts": list(named), "candidates": protocol.candidates}
            _write_parts(draft, whole, parts, named, told)
            for texts in ("item_texts.parquet", "user_texts.parquet"):
                shutil.copyfile(dataset.path / texts, draft / texts)
    return Split(VisibleSplit(visible), HiddenTest(hidden))


_NOWHERE = -1


def _assigned(dataset: Dataset, protocol: Protocol, fold: int | None) -> tuple[splits.Parts, splits.Parts]:
    """What the fingerprint is made of, and the part of each interaction: the same unless there are folds."""
    rule, whole = protocol.split, dataset.interactions
    if isinstance(rule, FoldSplit):
        assert fold is not None
        number = splits.folds(whole.indptr, rule.folds, rule.seed)
        return number, splits.fold_parts(whole.indptr, number, rule.folds, fold)
    if isinstance(rule, RatioSplit):
        counts = splits.ratio_counts(whole.lengths, rule.ratios)
        by_time = rule.order == "time"
        parts = splits.by_time(whole.indptr, counts) if by_time else splits.at_random(whole.indptr, counts, rule.seed)
    elif isinstance(rule, LeaveOutSplit):
        parts = splits.by_time(whole.indptr, splits.leave_out_counts(whole.lengths, rule.k))
    elif isinstance(rule, TemporalSplit):
        if whole.times.min() == whole.times.max():
            name = dataset.facts["dataset"]
            raise DataError(f"'{name}' has no times: choose a --protocol that does not cut in time")
        parts = splits.global_cut(whole.times, rule.ratios)
    elif isinstance(rule, HeldOutSplit):
        parts = splits.held_out_users(whole.indptr, rule.user_ratios, rule.known_share, rule.seed)
    else:
        parts = dataset.published_parts
    return parts, parts


def _write_parts(
    folder: Path, whole: Interactions, parts: splits.Parts, names: dict[str, int], facts: dict[str, Any]
) -> None:
    for name, part in names.items():
        save_interactions(folder, name, whole.where(parts == part))
    write_json(folder / "facts.json", facts)
