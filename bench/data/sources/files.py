"""Raw files as streams of bytes, whatever they are packed with and named.

How a file is packed is told by its first bytes and not by its name. No file, and no member of an archive, is read
beyond :func:`limit` bytes, counted after unpacking.
"""

from __future__ import annotations

import codecs
import gzip
import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, cast

from bench.errors import ConfigError, DataError

ZIP_ERRORS = (zipfile.BadZipFile, NotImplementedError, OSError, RuntimeError, ValueError)
"""What ``zipfile`` raises for a damaged archive, an unknown packing and an encrypted member."""

GIB = 2**30
_LIMIT = "BENCH_MAX_RAW_GIB"
_BLOCK = 2**20


def limit() -> int:
    """Bytes that one file may have, unpacked: 2 GiB, or ``$BENCH_MAX_RAW_GIB`` GiB.

    Raises
    ------
    ConfigError
        If the variable holds no positive number.
    """
    told = os.environ.get(_LIMIT, "2")
    try:
        bound = int(float(told) * GIB)
    except (ValueError, OverflowError):
        bound = 0
    if bound <= 0:
        raise ConfigError(f"{_LIMIT}={told} is no positive number of GiB")
    return bound


def too_large(path: Path) -> DataError:
    """The error for a file beyond :func:`limit`."""
    return DataError(f"{path} has more than {limit() / GIB:g} GiB unpacked: to read it all the same, set {_LIMIT}")


def damaged_file(path: Path, error: Exception) -> DataError:
    """The error for an archive that ends too early or is damaged."""
    return DataError(f"{path} is cut off or damaged ({error}): fetch it again")


@contextmanager
def open_raw(path: Path) -> Iterator[IO[bytes]]:
    """Open a plain or gzip file, or the one member of a zip with its name, for reading bytes.

    Raises
    ------
    DataError
        If it is cut off or damaged, or larger than :func:`limit`.
    """
    try:
        with ExitStack() as stack:
            file: IO[bytes] = stack.enter_context(path.open("rb"))
            start = file.read(4)
            file.seek(0)
            if start.startswith(b"PK\x03\x04"):
                file = _member(path, stack)
            elif start.startswith(b"\x1f\x8b"):
                file = cast(IO[bytes], stack.enter_context(gzip.open(file)))
            yield cast(IO[bytes], stack.enter_context(io.BufferedReader(_Bounded(file, path), _BLOCK)))
    except (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error) as error:
        raise damaged_file(path, error) from error


def _member(path: Path, stack: ExitStack) -> IO[bytes]:
    """The member that is called as the archive without ``.zip``."""
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
        names = [name for name in archive.namelist() if not name.endswith("/")]
        own = path.stem if path.suffix.lower() == ".zip" else path.name
        found = [name for name in names if PurePosixPath(name).name.lower() == own.lower()]
        if len(found) == 1:
            if archive.getinfo(found[0]).file_size > limit():
                raise too_large(path)
            return stack.enter_context(archive.open(found[0]))
    except ZIP_ERRORS as error:
        raise damaged_file(path, error) from error
    raise DataError(f"{path} should hold one file {own}, but holds {', '.join(names[:5])}")


def read_members(path: Path, names: tuple[str, ...]) -> list[bytes]:
    """The contents of members of a zip, by their names without folders.

    Raises
    ------
    DataError
        If the archive is damaged, lacks one, or one is larger than :func:`limit`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {PurePosixPath(name).name: name for name in archive.namelist()}
            if missing := sorted(set(names) - set(members)):
                raise DataError(f"{path} has no member {', '.join(missing)}: is it another archive?")
            contents = []
            for name in names:
                with archive.open(members[name]) as file:
                    contents.append(file.read(limit() + 1))
                if len(contents[-1]) > limit():
                    raise too_large(path)
            return contents
    except (EOFError, zlib.error, *ZIP_ERRORS) as error:
        raise damaged_file(path, error) from error


class _Bounded(io.RawIOBase):
    """Another stream, as long as it has no more than :func:`limit` bytes."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self._path, self._left = file, path, limit()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._file.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise too_large(self._path)
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def open_text(path: Path, encoding: str | None = None) -> Iterator[IO[bytes]]:
    """:func:`open_raw`, as UTF-8 without a byte order mark, whatever ``encoding`` the file has.

    Without ``encoding`` a file is UTF-16 if it begins like that, and is otherwise left as it is.

    Raises
    ------
    DataError
        See :func:`open_raw`; and if the file is not in ``encoding``.
    """
    with open_raw(path) as file:
        start = cast(io.BufferedReader, file).peek(4)[:4]
        if encoding is None and start.startswith(codecs.BOM_UTF8):
            file.read(3)
        encoding = encoding or _encoding(start)
        if encoding is None:
            yield file
            return
        try:
            with io.BufferedReader(_Recoded(file, encoding), _BLOCK) as recoded:
                yield cast(IO[bytes], recoded)
        except UnicodeError as error:
            reason = error.reason if isinstance(error, UnicodeDecodeError) else error  # a mark that is missing has none
            raise DataError(f"{path} is not {encoding} ({reason}): give its encoding") from error
        except LookupError as error:
            raise ConfigError(f"{path}: {error}") from error


def _encoding(start: bytes) -> str | None:
    """UTF-16 by its mark, or by every second byte of the first two letters; None for anything else."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if len(start) == 4 and start[0] and start[2] and start[1] == start[3] == 0:
        return "utf-16-le"
    if len(start) == 4 and start[1] and start[3] and start[0] == start[2] == 0:
        return "utf-16-be"
    return None


class _Recoded(io.RawIOBase):
    """Another stream, in UTF-8."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._ready:
            data = self._file.read(_BLOCK)
            self._ready = self._decoder.decode(data, final=not data).lstrip("\ufeff").encode()
            if not data and not self._ready:
                return 0
        given, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(given)] = given
        return len(given)
