"""Checksums of fetched files: the card's, or the one that was first seen, kept beside them and enforced ever after."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from bench.data.catalog import File
from bench.errors import DataError
from bench.files import file_hash, write_json

_NAME = "checksums.json"


def _md5(path: Path) -> str:
    """In hex; old, and good enough to tell a broken transfer."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def first_seen(folder: Path) -> dict[str, str]:
    """SHA-256 by name of the files that were fetched into ``folder``."""
    known = folder / _NAME
    seen: dict[str, str] = json.loads(known.read_text(encoding="utf-8")) if known.is_file() else {}
    return seen


def verify(path: Path, file: File, folder: Path) -> None:
    """Check a fetched file against the card or, without a checksum there, against what was first seen.

    A file that fails is deleted.
    """
    if file.md5 and file.md5 != (other := _md5(path)):
        path.unlink()
        raise DataError(f"{file.name} from {file.url} has MD5 {other}, but {file.md5} its card says")
    found = file_hash(path)
    seen = first_seen(folder)
    wanted = file.sha256 or seen.get(file.name)
    if wanted in (None, found):
        write_json(folder / _NAME, {**seen, file.name: found})
    else:
        path.unlink()
        source = "its card says" if file.sha256 else f"was first seen: to trust the new one, correct {folder / _NAME}"
        raise DataError(f"{file.name} from {file.url} has SHA-256 {found}, but {wanted} {source}")
