"""What takes long to compute and comes out the same each time, kept on disk under a hash of all that it depends on.

An entry is one file: a checksum, and an .npz of the arrays and the seconds that they took to compute. A damaged entry
or a folder that cannot be written to costs time and a line in the log, and is no error.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.files import content_hash, file_hash

Arrays = Mapping[str, NDArray[Any]]

_SECONDS = "seconds of the first computation"
"""Name, in the file, of what is no array of the caller's."""

_CHECKSUM = 32
"""Bytes of the SHA-256 that an entry begins with."""


class Cached(NamedTuple):
    """Arrays, and what they cost."""

    arrays: dict[str, NDArray[Any]]
    """Named as ``compute`` named them."""
    seconds: float
    """That the computation took when it was made: what the arrays cost, even if they came from the cache now."""
    hit: bool
    """Whether they came from the cache."""


def default_folder() -> Path:
    """``recsys-bench-colarec`` in the user's cache folder: $XDG_CACHE_HOME, or ~/.cache."""
    named = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(named or Path.home() / ".cache") / "recsys-bench-colarec"
    except RuntimeError as error:  # so Path says that the user has no home
        raise OSError(f"there is no cache folder: {error}") from error


def cached(
    stage: str,
    compute: Callable[[], Arrays],
    *,
    inputs: Arrays,
    parameters: Mapping[str, Any],
    source: str,
    packages: Sequence[str] = (),
    log: Callable[[str], None],
    folder: Path | None = None,
) -> Cached:
    """The arrays of ``compute``, from the cache if they were computed before.

    Parameters
    ----------
    stage
        A word for the file name and the log, such as ``vectors``.
    compute
        Makes the arrays; a function of the following alone.
    inputs, parameters
        All that the result depends on: arrays, and JSON-ready values. The seed and the device belong to it.
    source
        The file of the module that computes (``module.__file__``): when it changes, entries are made anew.
    packages
        Distributions whose version matters.
    log
        Takes one line if an entry is damaged or cannot be written.
    folder
        In place of :func:`default_folder`.
    """
    name = f"{stage}-{key(stage, inputs, parameters, source, packages)[:32]}"
    found = None
    try:
        path = (folder or default_folder()) / name
        found = _read(path) if path.exists() else None
    except (OSError, ValueError) as error:
        log(f"{stage} are computed again, their cache entry cannot be read: {error}")
    if found is not None:
        return found
    start = time.perf_counter()
    arrays = {name: np.asarray(array) for name, array in compute().items()}
    made = Cached(arrays, time.perf_counter() - start, False)
    try:
        _write((folder or default_folder()) / name, made)
    except OSError as error:
        log(f"{stage} are not cached: {error}")
    return made


def key(stage: str, inputs: Arrays, parameters: Mapping[str, Any], source: str, packages: Sequence[str] = ()) -> str:
    """SHA-256 in hex of everything that :func:`cached` is told about a computation."""
    return content_hash(
        {
            "stage": stage,
            "inputs": {name: _array_hash(array) for name, array in inputs.items()},
            "parameters": dict(parameters),
            "source": file_hash(Path(source)),
            "cache": file_hash(Path(__file__)),
            "packages": {name: version(name) for name in packages},
        }
    )


def _array_hash(array: NDArray[Any]) -> str:
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}\0".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _read(path: Path) -> Cached:
    content = path.read_bytes()
    if hashlib.sha256(content[_CHECKSUM:]).digest() != content[:_CHECKSUM]:
        raise ValueError(f"{path} is damaged")
    with np.load(io.BytesIO(content[_CHECKSUM:]), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return Cached(arrays, float(arrays.pop(_SECONDS)), True)


def _write(path: Path, made: Cached) -> None:
    """The last of several processes that write the same entry wins, and a reader never sees a part of one."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **made.arrays, **{_SECONDS: np.float64(made.seconds)})
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(buffer.getbuffer()).digest())
            file.write(buffer.getbuffer())
        Path(draft).replace(path)
    finally:
        Path(draft).unlink(missing_ok=True)
