"""Content hashes, and files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import re
import shutil
import socket
import stat
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import NDArray


def content_hash(value: Any) -> str:
    """SHA-256 in hex of a JSON-ready value, independent of the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 in hex of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def array_hash(array: NDArray[Any]) -> str:
    """SHA-256 in hex of an array's type, shape and values."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}\0".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@contextlib.contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """A path to write, whose file becomes ``target`` when the block ends well and vanishes when it does not.

    A reader sees the old content or the new one, never a part, and after a power cut one of the two. The file gets the
    permissions that the user's umask gives.
    """
    draft = _draft(target)
    try:
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        if target.is_dir():  # damage
            remove(target)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, which becomes ``target`` when the block ends well and vanishes when it does not.

    If another process has made ``target`` meanwhile, its version stays.
    """
    draft = _draft(target)
    draft.mkdir()
    try:
        yield draft
        try:
            draft.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` by :func:`new_file`."""
    with new_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """:func:`write_text` of an indented JSON document."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _pid_namespace() -> str:
    """Process ids mean something within it only: containers of one host name may have several."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


HOST = re.sub(r"\W+", "-", socket.gethostname() + _pid_namespace()).strip("-")
"""This machine, or container, for file names."""


def _draft(target: Path) -> Path:
    """A new name beside ``target``, whose folder is made; what killed processes left of earlier ones is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep_drafts(target.parent, glob.escape(target.name))
    return target.with_name(f".{target.name}.{HOST}.{os.getpid()}.{os.urandom(4).hex()}.draft")


def without_draft(name: str) -> str:
    """The path of the target, if ``name`` is that of a draft."""
    return re.sub(r"(^|/)\.([^/]+)\.[^/.]+\.\d+\.[0-9a-f]{8}\.draft", r"\1\2", name)


def sweep_drafts(folder: Path, name: str = "*") -> None:
    """Remove what killed processes of this machine left of :func:`new_file` and :func:`new_folder` in ``folder``."""
    for draft in folder.glob(f".{name}.{HOST}.*.draft"):
        pid = draft.name.rsplit(".", 3)[1]
        if pid.isdigit() and not alive(int(pid)):
            if draft.is_dir():
                shutil.rmtree(draft, ignore_errors=True)
            else:
                draft.unlink(missing_ok=True)


def regular(path: Path) -> Path:
    """``path`` itself, if it is a file or leads to one; ``ValueError`` otherwise."""
    if not path.is_file():  # a pipe would be waited for
        raise ValueError("it is no file")
    return path


def read_regular(path: Path, most: int) -> bytes:
    """The bytes of a regular file of at most ``most`` bytes; it waits for no pipe and fills no memory.

    Raises
    ------
    OSError
        If it is something else or larger.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > most:
        os.close(handle)
        regular = stat.S_ISREG(facts.st_mode)
        raise OSError(
            errno.EFBIG if regular else errno.EINVAL, "Too large" if regular else "Not a regular file", str(path)
        )
    with os.fdopen(handle, "rb") as file:
        return file.read(most)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, whatever a stranger put into it; what cannot be removed stays.

    Folders within are brought up one by one, so that their depth needs neither recursion nor long paths.
    """
    left: set[str] | None = None
    while os.path.lexists(path):
        before = left
        with contextlib.suppress(OSError):
            if path.is_symlink() or not path.is_dir():
                path.unlink()
                return
            path.chmod(0o700)
            _bring_up(path)
            left = {entry.name for entry in os.scandir(path)}
            path.rmdir()
        if left == before:  # what is brought up has a new name each time
            return


def _bring_up(folder: Path) -> None:
    """Remove the files of a folder and of its folders, which are removed too; the folders in these are moved up."""
    for entry in list(os.scandir(folder)):
        with contextlib.suppress(OSError):
            if not entry.is_dir(follow_symlinks=False):
                Path(entry.path).unlink()
                continue
            Path(entry.path).chmod(0o700)
            for inner in list(os.scandir(entry.path)):
                with contextlib.suppress(OSError):
                    if inner.is_dir(follow_symlinks=False):
                        Path(inner.path).chmod(0o700)
                        Path(inner.path).rename(folder / f"moved-{os.urandom(8).hex()}")
                    else:
                        Path(inner.path).unlink()
            Path(entry.path).rmdir()


def alive(pid: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def cache_folder() -> Path:
    """Where prepared data lives: ``$BENCH_CACHE_DIR``, or ``recsys-bench`` in the user's cache folder."""
    if named := os.environ.get("BENCH_CACHE_DIR"):
        return Path(named)
    return Path(platformdirs.user_cache_dir("recsys-bench", appauthor=False))


def packaged(name: str) -> Path:
    """A file that a wheel carries in the package and the repository has at its top."""
    packed = Path(str(resources.files("bench"))) / name
    return packed if packed.exists() else packed.parent.parent / name
