"""RecBole's atomic files: tab-separated with a typed header such as ``user_id:token``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.contract import RawData
from bench.data.sources.csv import read_csv
from bench.data.sources.movielens import films, profiles_100k
from bench.data.sources.rows import validate_interactions

_UNKNOWN = "unkonwn"
"""RecBole's word for what is missing."""


def read_100k(files: Mapping[str, Path]) -> RawData:
    """Read roles ``interactions``, ``items`` and ``users`` of the MovieLens 100K that RecBole carries.

    Fields and texts are those of :func:`bench.data.sources.movielens.read_100k`.
    """
    problems: dict[str, int] = {}
    columns = {"user_id:token": "user", "item_id:token": "item", "rating:float": "rating", "timestamp:float": "time"}
    table = read_csv(files["interactions"], list(columns), problems, numbers=["rating:float", "timestamp:float"])
    fields = {
        "item_id:token": "id",
        "movie_title:token_seq": "title",
        "release_year:token": "year",
        "class:token_seq": "genres",
    }
    items = read_csv(files["items"], list(fields), problems).rename(columns=fields)
    title, year = items["title"].replace(_UNKNOWN, "unknown"), items["year"].replace(_UNKNOWN, "")
    items["title"] = title.where(year == "", title + " (" + year + ")")  # RecBole has cut it at the last bracket
    profile = {"user_id:token": "id", "gender:token": "gender", "age:token": "age", "occupation:token": "occupation"}
    users = read_csv(files["users"], list(profile), problems).rename(columns=profile)
    return RawData(
        interactions=validate_interactions(table.rename(columns=columns), problems),
        items=films(items, items["genres"].str.replace(" ", ", ").tolist()),
        users=profiles_100k(users),
        problems=problems,
    )
