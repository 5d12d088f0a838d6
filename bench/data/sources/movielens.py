"""MovieLens 100K as published: a zip of ``u.data``, ``u.item`` and ``u.user``, latin-1."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bench.data.sources import RawData, cut_off, seconds
from bench.errors import BenchError

_GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip


def read_100k(files: Mapping[str, Path]) -> RawData:
    """Read role ``archive``. Item fields: title, year, genres. User fields: age, gender, occupation."""
    path = files["archive"]
    try:
        with zipfile.ZipFile(path) as archive:
            members = {Path(name).name: name for name in archive.namelist()}
            missing = {"u.data", "u.item", "u.user"} - set(members)
            if missing:
                raise BenchError(f"{path} has no member {', '.join(sorted(missing))}: is it another archive?")
            data, item, user = (archive.read(members[name]) for name in ("u.data", "u.item", "u.user"))
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise cut_off(path, error) from error
    interactions = _table(data, "\t", ["user", "item", "rating", "time"], path)
    columns = ["id", "title", "released", "video", "url", *_GENRES]
    items = _table(item, "|", columns, path)
    flags = items[list(_GENRES)].to_numpy() == "1"
    titles = items["title"].str.extract(r"^(?P<title>.*?)(?: \((?P<year>\d{4})\))?\s*$").fillna("")
    users = _table(user, "|", ["id", "age", "gender", "occupation", "zip"], path)
    return RawData(
        interactions=interactions.assign(time=seconds(interactions["time"], path)).drop(columns="rating"),
        items=pd.DataFrame(
            {
                "id": items["id"],
                "title": titles["title"],
                "year": titles["year"],
                "genres": [", ".join(genre for genre, on in zip(_GENRES, row, strict=True) if on) for row in flags],
            }
        ),
        users=users.drop(columns="zip"),
    )


def _table(content: bytes, separator: str, columns: list[str], path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(
            io.BytesIO(content), sep=separator, names=columns, dtype=str, encoding="latin-1", keep_default_na=False,
            quoting=3,
        )  # fmt: skip
    except pd.errors.ParserError as error:
        raise BenchError(f"{path}: {error}") from error
