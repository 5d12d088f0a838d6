"""The log of a child, which may print without end: its beginning and its end are kept."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque

HEAD = 8 * 2**20
"""Bytes of the beginning that are kept, written as they come."""
TAIL = 2**20
"""Bytes of the end that are kept, written when there is no more to come."""
_CHUNK = 2**16


class Log:
    """Copies what a child prints from a pipe to a file, in a thread of its own; a full disk does not stop the child."""

    def __init__(self, pipe: int, file: int) -> None:
        """Both descriptors are closed when nobody holds the other end of ``pipe`` any more."""
        self._pipe, self._file = pipe, file
        self._room = HEAD
        self._tail: deque[bytes] = deque()
        self._thread = threading.Thread(target=self._copy, daemon=True)
        self._thread.start()

    def join(self, timeout: float) -> None:
        """Wait for the end."""
        self._thread.join(timeout)

    def _copy(self) -> None:
        late = 0
        while chunk := os.read(self._pipe, _CHUNK):
            self._write(chunk[: self._room])
            rest = chunk[self._room :]
            self._room -= len(chunk) - len(rest)
            if rest:
                late += len(rest)
                self._tail.append(rest)
                while sum(map(len, self._tail)) - len(self._tail[0]) >= TAIL:
                    self._tail.popleft()
        end = b"".join(self._tail)[-TAIL:]
        if late > len(end):
            what = f"{late - len(end):,} bytes are left out; a log keeps the first {HEAD:,} and the last {TAIL:,}"
            self._write(f"\n[{what}]\n".encode())
        self._write(end)
        os.close(self._pipe)
        os.close(self._file)

    def _write(self, text: bytes) -> None:
        with contextlib.suppress(OSError):
            while text:
                text = text[os.write(self._file, text) :]
