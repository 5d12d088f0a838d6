"""Rows of the lists in files: found among the users and items of a task, measured, and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.data.sources.lists import ListsFile, read_lists_file
from bench.errors import ConfigError, DataError, plain
from bench.evaluation.conventions import GAIN, OURS
from bench.files import content_hash
from bench.interactions import UNFILLED, Recommendations
from bench.messages.cell import Cell, PluginVersion, Result
from bench.messages.spec import LIST_LENGTH
from bench.runs import evaluate
from bench.runs.made import Made, check_name, keep
from bench.runs.store import Store
from bench.runs.task import Fold, Task

IMPORTED = "imported"
"""The preset of such rows."""

_OF_A_FILE = "lists of a file, so that its cost and what its model has seen are not known"
_VERSION = 1
"""Goes up when the same file gives other lists."""
_LARGEST = float(np.finfo(np.float32).max)


class Found(NamedTuple):
    """The lists of a file for the test users of a fold."""

    lists: Recommendations
    """As long as the longest; an item that the data set does not have is ``n_items``, which counts as a violation."""
    counts: dict[str, int]
    """What was found and what was not, by words."""


def import_lists(
    paths: Sequence[Path],
    name: str,
    task: Task,
    ks: Sequence[int],
    store: Store,
    columns: Mapping[str, str] | None = None,
    deterministic: bool = False,
) -> list[Result]:
    """Make the row ``name`` of files of lists: a file for each fold of the first seed, then of the second, and so on.

    Parameters
    ----------
    deterministic
        Whether the lists do not depend on a seed, so that one file says all.

    Raises
    ------
    BenchError
        If the name or the number of files is not allowed, or a file cannot be used; nothing is stored then.
    """
    folds = list(task.folds)
    check_name(name)
    if len(paths) % len(folds):
        raise ConfigError(f"protocol '{task.protocol.name}' has {len(folds)} folds: give a file for each, in order")
    if deterministic and len(paths) > len(folds):
        raise ConfigError(f"--deterministic takes a file for each fold, {len(folds)} here, and {len(paths)} were given")
    files = [read_lists_file(path, columns) for path in paths]
    for at, (file, path) in enumerate(zip(files, paths, strict=True)):
        for before in range(at % len(folds), at, len(folds)):  # of other seeds
            if files[before].sha256 == file.sha256:
                raise ConfigError(
                    f"{paths[before]} and {path} are the same lists, which are no two seeds: give one of them, with "
                    "--deterministic if they depend on no seed"
                )
    found = [
        find(file, path, task, task.folds[folds[at % len(folds)]], max(LIST_LENGTH, *ks))
        for at, (file, path) in enumerate(zip(files, paths, strict=True))
    ]
    longest = min(one.lists.items.shape[1] for one in found)
    if longest < min(ks):
        raise ConfigError(f"lists of at most {longest} items cannot be measured at {min(ks)}: give --k {longest}")
    lists = [Recommendations(one.lists.items[:, :longest], one.lists.scores[:, :longest]) for one in found]
    misfits = []
    for at, (path, own) in enumerate(zip(paths, lists, strict=True)):
        counted, lines = _misfits(path, own, task, task.folds[folds[at % len(folds)]])
        found[at].counts.update(counted)
        misfits.append(lines)
    code = content_hash([_VERSION, deterministic, [[file.sha256, file.form] for file in files]])
    results = []
    for at, (path, file, one) in enumerate(zip(paths, files, found, strict=True)):
        fold = folds[at % len(folds)]
        cell = Cell(
            model=name,
            preset=IMPORTED,
            config={},
            deterministic=deterministic,
            code=code,
            dataset=task.card.name,
            content=task.folds[fold].split.visible.content,
            protocol=task.protocol,
            fingerprint=task.fingerprint,
            fold=fold,
            seed=0 if deterministic else 1 + at // len(folds),
            device="cpu",
            list_length=longest,
        )
        made = Made(
            cell=cell,
            lists=lists[at],
            origin=PluginVersion(distribution=f"file {plain(path.name, 100)}", version=file.sha256),
            held="unconfined: lists of a file",
            facts={"file": plain(path.name, 100), "read": file.form, "manifest": manifest(one)},
            warnings=[_OF_A_FILE, *_said(one), *misfits[at]],
        )
        results.append(keep(made, task, ks, store))
    return results


def manifest(found: Found) -> dict[str, Any]:
    """By which conventions the lists were measured, and what was counted on the way."""
    return {
        "gain": GAIN,
        "MAP": f"sum of precisions at hits over {OURS.map_divisor}",
        "MRR": f"within {OURS.mrr_within}",
        "users": f"{OURS.users}; one without a list counts as misses",
        "ties": "keep the order of the file",
        "duplicates": f"count as {OURS.duplicates} behind the first one, and keep their ranks",
        **found.counts,
    }


_USERS_LOST, _ROWS_LOST = "users that are not in the data set", "rows of them"
_UNTESTED, _MISSING = "users without a test item", "test users without a list"
_EXCLUDED, _SHORT = "slots of excluded items", "slots that short lists leave empty"


def find(file: ListsFile, path: Path, task: Task, fold: Fold, most: int) -> Found:
    """The lists of a file, each by falling score, ties in the order of the file, and ended after ``most`` items.

    Raises
    ------
    DataError
        If it has no list of a test user.
    """
    user_ids, item_ids = (pd.Index(texts["id"]) for texts in (task.dataset.user_texts(), task.dataset.item_texts()))
    users = user_ids.get_indexer(file.rows["user"])
    tested = evaluate.test_users(fold.split)
    places = np.full(len(user_ids) + 1, -1)  # the last one is that of users that are not there
    places[tested] = np.arange(len(tested))
    rows = file.rows.assign(place=places[users])
    strangers, listed = rows[users < 0], rows[rows["place"] >= 0]
    if listed.empty:
        theirs, ours = (plain(str(one), 60) for one in (rows["user"].iloc[0], user_ids[tested[0]]))
        raise DataError(
            f"{path} has no list of a test user of '{task.card.name}': its users are called such as '{theirs}', those "
            f"of the data set such as '{ours}'"
        )
    items = item_ids.get_indexer(listed["item"])
    places = listed["place"].to_numpy()
    lists, tied = _by_score(places, items, listed["score"].to_numpy(), (len(tested), most), len(item_ids))
    counts = {
        "rows": len(rows),
        "test users": len(tested),
        _USERS_LOST: int(strangers["user"].nunique()),
        _ROWS_LOST: len(strangers),
        _UNTESTED: int(rows["user"][(users >= 0) & (rows["place"] < 0)].nunique()),
        _MISSING: len(tested) - int(listed["place"].nunique()),
        "items that are not in the data set": int(listed["item"][items < 0].nunique()),
        "slots tied with the one above": tied,
        "duplicate slots": int(listed.duplicated(["place", "item"]).sum()),
    }
    return Found(lists, counts)


def _by_score(
    places: NDArray[np.int64],
    items: NDArray[np.intp],
    scores: NDArray[np.float64],
    shape: tuple[int, int],
    n_items: int,
) -> tuple[Recommendations, int]:
    """Lists of rows (n,), each in the list of its place, and how many of the rows have the score of the one above.

    ``shape`` is that of the lists at most: they are as long as the longest.
    """
    order = np.lexsort((-scores, places))  # which leaves ties in order
    places, items, scores = places[order], items[order], scores[order]
    tied = (np.diff(places) == 0) & (np.diff(scores) == 0)
    lengths = np.bincount(places, minlength=shape[0])
    slots = np.arange(len(order)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    shape = (shape[0], min(shape[1], int(lengths.max())))
    kept = slots < shape[1]
    places, slots, items, scores = places[kept], slots[kept], items[kept], scores[kept]
    found = Recommendations(np.full(shape, UNFILLED, np.int32), np.full(shape, -np.inf, np.float32))
    found.items[places, slots] = np.where(items < 0, n_items, items)
    found.scores[places, slots] = np.clip(scores, -_LARGEST, _LARGEST)
    return found, int(tied.sum())


_MANY, _MOST = 0.01, 0.5
"""Shares of the filled slots from which lists are told not to fit the data, and are refused."""
_MISFITS = {
    "excluded": "hold an item that the protocol excludes: lists of another split, whose train part holds test items of "
    "this one, of a tool that leaves in what a user has seen, or shifted ids",
    "unknown": "hold an item that the data set does not have: other or shifted ids, or data filtered in another way",
}


def _misfits(path: Path, lists: Recommendations, task: Task, fold: Fold) -> tuple[dict[str, int], list[str]]:
    """What lists have that counts as a miss, and why they seem to be made on other data than the task, if they do.

    Raises
    ------
    DataError
        If most of their slots do not fit.
    """
    users = evaluate.test_users(fold.split)
    _, counted = evaluate.checked(lists, fold.split.visible, task.protocol, users, lists.items.shape[1])
    filled = max(1, int((lists.items != UNFILLED).sum()))
    lines = []
    for kind, words in _MISFITS.items():
        share = counted[kind] / filled
        line = f"{counted[kind]:,} of {filled:,} slots ({share:.1%}) {words}"
        if share > _MOST:
            raise DataError(f"{path}: {line}; nothing was stored: 'bench export split' writes the split to train on")
        lines += [line] if share > _MANY else []
    return {_EXCLUDED: counted["excluded"], _SHORT: counted["short"]}, lines


def _said(found: Found) -> list[str]:
    """What a reader of the table has to know."""
    counts = found.counts
    lines = []
    if counts[_USERS_LOST]:
        lines.append(f"{counts[_ROWS_LOST]:,} rows of {counts[_USERS_LOST]:,} {_USERS_LOST} were left out")
    if counts[_MISSING]:
        lines.append(f"{counts[_MISSING]:,} of {counts['test users']:,} {_MISSING}, which count as misses")
    return lines
