"""From a prepared data set to a split: what a worker may see, and apart from it what it is tested on.

Both are folders of read-only files, kept on disk and made once. The name of the hidden folder depends on a secret of
this cache, so that it cannot be derived from anything that a worker is given.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.code import module_hash
from bench.data.dataset import Dataset
from bench.data.hidden import HiddenTest, Split
from bench.data.protocol import Protocol
from bench.data.splits import KNOWN, TEST, TRAIN, VALID, Parts
from bench.data.visible import VisibleSplit
from bench.errors import DataError
from bench.files import array_hash, cache_folder, content_hash, new_folder, write_json
from bench.interactions import ARRAYS, Interactions, save_array, save_interactions

_NOWHERE = -1
"""The part of a test interaction that the protocol does not count."""


def split(dataset: Dataset, protocol: Protocol, fold: int | None = None) -> Split:
    """Split ``dataset`` by ``protocol``, or find the split that was made before.

    ``fold`` is one of ``protocol.folds``. All folds have one fingerprint.

    Raises
    ------
    DataError
        If the protocol does not suit the data: there is no published split, or nothing to test.
    """
    facts = dataset.facts
    code = (module_hash(__name__, "bench.data"), module_hash("bench.interactions", "bench.interactions"))
    key = content_hash([dataset.path.name, facts["interactions_hash"], protocol.rules(), fold, code])
    visible = cache_folder() / "splits" / f"{facts['dataset']}-{key[:16]}"
    hidden = cache_folder() / "tests" / hmac.new(_secret(), key.encode(), "sha256").hexdigest()[:32]
    if not (visible.is_dir() and hidden.is_dir()):
        parts = protocol.split.assign(dataset, fold)
        fingerprint = _fingerprint(facts["interactions_hash"], protocol.split.identity(dataset, parts), protocol)
        if protocol.fit == "train+valid":
            parts = _with_validation(dataset.interactions, parts)
        parts = _counted(dataset, protocol, parts)
        _write(dataset, protocol, parts, fingerprint, visible, hidden)
    return Split(VisibleSplit(visible), HiddenTest(hidden))


def _with_validation(whole: Interactions, parts: Parts) -> Parts:
    """The parts, with all of validation in train, also what is known of users that are there for validation alone."""
    users = np.repeat(np.arange(len(whole.lengths)), whole.lengths)
    judged = np.bincount(users[parts == VALID], minlength=len(whole.lengths)) > 0
    return np.where((parts == VALID) | ((parts == KNOWN) & judged[users]), TRAIN, parts).astype(np.int8)


def _counted(dataset: Dataset, protocol: Protocol, parts: Parts) -> Parts:
    """The parts, without test interactions that the candidate rule leaves out."""
    if protocol.candidates == "train":
        whole = dataset.interactions
        seen = np.bincount(whole.items[parts == TRAIN], minlength=whole.n_items) > 0
        parts = np.where((parts == TEST) & ~seen[whole.items], _NOWHERE, parts).astype(np.int8)
    for part, what in ((TRAIN, "train"), (TEST, "test")):
        if not (parts == part).any():
            name = dataset.facts["dataset"]
            raise DataError(f"protocol '{protocol.name}' leaves no {what} interaction of '{name}': choose another one")
    return parts


def _fingerprint(interactions_hash: str, assigned: Parts, protocol: Protocol) -> str:
    rules = protocol.rules()
    rules.pop("split")  # the parts are what it came to
    parts = hashlib.sha256(assigned.tobytes()).hexdigest()
    return content_hash({"interactions": interactions_hash, "parts": parts, "rules": rules})


def _write(dataset: Dataset, protocol: Protocol, parts: Parts, fingerprint: str, visible: Path, hidden: Path) -> None:
    facts, whole = dataset.facts, dataset.interactions
    common = {key: facts[key] for key in ("dataset", "users", "items")}
    with new_folder(hidden) as draft:
        _write_folder(draft, {"test": whole.where(parts == TEST)}, common)
    numbers = {"train": TRAIN, "valid": VALID} | ({"known": KNOWN} if (parts == KNOWN).any() else {})
    named = {name: whole.where(parts == part) for name, part in numbers.items()}
    moments = {name: dataset.moments[parts == part] for name, part in numbers.items()} if dataset.is_finer else {}
    arrays = {f"{name}.{array}": getattr(part, array) for name, part in named.items() for array in ARRAYS}
    arrays |= {f"{name}.moments": array for name, array in moments.items()}
    seen = {"arrays": {name: array_hash(array) for name, array in arrays.items()}, "texts": facts["texts_hash"]}
    told = {
        **common,
        "fingerprint": fingerprint,
        "parts": list(named),
        "candidates": protocol.candidates,
        "texts_hash": facts["texts_hash"],
        "content": content_hash({**seen, "candidates": protocol.candidates}),
    }
    with new_folder(visible) as draft:
        for name, array in moments.items():
            save_array(draft / f"{name}.moments.npy", array)
        for texts in ("item_texts.parquet", "user_texts.parquet"):
            shutil.copyfile(dataset.path / texts, draft / texts)
        _write_folder(draft, named, told)


def _write_folder(folder: Path, parts: Mapping[str, Interactions], facts: Mapping[str, Any]) -> None:
    for name, part in parts.items():
        save_interactions(folder, name, part)
    write_json(folder / "facts.json", dict(facts))
    for path in folder.iterdir():
        path.chmod(0o444)


def _secret() -> bytes:
    """Random bytes that this cache keeps for itself, in a file that its owner alone may read."""
    folder = cache_folder() / "secret"
    if not folder.is_dir():
        with new_folder(folder) as draft:
            draft.chmod(0o700)
            (draft / "key").write_bytes(os.urandom(32))
            (draft / "key").chmod(0o600)
    try:
        key = (folder / "key").read_bytes()
    except OSError as error:
        raise DataError(f"{folder} is damaged ({error}): delete that folder") from error
    if len(key) != 32:
        raise DataError(f"{folder} is damaged (its key has {len(key)} bytes): delete that folder")
    return key
