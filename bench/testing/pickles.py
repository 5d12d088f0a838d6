"""Files that run code when they are loaded."""

from __future__ import annotations

import itertools
import pickle
import pickletools
import zipfile
from pathlib import Path

from numpy.lib import format as npy


def is_pickle(path: Path) -> bool:
    """Whether a file is a pickle, an array of objects, or holds a pickle as files of ``torch.save`` do.

    Pickles of protocol 2 and later are known, by their first instructions; nothing is run.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".pkl") for name in archive.namelist())
    with path.open("rb") as file:
        start = file.read(len(npy.MAGIC_PREFIX))
        file.seek(0)
        if start == npy.MAGIC_PREFIX:
            header = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
            return bool(header(file)[2].hasobject)
        if not start.startswith(pickle.PROTO):
            return False
        try:
            return bool(list(itertools.islice(pickletools.genops(file), 3)))
        except ValueError:  # no instructions
            return False
