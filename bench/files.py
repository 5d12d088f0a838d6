"""Content hashes, and files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_BUFFER = 2**20


def content_hash(value: Any) -> str:
    """SHA-256 in hex of a JSON-ready value, independent of the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 in hex of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BUFFER):
            digest.update(block)
    return digest.hexdigest()


def tree_hash(roots: Iterable[Path], suffixes: tuple[str, ...] = (".py", ".yaml", ".yml", ".json", ".toml")) -> str:
    """SHA-256 in hex of the source files under ``roots`` (files or folders), names and contents."""
    digest = hashlib.sha256()
    for root in sorted(roots):
        found = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.suffix in suffixes)
        for path in found:
            digest.update(f"{path.relative_to(root.parent).as_posix()}\0{file_hash(path)}\0".encode())
    return digest.hexdigest()


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, which becomes ``target`` when the block ends well and vanishes when it does not.

    If another process has made ``target`` meanwhile, its version stays.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield draft
        try:
            draft.chmod(0o755)
            draft.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` so that a reader sees the old content or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """:func:`write_text` of an indented JSON document."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def cache_folder() -> Path:
    """Where prepared data lives: ``$BENCH_CACHE_DIR``, or ``recsys-bench`` in the user's cache folder."""
    if named := os.environ.get("BENCH_CACHE_DIR"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "recsys-bench"
