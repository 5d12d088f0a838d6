"""Resumable, checksum-verified, atomic downloads of raw files.

``requests`` and ``urllib3`` retry refused connections and busy servers; what is added here is to go on within a file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from urllib3.util import Retry

from bench.data.catalog import File
from bench.data.checksums import verify
from bench.errors import DataError

ATTEMPTS = 5
"""How often a broken transfer is taken up again."""

_BLOCK = 2**18
_TIMEOUT = (10, 60)
"""Seconds to connect, and between two blocks."""


def fetch(file: File, folder: Path) -> Path:
    """Download ``file`` into ``folder``; returns its path.

    The checksum of the card is enforced. Where it has none, the one first seen is kept there and enforced ever
    after.

    Raises
    ------
    DataError
        If it cannot be had, naming the file, its address and the folder to put it in by hand, or is another file.
    """
    assert file.url is not None
    folder.mkdir(parents=True, exist_ok=True)
    target, part = folder / file.name, folder / f"{file.name}.part"
    with _alone(part):
        if target.is_file():
            return target  # another process fetched it meanwhile
        _from_any([file.url, *file.mirrors], file.name, part)
        verify(part, file, folder)
        part.replace(target)
    return target


@contextlib.contextmanager
def _alone(part: Path) -> Iterator[None]:
    """Wait until no other process writes ``part``; if nothing is in it, it does not stay."""
    while True:
        with part.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not part.exists() or not os.path.samestat(os.fstat(file.fileno()), part.stat()):
                continue  # who had it has put it in place, or has given up
            try:
                yield
            finally:
                if part.exists() and not part.stat().st_size:
                    part.unlink()
            return


def _from_any(urls: Sequence[str], name: str, part: Path) -> None:
    failed = []
    for url in urls:
        try:
            _download(url, part)
            return
        except requests.RequestException as error:
            failed.append(f"{url} ({_cause(error)})")
    reason = f"{name} cannot be fetched from {' nor from '.join(failed)}"
    raise DataError(f"{reason}: fetch it elsewhere and put it into {part.parent} or the folder of --raw-dir")


def _download(url: str, part: Path) -> None:
    retry = Retry(total=3, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504), allowed_methods=("GET",))
    console = Console(stderr=True)
    console.print(f"fetching {url}", highlight=False, markup=False, soft_wrap=True)
    sizes = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    columns = (TextColumn("{task.description}"), BarColumn(), *sizes)
    with (
        requests.Session() as session,
        Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bars,
    ):
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=retry))
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _transfer(session, url, part, bars)
                return
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, requests.Timeout):
                if attempt == ATTEMPTS or not part.exists():
                    raise


def _transfer(session: requests.Session, url: str, part: Path, bars: Progress) -> None:
    """Append what is missing of ``part``, or begin anew where the server cannot go on within a file."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with session.get(url, headers={**headers, "Accept-Encoding": "identity"}, stream=True, timeout=_TIMEOUT) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            if answer.headers.get("Content-Range", "").endswith(f"/{have}"):
                return  # nothing is missing
            part.unlink()  # of another file than the server has now
            _transfer(session, url, part, bars)
            return
        answer.raise_for_status()
        resumed = answer.status_code == requests.codes.partial_content
        start = have if resumed else 0
        length = int(answer.headers.get("Content-Length", 0))
        task = bars.add_task(part.name.removesuffix(".part"), total=start + length or None, completed=start)
        with part.open("ab" if resumed else "wb") as file:
            for block in answer.iter_content(_BLOCK):
                file.write(block)
                bars.advance(task, len(block))
            received = file.tell() - start
    bars.remove_task(task)
    if length and received < length:
        raise requests.ConnectionError(f"{received:,} of {length:,} bytes came")


def _cause(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"the server answered {error.response.status_code}"
    cause: BaseException = error
    while cause.__context__ is not None:
        cause = cause.__context__
    return " ".join(str(cause).split()) or type(cause).__name__
