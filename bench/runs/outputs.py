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

from bench.errors import PluginError, one_line, plain
from bench.files import new_folder, remove

FILES, DEPTH = 10_000, 16
"""How many files and folders a saved model may have, and how deep they may lie."""
_CANNOT_OPEN = {errno.ELOOP: "is a link", errno.ENOENT: "is not there", errno.ENXIO: "is no regular file"}


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
        what = _CANNOT_OPEN.get(error.errno or 0) or f"cannot be opened ({error.strerror})"
        raise PluginError(f"the worker's {path.name} {what}") from error
    facts = os.fstat(handle)
    if stat.S_ISREG(facts.st_mode) and facts.st_size <= most:
        return os.fdopen(handle, "rb")
    os.close(handle)  # of a folder, from which no file object can be made
    if not stat.S_ISREG(facts.st_mode):
        raise PluginError(f"the worker's {path.name} is no regular file")
    raise PluginError(
        f"the worker's {path.name} has {facts.st_size:,} bytes, where at most {most:,} bytes are expected"
    )


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
            found: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        except Exception as error:  # numpy evaluates a stranger's header, which fails in many ways
            raise PluginError(f"the worker's {path.name} is no array ({one_line(error)})") from error
    return found


def adopt(folder: Path, target: Path) -> None:
    """Make the folder that a worker filled ``target``, copying regular files where it cannot be moved.

    What is there already makes way.

    Raises
    ------
    PluginError
        If it is no folder, or there is anything but folders and regular files in it, or too many of them, or too deep.
    """
    _check_tree(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    remove(target)
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with new_folder(target) as draft:
            shutil.copytree(folder, draft, dirs_exist_ok=True)


def _check_tree(folder: Path) -> None:
    name = f"the worker's folder {folder.name}"
    if folder.is_symlink() or not folder.is_dir():
        raise PluginError(f"{name} is not there or is no folder")
    waiting, number = [(folder, 1)], 0
    while waiting:
        place, depth = waiting.pop()
        for entry in os.scandir(place):
            number += 1
            if entry.is_dir(follow_symlinks=False):
                waiting.append((Path(entry.path), depth + 1))
            elif not entry.is_file(follow_symlinks=False):
                raise PluginError(f"{name} has {plain(entry.name, 100)}, which is neither a folder nor a regular file")
        if number > FILES or depth > DEPTH:
            raise PluginError(f"{name} has more than {FILES:,} files, or folders deeper than {DEPTH}")


def clean(folder: Path) -> None:
    """Leave nothing but folders and regular files in a folder that a worker wrote and another one will read."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        remove(folder)
    if not folder.exists():
        return
    try:
        _check_tree(folder)
    except (PluginError, OSError):
        remove(folder)


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
