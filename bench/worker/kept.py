"""Intermediate results that the core keeps: entries of named arrays, read from one folder and written to another.

An entry is a folder ``NAME-KEY`` with ``entry.json`` (seconds, by the clock and of processors, and the SHA-256 of each
array's file) and the arrays as ``.npy``. A worker may read what earlier cells left and writes what it makes into its
own output, from where the parent takes it over.
"""

from __future__ import annotations

import json
import math
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.contract import Arrays
from bench.files import array_hash, content_hash, file_hash, new_folder, write_json
from bench.interactions import save_array
from bench.worker.seconds import Seconds

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")


class Entry(NamedTuple):
    """Arrays, and what they cost when they were made."""

    arrays: dict[str, NDArray[Any]]
    spent: Seconds


class KeptArrays:
    """One family of entries.

    Parameters
    ----------
    read
        Where earlier cells left entries.
    write
        Where new ones go; looked at first, since an earlier attempt of this cell may have written there.
    """

    def __init__(self, read: Path, write: Path) -> None:
        self._read, self._write = read, write

    def find(self, entry: str) -> Entry | None:
        """The entry of that name; None if there is none.

        Raises
        ------
        ValueError, OSError
            If it is damaged.
        """
        folder = next((f / entry for f in (self._write, self._read) if (f / entry).is_dir()), None)
        if folder is None:
            return None
        paths, spent = read_entry(folder)
        return Entry({name: np.load(path, allow_pickle=False) for name, path in paths.items()}, spent)

    def add(self, entry: str, arrays: Arrays, spent: Seconds) -> None:
        """Write an entry, whole or not at all."""
        with new_folder(self._write / entry) as folder:
            for name, array in arrays.items():
                save_array(folder / f"{name}.npy", array)
            hashes = {name: file_hash(folder / f"{name}.npy") for name in arrays}
            took = {"seconds": spent.clock, "cpu_seconds": spent.processor}
            write_json(folder / "entry.json", {**took, "arrays": hashes})


def read_entry(folder: Path) -> tuple[dict[str, Path], Seconds]:
    """The files of an entry's arrays by name, all as they were written, and what they took.

    Raises
    ------
    ValueError, OSError
        If it is damaged, or is no entry at all.
    """
    told = json.loads(_regular(folder / "entry.json", 2**24).read_text(encoding="utf-8"))
    told = told if isinstance(told, dict) else {}
    hashes, given = told.get("arrays"), [told.get(name) for name in ("seconds", "cpu_seconds")]
    took = [one for one in given if isinstance(one, int | float) and 0 <= one < math.inf]
    if not (isinstance(hashes, dict) and len(took) == len(given)):
        raise ValueError(f"{folder} is no entry")
    paths = {}
    for name, expected in hashes.items():
        if Path(name).name != name:
            raise ValueError(f"{folder} names an array that is not in it")
        paths[name] = _regular(folder / f"{name}.npy")
        if file_hash(paths[name]) != expected:
            raise ValueError(f"{paths[name]} is not what was written")
    return paths, Seconds(*took)


def _regular(path: Path, most: float = math.inf) -> Path:
    facts = path.lstat()
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > most:
        raise ValueError(f"{path} is no file of an entry")
    return path


def entry_name(name: str, inputs: Mapping[str, Any], core: Mapping[str, Any]) -> str:
    """``NAME-KEY``: the key is made of what the author names and of what the ``core`` adds.

    Raises
    ------
    ValueError
        If the name is not made of small letters, digits and dashes.
    TypeError
        If an input is neither JSON-ready nor an array.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"'{name}' is no name for kept arrays: use small letters, digits and dashes")
    told = {key: array_hash(value) if isinstance(value, np.ndarray) else value for key, value in inputs.items()}
    return f"{name}-{content_hash({'inputs': told, 'core': dict(core)})[:24]}"
