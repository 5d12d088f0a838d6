"""Raw files, plain or packed, as streams of bytes."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

from bench.errors import DataError

ZIP_ERRORS = (zipfile.BadZipFile, NotImplementedError, OSError, RuntimeError, ValueError)
"""What ``zipfile`` raises for a damaged archive, an unknown packing and an encrypted member."""


@contextmanager
def open_raw(path: Path) -> Iterator[IO[bytes]]:
    """Open a plain or gzip file, or the member of a zip with its name, for reading bytes.

    A file cut off in the middle is the user's error.
    """
    try:
        with ExitStack() as stack:
            if path.suffix == ".zip":
                file = _member(path, stack)
            else:
                file = stack.enter_context(cast(IO[bytes], (gzip.open if path.suffix == ".gz" else open)(path, "rb")))
            yield file
    except (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error) as error:
        raise damaged_file(path, error) from error


def _member(path: Path, stack: ExitStack) -> IO[bytes]:
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
        found = [name for name in archive.namelist() if Path(name).name == path.stem]
        if len(found) == 1:
            return stack.enter_context(archive.open(found[0]))
    except ZIP_ERRORS as error:
        raise damaged_file(path, error) from error
    raise DataError(f"{path} should hold one file {path.stem}, but holds {', '.join(archive.namelist()[:5])}")


def damaged_file(path: Path, error: Exception) -> DataError:
    """The error for an archive that ends too early or is damaged."""
    return DataError(f"{path} is cut off or damaged ({error}): fetch it again")
