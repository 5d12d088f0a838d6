"""Checksums of raw files: the card's, and of fetched ones the one that was first seen, enforced ever after."""

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
    seen, found = first_seen(folder), file_hash(path)
    wrong = against_card(path, file)
    if not wrong and not file.sha256 and seen.get(file.name, found) != found:
        wrong = f"SHA-256 {found}, but {seen[file.name]} was first seen: to trust the new one, correct {folder / _NAME}"
    if wrong:
        path.unlink()
        raise DataError(f"{file.name} from {file.url} has {wrong}")
    write_json(folder / _NAME, {**seen, file.name: found})


def against_card(path: Path, file: File) -> str:
    """The checksum that is not the one of its card, and that one; empty if there is none."""
    if file.md5 and file.md5 != (other := _md5(path)):
        return f"MD5 {other}, but {file.md5} its card says"
    if file.sha256 and file.sha256 != (found := file_hash(path)):
        return f"SHA-256 {found}, but {file.sha256} its card says"
    return ""
