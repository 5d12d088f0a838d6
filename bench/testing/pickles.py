"""Files that run code when they are loaded."""

from __future__ import annotations

import os
import re
import zipfile
from pathlib import Path

from numpy.lib import format as npy

_BEGINS = re.compile(rb"\x80[\x02-\x05][^\x00]")
"""How a pickle of protocol 2 or later does: the protocol, and an instruction, none of which is 0."""
_ENDS = b"."


def is_pickle(path: Path) -> bool:
    """Whether a file is a pickle, an array of objects, or holds a pickle as files of ``torch.save`` do.

    Pickles are known by how they begin and end, so that nothing is run.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".pkl") for name in archive.namelist())
    with path.open("rb") as file:
        start = file.read(len(npy.MAGIC_PREFIX))
        if start == npy.MAGIC_PREFIX:
            file.seek(0)
            header = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
            return bool(header(file)[2].hasobject)
        if not _BEGINS.match(start):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read() == _ENDS
