"""Take what a worker left. It may be anything: links, pipes, files of any size, files that change."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import PluginError
from bench.files import new_folder


def open_output(path: Path, most: int) -> IO[bytes]:
    """Open a regular file of at most ``most`` bytes, following no link and waiting for no pipe.

    Raises
    ------
    PluginError
        If it is not there or something else.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        kind = "is a link" if error.errno == errno.ELOOP else "is not there" if error.errno == errno.ENOENT else error
        raise PluginError(f"the worker's {path.name} {kind}") from error
    file = os.fdopen(handle, "rb")
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > most:
        file.close()
        what = "is no regular file" if not stat.S_ISREG(facts.st_mode) else f"has {facts.st_size:,} bytes"
        raise PluginError(f"the worker's {path.name} {what}, where at most {most:,} bytes are expected")
    return file


def read_output(path: Path, most: int = 2**24) -> bytes:
    """The bytes of a file; see :func:`open_output`."""
    with open_output(path, most) as file:
        return file.read(most + 1)


def read_array(path: Path, n: int) -> NDArray[Any]:
    """An array of at most ``n`` numbers; see :func:`open_output`.

    Raises
    ------
    PluginError
        If it is none.
    """
    with open_output(path, 16 * n + 2**12) as file:
        try:
            found = np.load(file, allow_pickle=False)
        except (ValueError, EOFError, OSError, SyntaxError, MemoryError) as error:
            raise PluginError(f"the worker's {path.name} is no array ({' '.join(str(error).split())})") from error
    if not isinstance(found, np.ndarray):
        raise PluginError(f"the worker's {path.name} is no array")
    return found


def adopt(folder: Path, target: Path) -> None:
    """Make the folder that a worker filled ``target``, copying regular files where it cannot be moved.

    Raises
    ------
    PluginError
        If there is anything but folders and regular files in it.
    """
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise PluginError(f"the worker's {path.relative_to(folder.parent)} is neither a folder nor a regular file")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            if target.is_dir():  # made meanwhile by somebody else
                return
            raise
        with new_folder(target) as draft:
            shutil.copytree(folder, draft, dirs_exist_ok=True)


def link_tree(source: Path, target: Path) -> None:
    """``target`` becomes a folder of hard links to the files of ``source``, or of copies on another file system.

    It is for folders that a worker can only read: a link in a writable one would be the shared data itself.
    """
    target.mkdir()
    for path in source.iterdir():
        try:
            os.link(path, target / path.name)
        except OSError:
            shutil.copyfile(path, target / path.name)
