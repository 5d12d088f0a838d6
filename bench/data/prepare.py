"""From raw files to a prepared data set, which is kept on disk and made once."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.code import module_hash
from bench.contract import RawData
from bench.data import raw
from bench.data.catalog import Card, Filters, Template
from bench.data.dataset import Dataset
from bench.data.filters import Rows, filters_of
from bench.data.overlaps import overlaps
from bench.data.sources import reader, reader_code
from bench.data.sources.rows import add_problem, first_of_each
from bench.data.sources.times import SECOND
from bench.data.splits import by_user
from bench.data.texts import fill
from bench.errors import DataError
from bench.files import cache_folder, content_hash, new_folder, write_json
from bench.interactions import Interactions, save_array, save_interactions

_MISSING = frozenset({"nan", "none", "null", "n/a", "<na>"})


def prepare(card: Card, raw_dir: Path | None = None, strict: bool = False) -> Dataset:
    """The prepared data set of ``card``, made from its raw files if it is not there yet.

    It is made anew for other files, other rules of the card, and code that means something else: of this module, of
    the reader and of what they use. With ``strict``, rows that cannot be used are an error; otherwise they are counted
    in the facts.

    Raises
    ------
    DataError
        If files are missing, damaged or do not give the expected counts.
    """
    files = raw.locate(card, raw_dir)
    source = {"reader": files.source.reader, "checksums": files.checksums()}
    rules = card.model_dump(mode="json", include={"name", "filters", "expected", "texts"})
    options, paths = files.source.options, {role: path.name for role, path in files.paths.items()}
    key = content_hash({**source, **rules, "options": options, "paths": paths, "code": _code(files.source.reader)})
    folder = cache_folder() / "datasets" / f"{card.name}-{key[:16]}"
    if not folder.is_dir():
        read = reader(files.source.reader)
        try:
            inspect.signature(read).bind(files.paths, **options)
        except TypeError as error:
            raise DataError(f"'{card.name}': options of its reader '{files.source.reader}': {error}") from error
        try:
            data = read(_Roles(card.name, files), **options)
            with new_folder(folder) as draft:
                _write_dataset(draft, card, data, source)
        except MemoryError as error:
            raise DataError(f"'{card.name}' does not fit into memory: {', '.join(paths.values())}") from error
        except OSError as error:
            raise DataError(
                f"'{card.name}' cannot be prepared in {folder.parent}: {error.strerror or error}"
            ) from error
    dataset = Dataset(folder)
    if strict and (problems := {**dataset.facts["problems"], **dataset.facts["warnings"]}):
        listed = ", ".join(f"{number:,} {what}" for what, number in problems.items())
        raise DataError(f"'{card.name}' has {listed}: fix the raw files, or go on without --strict")
    return dataset


def _code(reader_name: str) -> list[str]:
    """What the code that prepares means."""
    own = (module_hash(__name__, "bench.data"), module_hash("bench.interactions", "bench.interactions"))
    return [*own, reader_code(reader_name)]


class _Roles(dict[str, Path]):
    """Paths by role, for a reader."""

    def __init__(self, dataset: str, files: raw.RawFiles) -> None:
        super().__init__(files.paths)
        self._dataset, self._reader = dataset, files.source.reader

    def __missing__(self, role: str) -> Path:
        has = ", ".join(self) or "none"
        raise DataError(f"'{self._dataset}': its reader '{self._reader}' needs a file of role '{role}', and has {has}")


class _Canonical(NamedTuple):
    """What the filters left, users and items numbered by sorted id."""

    interactions: Interactions
    user_ids: NDArray[np.object_]
    """(n_users,): original ids."""
    item_ids: NDArray[np.object_]
    """(n_items,): original ids."""
    parts: NDArray[np.int8] | None
    """(n_interactions,): published parts."""
    moments: NDArray[np.int64] | None
    """(n_interactions,): nanoseconds since 1970, where whole seconds do not tell all."""
    steps: list[tuple[str, int]]
    """Name of each step, and how many rows it left."""
    overlaps: dict[str, int]
    """How many interactions stood in two published parts, by words."""


def _write_dataset(folder: Path, card: Card, data: RawData, source: dict[str, Any]) -> None:
    if data.interactions.empty:
        listed = ", ".join(f"{number:,} {what}" for what, number in data.problems.items()) or "no row at all"
        raise DataError(f"'{card.name}': the raw files hold no usable interaction ({listed})")
    items = first_of_each(data.items, "items", data.problems)
    users = first_of_each(data.users, "users", data.problems)
    item_texts, user_texts = _texts(items, card.texts.item), _texts(users, card.texts.user)
    found = _canonical(card, data.interactions, item_texts)
    counts = {
        "users": len(found.user_ids), "items": len(found.item_ids), "interactions": len(found.interactions)
    }  # fmt: skip
    warnings = {**found.overlaps, **_check_counts(card, counts), **_like_missing(found)}
    save_interactions(folder, "all", found.interactions)
    if found.parts is not None:
        save_array(folder / "parts.npy", found.parts)
    if found.moments is not None:
        save_array(folder / "moments.npy", found.moments)
    aligned = {"item": _aligned(item_texts, found.item_ids), "user": _aligned(user_texts, found.user_ids)}
    for what, frame in aligned.items():
        frame.to_parquet(folder / f"{what}_texts.parquet")
    if len(items):
        described = set(items["id"])
        add_problem(data.problems, "items without metadata", sum(name not in described for name in found.item_ids))
    facts = {
        "dataset": card.name,
        **counts,
        "steps": found.steps,
        "problems": data.problems,
        "warnings": warnings,
        "source": source,
        "interactions_hash": _interactions_hash(found),
        "texts_hash": content_hash({what: frame.to_dict("list") for what, frame in aligned.items()}),
    }
    write_json(folder / "facts.json", facts)


def _canonical(card: Card, table: pd.DataFrame, item_texts: pd.DataFrame) -> _Canonical:
    """Filter the raw rows, and put what is left in canonical order: by user, time, and row of the raw file.

    The ids leave ``table``, whose rows may be hundreds of millions: they are most of its bytes.
    """
    user_codes, user_names = _numbered(table.pop("user"))
    item_codes, item_names = _numbered(table.pop("item"))
    times = table["time"].to_numpy(np.int64)
    exact = times * SECOND + table["nanosecond"].to_numpy(np.int64) if "nanosecond" in table else times
    rows = Rows(
        user_codes,
        item_codes,
        times,
        exact,
        table["rating"].to_numpy(np.float64) if "rating" in table else None,
    )
    own = table["part"].to_numpy(np.int8) if "part" in table else None
    twice = {} if own is None else overlaps(user_codes, item_codes, own)
    kept, steps = _filtered(card, rows, item_names, item_texts)
    users, user_ids = _renumber(user_codes[kept], user_names)
    items, item_ids = _renumber(item_codes[kept], item_names)
    times, exact = times[kept], exact[kept]
    order = by_user(users, exact)
    bounds = np.concatenate([[0], np.cumsum(np.bincount(users, minlength=len(user_ids)))]).astype(np.int64)
    interactions = Interactions(bounds, items[order].astype(np.int32), times[order], len(item_ids))
    parts = None if own is None else own[kept][order]
    moments = exact[order] if "nanosecond" in table else None
    return _Canonical(interactions, user_ids, item_ids, parts, moments, steps, twice)


def _filtered(
    card: Card, rows: Rows, item_ids: NDArray[np.object_], item_texts: pd.DataFrame
) -> tuple[NDArray[np.int64], list[tuple[str, int]]]:
    """Which rows are left, in their order, and how many after each step."""
    rules: Filters = card.filters
    if rules.min_rating is not None and rows.ratings is None:
        raise DataError(
            f"'{card.name}' asks for ratings of {rules.min_rating:g} and more, but has no ratings that are numbers"
        )
    if rules.min_text:
        lengths = _aligned(item_texts, item_ids).drop(columns="id").map(len).max(axis=1).to_numpy()
        rows = dataclasses.replace(rows, text_lengths=lengths[rows.items])
    kept = np.arange(len(rows.users))
    steps = [("usable rows", len(kept))]
    for step in filters_of(rules):
        mask = step.keep(rows)
        rows, kept = rows.where(mask), kept if mask.all() else kept[mask]
        steps.append((step.name, len(kept)))
        if not len(kept):
            raise DataError(f"'{card.name}': no interaction is left after the step '{step.name}'")
    return kept, steps


def _like_missing(found: _Canonical) -> dict[str, int]:
    """How many users and items are called as programs write a missing value; they are kept, since one may be so."""
    named = [name for names in (found.user_ids, found.item_ids) for name in names if name.lower() in _MISSING]
    told = ", ".join(sorted(set(named)))
    return {f"users and items whose id reads like a missing value ({told})": len(named)} if named else {}


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


def _numbered(ids: pd.Series) -> tuple[NDArray[np.int32], NDArray[np.object_]]:
    """Codes (n,) by first occurrence, and the ids that they mean."""
    codes, names = pd.factorize(ids)
    return codes.astype(np.int32), names.to_numpy(object)


def _renumber(codes: NDArray[np.int32], ids: NDArray[np.object_]) -> tuple[NDArray[np.int32], NDArray[np.object_]]:
    """Codes (n,) and ids of what still occurs, numbered by sorted id."""
    used = np.flatnonzero(np.bincount(codes, minlength=len(ids)))
    used = used[np.argsort(ids[used])]
    number = np.full(len(ids), -1, np.int32)
    number[used] = np.arange(len(used), dtype=np.int32)
    return number[codes], ids[used]


def _aligned(texts: pd.DataFrame, ids: NDArray[np.object_]) -> pd.DataFrame:
    """One row per id, in that order; fields of an id that has none are empty."""
    frame = texts.drop_duplicates("id").set_index("id").reindex(ids).fillna("")
    return frame.rename_axis("id").reset_index().astype("str")


def _interactions_hash(found: _Canonical) -> str:
    """Identity of the canonical interactions: original ids and their order, whatever file they came from."""
    digest = hashlib.sha256()
    for ids in (found.user_ids, found.item_ids):
        digest.update("\n".join(ids).encode() + b"\0")
    digest.update(found.interactions.indptr.astype("<i8").tobytes())
    digest.update(found.interactions.items.astype("<i4").tobytes())
    return digest.hexdigest()
